"""The quick probe starts nothing and imports nothing heavy."""

from __future__ import annotations

import subprocess
import sys

from qvirt.model.hardware import Hardware
from qvirt.model.wire import from_json, to_json
from qvirt.probe import probe, usable


def test_it_knows_what_a_run_needs_and_says_what_it_did_not_look_at() -> None:
    found = probe(bandwidth_cache=None, quick=True)
    assert found.usable.cpus == usable().cpus
    assert found.cpu.logical_cores >= 1
    assert found.memory_total >= found.usable.memory
    assert found.torch.reason == found.memory_bandwidth_reason == "not looked at"


def test_it_goes_through_json_unharmed() -> None:
    found = probe(bandwidth_cache=None, quick=True)
    assert from_json(to_json(found), Hardware) == found


def test_it_imports_nothing_heavy() -> None:
    code = (
        "import sys; from qvirt.probe import probe; probe(bandwidth_cache=None, quick=True);"
        "heavy = {'subprocess', 'json', 'asyncio', 'numpy', 'psutil', 'rich', 'concurrent.futures', 'torch'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"

"""The memory of a QEMU guest runs out for real: its kernel ends a process, and the VM says so.

The guest image holds no program that would do this: qvirt's own refuse first. So the shell lines that a
guest is given when it boots bring one along.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from guest_images import each_of, equipped
from guests import make_vm, until

from qvirt.model.vm import VMState
from qvirt.paths import Paths
from qvirt.runtimes.contract import Runtime
from qvirt.runtimes.qemu import boot

MEMORY = 640 << 20
FOLDER = "/tmp/brought"
GREEDY = "taken = [bytearray(64 << 20) for _ in range(64)]\n"

Bring = Callable[[dict[str, str]], None]


@pytest.fixture
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Runtime:
    return equipped(request.param, tmp_path / "home")


@pytest.fixture
def bring(monkeypatch: pytest.MonkeyPatch) -> Bring:
    """Have guests that boot find more modules, by file and text."""

    def add(files: dict[str, str]) -> None:
        lines = [f"export PYTHONPATH={FOLDER}"]
        for name, text in files.items():
            lines.append(f"busybox mkdir -p {FOLDER}/{Path(name).parent}")
            packed = base64.b64encode(text.encode()).decode()
            lines.append(f"echo {packed} | busybox base64 -d >{FOLDER}/{name}")
        original = boot.write_config

        def write_config(paths: Paths, vm_id: str, *more: Any) -> None:
            original(paths, vm_id, *more)
            with paths.vm_config(vm_id).open("a") as config:
                config.write("\n".join([*lines, ""]))

        monkeypatch.setattr(boot, "write_config", write_config)

    return add


@pytest.mark.parametrize("machine", each_of(["qemu", "libvirt"]), indirect=True)
def test_a_guest_that_takes_all_memory_says_so(machine: Runtime, bring: Bring) -> None:
    bring({"fastapi.py": GREEDY})
    handle = machine.create(make_vm(machine.name, owner=None, memory=MEMORY, warm=False))
    try:
        machine.start(handle)
        until(lambda: machine.inspect(handle).state is not VMState.RUNNING)
        found = machine.inspect(handle)
        assert (found.state, found.reason) == (
            VMState.FAILED,
            "memory ran out: the service ended with status 137",
        ), machine.logs(handle)
    finally:
        machine.destroy(handle)

from __future__ import annotations

from pathlib import Path

import pytest

from qvirt.errors import UsageError
from qvirt.paths import Paths
from qvirt.runtimes.registry import RUNTIMES, runtime


@pytest.mark.parametrize("name", RUNTIMES)
def test_every_runtime_loads_and_says_what_it_can_do(name: str, tmp_path: Path) -> None:
    found = runtime(name, Paths(tmp_path))
    assert found.name == name
    assert found.probe().reason


def test_an_unknown_runtime_is_answered_with_those_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as raised:
        runtime("steam", Paths(tmp_path))
    assert "process" in (raised.value.hint or "")

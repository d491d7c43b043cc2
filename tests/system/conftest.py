from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import BELL, Cli, eventually


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[Cli]:
    made = Cli(tmp_path / "home")
    yield made
    assert eventually(lambda: not made.processes()), f"left running: {made.processes()}"


@pytest.fixture
def nothing_left(cli: Cli) -> Iterator[None]:
    """Nothing of a VM is left when all were destroyed after a test."""
    yield
    done = cli("vm", "destroy", "--all", "--force")
    assert done.returncode == 0, done.stderr
    for folder in ("vms", "locks", "snapshots"):
        assert not list((cli.home / folder).glob("*"))


@pytest.fixture
def bell(tmp_path: Path) -> Path:
    file = tmp_path / "bell.qasm"
    file.write_text(BELL)
    return file

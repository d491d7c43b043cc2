"""External commands end in time, and never raise."""

from __future__ import annotations

import sys
from pathlib import Path

from qvirt.probe.command import run


def test_output() -> None:
    assert run([sys.executable, "-c", "print('x')"], 10).out == "x\n"


def test_the_last_line_of_a_failure_is_its_reason() -> None:
    code = "import sys; print('out'); sys.stderr.write('first\\n\\nlast\\n\\n'); sys.exit(3)"
    ran = run([sys.executable, "-c", code], 10)
    assert (ran.out, ran.reason) == ("out\n", "last")


def test_a_silent_failure() -> None:
    assert str(run(["false"], 10).reason).startswith("false ended with")


def test_absent_and_not_executable(tmp_path: Path) -> None:
    assert run(["qvirt-no-such-command"], 1).reason == "qvirt-no-such-command is not installed"
    (tmp_path / "file").touch()
    assert "cannot be started" in str(run([str(tmp_path / "file")], 1).reason)


def test_a_grandchild_that_holds_the_pipes_does_not_hold_us() -> None:
    ran = run(["sh", "-c", "sleep 600 & sleep 600"], 0.2)
    assert ran.reason == "sh did not answer within 0.2 s"


def test_bytes_that_are_no_text() -> None:
    assert run([sys.executable, "-c", "import os; os.write(1, bytes([255, 65]))"], 10).out.endswith("A")

from __future__ import annotations

import subprocess
import sys

from qvirt.host import owner


def test_a_process_is_known_by_pid_and_start_time() -> None:
    assert owner.alive(owner.me())
    pid, _, born = owner.me().partition(":")
    assert not owner.alive(f"{pid}:{int(born) - 10}")


def test_an_ended_process_is_not_alive() -> None:
    code = "from qvirt.host import owner; print(owner.me())"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not owner.alive(ended.stdout.strip())


def test_what_names_no_process_is_not_alive() -> None:
    for name in (None, "", "x:1", "-1:2"):
        assert not owner.alive(name)

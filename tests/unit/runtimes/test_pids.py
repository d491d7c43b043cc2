from __future__ import annotations

import os
import subprocess
import sys

from qvirt.runtimes.pids import birth


def test_a_process_keeps_its_birth_and_another_has_another() -> None:
    own = birth(os.getpid())
    assert own is not None
    assert own == birth(os.getpid())
    assert own != birth(1)


def test_neither_a_zombie_nor_what_is_gone_runs() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.read()  # its end closes this; it may still take a moment to die
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert birth(child.pid) is None
    child.wait()
    assert birth(child.pid) is None

"""`qvirt` as users type it, for tests of the whole."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

BELL = (
    'OPENQASM 2.0;\ninclude "qelib1.inc";\nqreg q[2];\ncreg c[2];\nh q[0];\ncx q[0],q[1];\nmeasure q -> c;\n'
)
PATIENCE = 20.0


class Cli:
    """`qvirt` with a state directory of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environment = {**os.environ, "QVIRT_HOME": str(home), "COLUMNS": "100"}

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "qvirt", *map(str, arguments)]
        return subprocess.Popen(
            command,
            env=self.environment,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # A shell's background jobs ignore Ctrl-C, and what they start does too.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def __call__(self, *arguments: object, stdin: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "qvirt", *map(str, arguments)]
        return subprocess.run(
            command, env=self.environment, text=True, input=stdin, capture_output=True, timeout=120
        )

    def python(self, program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        """What the command line gives no occasion for."""
        command = [sys.executable, "-c", program, *map(str, arguments)]
        return subprocess.run(command, env=self.environment, text=True, capture_output=True, timeout=120)

    def json(self, *arguments: object, stdin: str = "") -> dict:
        done = self(*arguments, "--format", "json", stdin=stdin)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def processes(self) -> list[psutil.Process]:
        """What runs with our state directory in its command line or environment."""
        found = []
        for process in psutil.process_iter():
            try:
                ours = process.environ().get("QVIRT_HOME") == str(self.home)
                if ours or any(str(self.home) in word for word in process.cmdline()):
                    found.append(process)
            except psutil.Error:
                continue
        return [p for p in found if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def waiting(cli: Cli) -> list[str]:
    """Ids of the VMs that are kept warm and that nobody has yet."""
    return [vm["id"] for vm in cli.json("vm", "list", "--all")["vms"] if vm["pool"] and not vm["owner"]]


def eventually(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True

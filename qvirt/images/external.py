"""The programs of other packages that build an image."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from qvirt.errors import QvirtError, StateError, Unavailable

PACKAGES = {
    "mmdebstrap": "mmdebstrap",
    "mkfs.erofs": "erofs-utils",
    "tar": "tar",
    "zstd": "zstd",
    "apt-get": "apt",
    "dpkg": "dpkg",
}
SETUP = "./setup_quantum_vm.sh --with docker,qemu"

FULL = "No space left on device"


def require(program: str) -> str:
    """Its path. Raises Unavailable with the command that installs it."""
    path = shutil.which(program, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]))
    if path is None:
        package = PACKAGES.get(program, program)
        hint = f"apt-get install --no-install-recommends {package}, or {SETUP}"
        raise Unavailable(f"{program} is not installed", hint=hint)
    return path


def call(
    argv: Sequence[str | Path],
    log: Path,
    *,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> str:
    """What it printed; everything it said is added to ``log``. Raises what its failure was."""
    path = require(str(argv[0])) if not Path(argv[0]).is_absolute() else str(argv[0])
    done = subprocess.run(
        [path, *map(str, argv[1:])],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        cwd=cwd,
        env={**os.environ, "LC_ALL": "C.UTF-8", **(environment or {})},
    )
    with log.open("a", encoding="utf-8") as file:
        file.write(f"$ {' '.join(map(str, argv))}\n{done.stdout}{done.stderr}")
    if done.returncode:
        raise failure(Path(path).name, done.returncode, done.stdout + done.stderr, log)
    return done.stdout


def failure(program: str, status: int, said: str, log: Path) -> QvirtError:
    if FULL in said:
        return StateError(
            f"{program} found the disk full", hint="free some space, or set QVIRT_HOME to a folder elsewhere"
        )
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    reasons = [line for line in lines if line.lower().startswith(("e:", "error"))] or lines
    reason = reasons[-1] if reasons else f"it ended with status {status}"
    return Unavailable(f"{program} failed: {reason}", hint=f"all that it said is in {log}")

"""External commands, asked with a time limit; nothing that one does can raise."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command printed; ``reason`` says in one line why it failed, None where it did not."""

    out: str
    reason: str | None


def run(argv: Sequence[str], timeout: float, environment: dict[str, str] | None = None) -> Ran:
    """``environment`` is added to this process's own. ``timeout`` is seconds."""
    try:
        child = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env={**os.environ, "LC_ALL": "C", **(environment or {})},
            start_new_session=True,
        )
    except FileNotFoundError:
        return Ran("", f"{argv[0]} is not installed")
    except OSError as error:
        return Ran("", f"{argv[0]} cannot be started: {error.strerror}")
    with child:
        try:
            out, err = child.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            # The whole session, or a grandchild that holds the pipes open would be waited for.
            os.killpg(child.pid, signal.SIGKILL)
            return Ran("", f"{argv[0]} did not answer within {timeout:g} s")
    if child.returncode:
        return Ran(out, _last_line(err) or _last_line(out) or f"{argv[0]} ended with {child.returncode}")
    return Ran(out, None)


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""

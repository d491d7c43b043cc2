"""What every runtime tells a guest of its end, and how it learns why a guest has ended."""

from __future__ import annotations

from qvirt.model.vm import LAST_WORDS, VMSpec


def lifetime(spec: VMSpec, created: float, now: float) -> list[str]:
    """Arguments of ``qvirt.guest``; the time to live counts from the creation, whatever starts it."""
    arguments = []
    ttl = time_left(spec, created, now)
    if ttl is not None:
        arguments += ["--ttl", f"{ttl:.3f}"]
    if spec.idle_stop is not None:
        arguments += ["--idle-stop", f"{spec.idle_stop:.3f}"]
    return arguments


def time_left(spec: VMSpec, created: float, now: float) -> float | None:
    """Seconds of its time to live, None where that has no end."""
    return None if spec.ttl is None else max(0.1, created + spec.ttl - now)


def last_words(log: str) -> str | None:
    """Why the guest ended by itself; None where the last that it printed is something else."""
    last = log.rstrip().rpartition("\n")[2]
    return last.removeprefix(LAST_WORDS) if last.startswith(LAST_WORDS) else None

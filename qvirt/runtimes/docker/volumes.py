"""Folders of this machine that a container may read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from qvirt.errors import UsageError

SENSITIVE = frozenset(map(Path, ("/", "/boot", "/dev", "/etc", "/lib", "/proc", "/sys", "/usr")))
"""Of the host: those that the CIS Docker benchmark names (check 5.6)."""

TAKEN = ("/run/qvirt", "/proc", "/sys", "/dev", "/usr", "/etc", "/bin", "/sbin", "/lib", "/lib64")
"""Of the guest: what it cannot do without, and its own."""


def mounts(volumes: Sequence[str], kept_out: Iterable[Path]) -> list[dict[str, Any]]:
    """As the engine wants them; nothing that holds one of ``kept_out`` is shared. Raises UsageError."""
    kept_out = [path.resolve() for path in kept_out]
    found = [_mount(volume, kept_out) for volume in volumes]
    targets = [mount["Target"] for mount in found]
    for target in targets:
        if targets.count(target) > 1:
            raise UsageError(f"two volumes are to be at {target}")
    return found


def _mount(volume: str, kept_out: list[Path]) -> dict[str, Any]:
    source, colon, target = volume.partition(":")
    if not colon or ":" in target:
        raise UsageError(f"volume {volume!r} is not HOST_FOLDER:GUEST_FOLDER")
    return {
        "Type": "bind",
        "Source": str(_source(source, kept_out)),
        "Target": _target(target),
        "ReadOnly": True,
        # Without it what is mounted below the folder would be there too, and could be written.
        "BindOptions": {"Propagation": "rprivate", "NonRecursive": True},
    }


def _source(text: str, kept_out: list[Path]) -> Path:
    path = Path(text)
    if not path.is_absolute() or not path.is_dir():
        raise UsageError(f"volume {text!r} is no folder of this machine", hint="give the full path")
    path = path.resolve()
    if path in SENSITIVE:
        raise UsageError(f"{path} belongs to the system and is not shared with VMs")
    for secret in kept_out:
        if secret.is_relative_to(path):
            raise UsageError(
                f"{path} is not shared with VMs: {secret} is in it", hint="share a folder below it"
            )
    return path


def _target(text: str) -> str:
    path = PurePosixPath(text)
    if not path.is_absolute() or ".." in path.parts or path == PurePosixPath("/"):
        raise UsageError(f"{text!r} is no place for a volume in a VM", hint="give a full path")
    for taken in TAKEN:
        if path.is_relative_to(taken):
            raise UsageError(f"{taken} of a VM is its own: no volume can be at {path}", hint="use /data")
    return str(path)

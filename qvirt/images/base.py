"""The Debian packages of the image, unpacked into one archive by mmdebstrap."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path

from qvirt.errors import Unavailable
from qvirt.images.definition import Definition
from qvirt.images.external import call
from qvirt.images.system import System, sources


def base_name(system: System, wanted: Definition) -> str:
    key = hashlib.sha256(" ".join(wanted.packages).encode()).hexdigest()[:8]
    return f"base-{system.suite}-{system.architecture}-{key}.tar"


def find_base(name: str, folders: Sequence[Path]) -> Path | None:
    return next((folder / name for folder in folders if (folder / name).is_file()), None)


def fetch_base(system: System, wanted: Definition, target: Path, log: Path) -> None:
    """From the package sources of this machine. No maintainer script runs."""
    partial = target.with_suffix(".partial.tar")
    lists = log.parent / "sources"
    lists.mkdir(exist_ok=True)
    named = sources(system.suite)
    if not named:
        raise Unavailable(
            f"there are no package sources for {system.suite} under /etc/apt",
            hint="add those of your distribution there, then run apt-get update",
        )
    for name, text in named.items():
        (lists / name).write_text(text)
    try:
        call(
            [
                # Nothing is configured, so that there is nothing for which anybody would have to be root.
                *(
                    "mmdebstrap",
                    f"--mode={'root' if os.geteuid() == 0 else 'chrootless'}",
                    "--variant=extract",
                ),
                *(f"--include={','.join(wanted.packages)}", f"--architectures={system.architecture}"),
                *(system.suite, str(partial), *(str(lists / name) for name in named)),
            ],
            log,
            environment={"SOURCE_DATE_EPOCH": str(wanted.timestamp)},
        )
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def packages(root: Path) -> dict[str, str]:
    """Name and version of each Debian package in a root: nothing is configured, so the changelogs tell."""
    found = {}
    for path in sorted(root.glob("usr/share/doc/*/changelog.Debian*")):
        opened = gzip.open if path.suffix == ".gz" else Path.open
        with opened(path, "rb") as file:
            match = re.match(r"\S+ \(([^)]+)\)", file.readline().decode("utf-8", "replace"))
        if match:
            found[path.parent.name] = match[1]
    return found

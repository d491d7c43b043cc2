"""``python -m qvirt.host.refill HOME``: make the warm VMs that are lacking, for nobody who waits."""

from __future__ import annotations

import sys
from pathlib import Path

from qvirt import settings
from qvirt.errors import QvirtError
from qvirt.host.host import Host
from qvirt.paths import Paths


def main() -> None:
    try:
        host = Host(Paths(Path(sys.argv[1])), settings.load())
        try:
            host.warm.fill(_silently, wait=False)
        finally:
            host.close()
    except QvirtError as error:
        sys.exit(f"{error.message}\nhint: {error.hint}")


def _silently(stage: str) -> None:
    pass


if __name__ == "__main__":
    main()

"""The environment of a guest: ours, without what would change how its Python behaves."""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path

KEPT = frozenset(
    {
        "PYTHONPATH",
        "PYTHONHOME",
        "PYTHONUSERBASE",
        "PYTHONNOUSERSITE",
        "PYTHONPYCACHEPREFIX",
        "PYTHONDONTWRITEBYTECODE",
    }
)
"""Of Python's own variables those that say where its files are."""


def guest_environment() -> dict[str, str]:
    """``PYTHONPATH`` leads to this very qvirt, wherever the guest is started."""
    environment = {
        name: value for name, value in os.environ.items() if name in KEPT or not name.startswith("PYTHON")
    }
    path = [
        str(Path(part).absolute()) for part in environment.get("PYTHONPATH", "").split(os.pathsep) if part
    ]
    here = Path(__file__).resolve().parents[2]
    if str(here) not in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib")):
        path.append(str(here))
    return environment | {"PYTHONPATH": os.pathsep.join(path)} if path else environment

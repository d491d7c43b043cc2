"""The runtimes by name, loaded when they are asked for."""

from __future__ import annotations

import importlib
from functools import cache

from qvirt.errors import UsageError
from qvirt.paths import Paths
from qvirt.runtimes.contract import Runtime

RUNTIMES = {
    "process": "qvirt.runtimes.process:ProcessRuntime",
}


@cache
def runtime(name: str, paths: Paths) -> Runtime:
    """Raises UsageError naming the runtimes that there are."""
    dotted = RUNTIMES.get(name)
    if dotted is None:
        raise UsageError(f"there is no runtime {name!r}", hint=f"runtimes are: {', '.join(RUNTIMES)}")
    module, _, kind = dotted.partition(":")
    made: Runtime = getattr(importlib.import_module(module), kind)(paths)
    return made

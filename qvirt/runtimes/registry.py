"""The runtimes by name, loaded when they are asked for."""

from __future__ import annotations

import importlib
from functools import cache

from qvirt.errors import UsageError
from qvirt.paths import Paths
from qvirt.runtimes.contract import Runtime

RUNTIMES = {
    "process": "qvirt.runtimes.process:ProcessRuntime",
    "docker": "qvirt.runtimes.docker:DockerRuntime",
    "qemu": "qvirt.runtimes.qemu.runtime:QemuRuntime",
    "libvirt": "qvirt.runtimes.libvirt.runtime:LibvirtRuntime",
    "fake": "qvirt.runtimes.fake:FakeRuntime",
}

PREFERENCE = ("docker", "qemu", "process")
"""The order in which ``auto`` looks: the better isolated first."""


@cache
def runtime(name: str, paths: Paths) -> Runtime:
    """Raises UsageError naming the runtimes that there are."""
    dotted = RUNTIMES.get(name)
    if dotted is None:
        raise UsageError(f"there is no runtime {name!r}", hint=f"runtimes are: {', '.join(RUNTIMES)}")
    module, _, kind = dotted.partition(":")
    made: Runtime = getattr(importlib.import_module(module), kind)(paths)
    return made

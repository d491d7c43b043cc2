"""What a container engine says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qvirt.errors import Unavailable

_LIMITS = (
    ("memory", ("MemoryLimit",)),
    ("CPUs", ("CpuCfsQuota", "CPUCfsQuota")),
    ("processes", ("PidsLimit",)),
)
"""The limits that a VM needs, and under which names an engine says that it can hold them."""


@dataclass(frozen=True, slots=True)
class Facts:
    """``unheld`` names limits that the engine cannot hold; ``seccomp`` and ``apparmor`` are whether it
    applies its profiles unasked."""

    product: str
    version: str
    cgroup: str
    rootless: bool
    remaps_users: bool
    seccomp: bool
    apparmor: bool
    nvidia: bool
    unheld: tuple[str, ...] = ()

    @property
    def podman(self) -> bool:
        return self.product == "Podman"

    def require(self) -> None:
        """Raises Unavailable where VMs cannot be held in this engine."""
        if self.unheld:
            raise Unavailable(
                f"{self.product} {self.version} cannot limit {' and '.join(self.unheld)} here",
                hint="docker info says why, at its end; a rootless engine needs cgroup v2 with systemd",
            )
        if self.remaps_users:
            raise Unavailable(
                f"{self.product} {self.version} gives other users to containers (userns-remap), "
                "with whom no folder can be shared",
                hint="use an engine without it: DOCKER_HOST names one",
            )

    def require_nvidia(self) -> None:
        """Raises Unavailable where no GPU can be passed through."""
        if not self.nvidia:
            raise Unavailable(
                f"{self.product} {self.version} has no NVIDIA runtime: no GPU can be passed through",
                hint="install the NVIDIA Container Toolkit, run `sudo nvidia-ctk runtime configure` "
                "and restart the engine; or leave out --gpu",
            )


def read_facts(version: Mapping[str, Any], info: Mapping[str, Any]) -> Facts:
    """From the answers to ``/version`` and ``/info``."""
    parts = " ".join(str(part.get("Name")) for part in version.get("Components") or ())
    security = " ".join(info.get("SecurityOptions") or ())
    return Facts(
        product="Podman" if "podman" in parts.lower() else "Docker",
        version=str(version.get("Version") or "of an unknown version"),
        cgroup=str(info.get("CgroupVersion") or "1"),
        rootless="name=rootless" in security,
        remaps_users="name=userns" in security,
        seccomp="name=seccomp" in security,
        apparmor="name=apparmor" in security,
        nvidia="nvidia" in (info.get("Runtimes") or {}),
        unheld=tuple(name for name, keys in _LIMITS if not any(info.get(key) for key in keys)),
    )

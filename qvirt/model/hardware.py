"""What a machine is, as the probe found it. Sizes are bytes, rates bytes per second."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Backend(str, Enum):
    """The kind of arithmetic that a machine's simulations run on, best first."""

    CUDA = "cuda"
    MPS = "mps"
    AVX512 = "avx512"
    AVX2 = "avx2"
    NEON = "neon"
    PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class Cpu:
    model: str
    architecture: str
    physical_cores: int
    logical_cores: int
    features: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Usable:
    """What this process may really use, and which limit says so."""

    cpus: float
    cpus_from: str
    memory: int
    memory_from: str
    memory_available: int


@dataclass(frozen=True, slots=True)
class Gpu:
    vendor: str
    name: str
    memory: int | None
    driver: str | None
    compute_capability: str | None
    kernel_ran: bool | None
    kernel_reason: str | None


@dataclass(frozen=True, slots=True)
class Torch:
    """torch in this environment: whether a real kernel ran on each device, tried in a child process."""

    version: str | None
    devices_ok: tuple[str, ...]
    reason: str | None


@dataclass(frozen=True, slots=True)
class ContainerEngine:
    name: str
    installed: bool
    reachable: bool
    version: str | None
    storage_driver: str | None
    rootless: bool | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Hypervisor:
    qemu: str | None
    libvirt: str | None
    libvirt_reachable: bool
    kvm_present: bool
    kvm_usable: bool
    reason: str | None


@dataclass(frozen=True, slots=True)
class Hardware:
    system: str
    cpu: Cpu
    usable: Usable
    memory_bandwidth: float | None
    gpus: tuple[Gpu, ...]
    torch: Torch
    containers: tuple[ContainerEngine, ...]
    hypervisor: Hypervisor
    backend: Backend
    backend_reason: str

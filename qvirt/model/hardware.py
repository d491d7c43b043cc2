"""What a machine is, as the probe found it. Sizes are bytes, rates bytes per second."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from qvirt.model.run import Method, Precision


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
    """What this process may really use, and which limit says so.

    ``memory`` is the tightest limit; ``memory_available`` what of it nobody uses now.
    """

    cpus: float
    cpus_from: str
    memory: int
    memory_from: str
    memory_available: int


@dataclass(frozen=True, slots=True)
class Gpu:
    """``kernel_ran`` is None where it was not tried; the reason then says why.

    ``kernel`` names whose kernel gave the CPU's answer, in ``kernel_seconds``: triton's, which the engine
    prefers, or torch's; the reason then is why not triton's.
    """

    vendor: str
    name: str
    uuid: str | None
    memory: int | None
    driver: str | None
    compute_capability: str | None
    kernel_ran: bool | None
    kernel_reason: str | None
    kernel: str | None = None
    kernel_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Torch:
    """torch in this environment: whether a real kernel ran on each device, tried in a child process.

    ``unseen`` is why it sees no GPU, None where it sees one or there is no torch.
    """

    version: str | None
    devices_ok: tuple[str, ...]
    reason: str | None
    unseen: str | None = None


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
    """Versions of QEMU and libvirt, None where absent; a reason for each thing that cannot be used."""

    qemu: str | None
    libvirt: str | None
    libvirt_reachable: bool
    libvirt_reason: str | None
    kvm_present: bool
    kvm_usable: bool
    kvm_reason: str | None


@dataclass(frozen=True, slots=True)
class Hardware:
    """``cgroup_reason`` is why no cgroup with a memory limit can be made, None where one can be.

    ``gpus_reason`` is why a tool that lists GPUs failed, None where none did.
    """

    system: str
    cpu: Cpu
    memory_total: int
    usable: Usable
    cgroup_reason: str | None
    memory_bandwidth: float | None
    memory_bandwidth_reason: str | None
    gpus: tuple[Gpu, ...]
    gpus_reason: str | None
    torch: Torch
    containers: tuple[ContainerEngine, ...]
    hypervisor: Hypervisor
    backend: Backend
    backend_reason: str


@dataclass(frozen=True, slots=True)
class Largest:
    """The most qubits that one method can hold in some memory; None where that is not for the size to say."""

    method: Method
    precision: Precision | None
    qubits: int | None
    note: str

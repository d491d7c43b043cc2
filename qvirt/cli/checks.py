"""The facts of the probe as checks: what is in order, what is not, why, and what mends it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from qvirt.model.hardware import ContainerEngine, Gpu, Hardware, Torch
from qvirt.paths import Paths
from qvirt.units import show_bytes, show_seconds


class Status(str, Enum):
    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


NOT_OK = (Status.PROBLEM, Status.WARNING)


@dataclass(frozen=True, slots=True)
class Check:
    """``detail`` is what was found, and for what is not in order the reason; ``mend`` the command to run."""

    name: str
    status: Status
    detail: str
    mend: str | None = None


@dataclass(frozen=True, slots=True)
class Package:
    """One thing to import; ``extra`` names the extra of qvirt that brings it, None where it must be there."""

    distribution: str
    module: str
    extra: str | None = None


PACKAGES = (
    Package("numpy", "numpy"),
    Package("qiskit", "qiskit"),
    Package("qiskit-qasm3-import", "qiskit_qasm3_import"),
    Package("qiskit-aer", "qiskit_aer"),
    Package("stim", "stim"),
    Package("mqt-core", "mqt.core"),
    Package("qsimcirq", "qsimcirq", "qsim"),
)
PYTHONS = ((3, 10), (3, 13))
LITTLE_MEMORY, TOO_LITTLE_MEMORY = 2 << 30, 512 << 20
LITTLE_DISK, TOO_LITTLE_DISK = 2 << 30, 100 << 20
_GPU_MENDS = (
    ("torch is not installed", "./setup_quantum_vm.sh --with torch"),
    ("built without CUDA", "pip install --force-reinstall torch"),
    ("triton is too old", "pip install --upgrade torch"),
    ("is too old", "sudo apt-get install --only-upgrade nvidia-driver  # and start the machine anew"),
    ("driver version is insufficient", "sudo apt-get install --only-upgrade nvidia-driver"),
    ("out of memory", "nvidia-smi  # and end what holds the GPU's memory"),
    ("no kernel image", "pip install --upgrade torch  # or an older one for an old GPU"),
    ("no device is visible", "unset CUDA_VISIBLE_DEVICES"),
    ("triton is not installed", "pip install 'triton>=3.5'"),
    ("C compiler", "sudo apt-get install gcc"),
    ("Python.h", "sudo apt-get install python3-dev"),
)
"""What a reason says -> the command to run; those of CUDA and of torch in their own words."""

_NONE_HERE = "none on this machine: use the process or docker runtime"


def all_checks(hardware: Hardware, home: Paths) -> tuple[Check, ...]:
    return (
        python(sys.version_info[:3]),
        *(package(wanted) for wanted in PACKAGES),
        memory(hardware),
        cgroup(hardware),
        bandwidth(hardware),
        *gpus(hardware),
        containers(hardware.containers),
        *hypervisor(hardware),
        state(home.home),
        calibration(home.calibration),
    )


def python(running: tuple[int, ...]) -> Check:
    text = ".".join(map(str, running))
    if PYTHONS[0] <= running[:2] <= PYTHONS[1]:
        return Check("python", Status.OK, text)
    oldest, newest = (".".join(map(str, number)) for number in PYTHONS)
    return Check(
        "python",
        Status.PROBLEM,
        f"{text} is not between {oldest} and {newest}",
        f"python{newest} -m venv .venv",
    )


def package(wanted: Package) -> Check:
    """Found without being imported: that would take seconds for some."""
    try:
        found = version(wanted.distribution) if find_spec(wanted.module) else None
    except (PackageNotFoundError, ModuleNotFoundError):
        found = None
    if found:
        return Check(wanted.distribution, Status.OK, found)
    if wanted.extra:
        mend = f"pip install 'qvirt[{wanted.extra}]'"
        return Check(wanted.distribution, Status.WARNING, "not installed (optional)", mend)
    return Check(wanted.distribution, Status.PROBLEM, "not installed", f"pip install {wanted.distribution}")


def memory(hardware: Hardware) -> Check:
    usable = hardware.usable
    free = usable.memory_available
    detail = f"{show_bytes(free)} free of {show_bytes(usable.memory)} ({usable.memory_from})"
    if free >= LITTLE_MEMORY:
        return Check("memory", Status.OK, detail)
    status = Status.WARNING if free >= TOO_LITTLE_MEMORY else Status.PROBLEM
    return Check("memory", status, f"only {detail}", _more_memory(usable.memory_from))


def _more_memory(limited_by: str) -> str:
    if limited_by == "physical memory":
        return "ps aux --sort=-rss | head  # and end what you do not need"
    if limited_by == "RLIMIT_AS":
        return "ulimit -v unlimited"
    if limited_by == "RLIMIT_DATA":
        return "ulimit -d unlimited"
    return "docker update --memory SIZE CONTAINER  # or raise the cgroup's memory limit"


def cgroup(hardware: Hardware) -> Check:
    if hardware.cgroup_reason is None:
        return Check("cgroup", Status.OK, "writable: the memory of a VM can be limited exactly")
    reason = f"{hardware.cgroup_reason}: the memory of a process VM is limited by rlimits instead"
    return Check("cgroup", Status.WARNING, reason, "systemd-run --user --scope -p Delegate=yes $SHELL")


def bandwidth(hardware: Hardware) -> Check:
    if hardware.memory_bandwidth:
        return Check("bandwidth", Status.OK, f"{show_bytes(hardware.memory_bandwidth)}/s, measured")
    return Check("bandwidth", Status.WARNING, str(hardware.memory_bandwidth_reason), "qvirt probe")


def gpus(hardware: Hardware) -> Iterator[Check]:
    """Each GPU with the kernel that ran on it, or why none did."""
    torch = hardware.torch
    if torch.version and not torch.devices_ok:
        yield Check("torch", Status.WARNING, str(torch.reason), "pip install --force-reinstall torch")
    for number, found in enumerate(hardware.gpus):
        yield gpu("gpu" if len(hardware.gpus) == 1 else f"gpu {number}", found, torch)
    if hardware.gpus_reason:
        mend = "sudo dmesg | grep -iE 'nvrm|amdgpu'"
        yield Check("gpu list", Status.WARNING, hardware.gpus_reason, mend)
    elif not hardware.gpus:
        yield Check("gpu", Status.OK, "none found; the CPU is used")


def gpu(name: str, found: Gpu, torch: Torch) -> Check:
    if not found.kernel_ran:
        reason = str(found.kernel_reason)
        return Check(name, Status.WARNING, f"{found.name}: {reason}", _gpu_mend(reason))
    seconds = "" if found.kernel_seconds is None else f" in {show_seconds(found.kernel_seconds)}"
    detail = f"{found.name}: torch {torch.version} ran a kernel on it{seconds}, with the CPU's answer"
    if found.kernel == "triton":
        return Check(name, Status.OK, f"{detail}; so did the engine's Triton kernels")
    if found.vendor != "NVIDIA" or "compute capability" in str(found.kernel_reason):
        return Check(name, Status.OK, f"{detail}; the engine runs on it by torch alone")
    reason = f"{detail}; slower than it could be, without Triton kernels: {found.kernel_reason}"
    return Check(name, Status.WARNING, reason, _gpu_mend(reason))


def _gpu_mend(reason: str) -> str:
    for known, mend in _GPU_MENDS:
        if known in reason:
            return mend
    return "python -m torch.utils.collect_env"


def containers(engines: tuple[ContainerEngine, ...]) -> Check:
    reachable = [engine for engine in engines if engine.reachable]
    if reachable:
        return Check("containers", Status.OK, ", ".join(f"{e.name} {e.version}" for e in reachable))
    for engine in engines:
        if engine.installed:
            denied = "permission denied" in str(engine.reason).lower()
            mend = f"sudo usermod -aG {engine.name} $USER" if denied else _start(engine.name)
            return Check("containers", Status.WARNING, f"{engine.name}: {engine.reason}", mend)
    return Check(
        "containers",
        Status.WARNING,
        "neither Docker nor Podman is installed",
        _install("docker.io", "--cask docker"),
    )


def _install(debian: str, brew: str) -> str:
    return f"brew install {brew}" if sys.platform == "darwin" else f"sudo apt-get install {debian}"


def _start(service: str) -> str:
    if sys.platform == "darwin":
        return f"open -a {service.title()}"
    booted_by_systemd = Path("/run/systemd/system").is_dir()
    return f"sudo systemctl start {service}" if booted_by_systemd else f"sudo service {service} start"


def hypervisor(hardware: Hardware) -> Iterator[Check]:
    found = hardware.hypervisor
    if found.qemu:
        yield Check("qemu", Status.OK, found.qemu)
    else:
        yield Check("qemu", Status.WARNING, "not installed", _install("qemu-system", "qemu"))
    if found.libvirt_reachable:
        yield Check("libvirt", Status.OK, str(found.libvirt))
    elif found.libvirt:
        yield Check("libvirt", Status.WARNING, str(found.libvirt_reason), _start("libvirtd"))
    else:
        yield Check(
            "libvirt", Status.WARNING, str(found.libvirt_reason), _install("libvirt-daemon-system", "libvirt")
        )
    if found.kvm_usable:
        yield Check("kvm", Status.OK, "a guest's code ran on it")
        return
    slow = "simulation in a QEMU guest is about 40 times slower without it"
    mend = _NONE_HERE
    if "permission denied" in str(found.kvm_reason):
        mend = "sudo usermod -aG kvm $USER"
    elif sys.platform == "linux" and not found.kvm_present:
        mend = "sudo modprobe -a kvm_intel kvm_amd  # once virtualisation is on in the firmware"
    yield Check("kvm", Status.WARNING, f"{found.kvm_reason}; {slow}", mend)


def state(home: Path) -> Check:
    exists = next(folder for folder in (home, *home.parents) if folder.exists())
    if not os.access(exists, os.W_OK | os.X_OK):
        return Check(
            "state", Status.PROBLEM, f"{home} is not writable", "export QVIRT_HOME=a folder of yours"
        )
    free = shutil.disk_usage(exists).free
    detail = f"{home}, {show_bytes(free)} of disk free"
    if free >= LITTLE_DISK:
        return Check("state", Status.OK, detail)
    status = Status.WARNING if free >= TOO_LITTLE_DISK else Status.PROBLEM
    return Check("state", status, f"only {detail}", f"du -sh {home}/*; qvirt job rm --help")


def calibration(file: Path) -> Check:
    if file.is_file():
        return Check("calibration", Status.OK, str(file))
    reason = "not made: predicted times are those of another machine"
    return Check("calibration", Status.WARNING, reason, "qvirt bench --calibrate")

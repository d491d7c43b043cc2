"""Whether torch, in this environment, can run a kernel on each device: tried in a child process.

Importing torch takes seconds and hundreds of megabytes, and a broken driver can hang or kill what
touches it, so torch is never imported here.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from qvirt.model.hardware import Gpu, Torch
from qvirt.model.run import Device
from qvirt.probe.command import run

_LIMIT = 180.0
"""Seconds: a first Triton kernel is compiled, and a first CUDA context takes its time."""

_ROOT = Path(__file__).parents[2]

# Small integers, so that the product is exact in every format that a device may compute in.
_SCRIPT = f"""
import sys
sys.path[:] = [place for place in sys.path if place] + [{str(_ROOT)!r}]
import json, time, torch
from dataclasses import asdict
from qvirt.simulators.torch_statevector import devices
def line(failure):
    return str(failure).strip().partition("\\n")[0] or type(failure).__name__
def product(name, on):
    start = time.perf_counter()
    right = torch.equal((on @ on).cpu(), a @ a)
    return time.perf_counter() - start, None if right else "a matrix product came out wrong"
def memory():
    try:
        lines = open("/proc/self/status").read().splitlines()
    except OSError:
        return 0
    found = [int(line.split()[1]) << 10 for line in lines if line.startswith(("VmRSS", "VmData"))]
    return max(now - before for now, before in zip(found, start_memory)) if start_memory else found
def triton(name):
    # The engine's own kernels, and its comparison with the plain path.
    try:
        from qvirt.model.run import Precision
        from qvirt.simulators.torch_statevector.triton_path import refusal
        return refusal(name, Precision.SINGLE)
    except Exception as failure:
        return line(failure)
gpus = [f"cuda:{{i}}" for i in range(torch.cuda.device_count())]
gpus += ["mps"] if torch.backends.mps.is_available() else []
unseen = None
if not gpus:
    try:
        torch.cuda.init()
        unseen = "no device is visible to it"
    except Exception as failure:
        built = torch.version.cuda or torch.version.hip
        unseen = line(failure) if built else "it is built without CUDA"
kernels = []
a = torch.arange(64 * 64).reshape(64, 64).remainder(7).float()
start_memory = []
start_memory = memory() or []
startup = 0.0
for name in ["cpu", *gpus]:
    uuid = error = seconds = refused = measured = None
    began = time.perf_counter()
    try:
        if name.startswith("cuda"):
            uuid = str(getattr(torch.cuda.get_device_properties(name), "uuid", "")) or None
        on = a.to(name)
        product(name, on)
        seconds, error = product(name, on)
        refused = triton(name) if name.startswith("cuda") and error is None else "for CUDA only"
        # What the first waits for once more libraries than a context: the next one's time says too little.
        startup = max(startup, time.perf_counter() - began) if name != "cpu" else 0.0
        if name != "cpu" and error is None:
            taken = memory() if start_memory else 0
            measured = asdict(devices.measured(name, startup, taken, refused is None))
    except Exception as failure:
        error = line(failure)
    kernels.append(dict(device=name, uuid=uuid, error=error, seconds=seconds, triton_refused=refused,
        measured=measured))
print(json.dumps(dict(version=torch.__version__, unseen=unseen, kernels=kernels)))
"""


@dataclass(frozen=True, slots=True)
class Kernel:
    """The trial on one device; ``error`` is None where the answer was the CPU's.

    ``seconds`` are those of the second run, with the answer brought back. ``triton_refused`` is why the
    engine's Triton kernels are not used there, None where they gave the right answer too. ``measured`` is
    what the engine reckons with, of a GPU that works.
    """

    device: str
    uuid: str | None
    error: str | None
    seconds: float | None = None
    triton_refused: str | None = None
    measured: Device | None = None


def torch(script: str = _SCRIPT) -> tuple[Torch, tuple[Kernel, ...]]:
    if find_spec("torch") is None:
        return Torch(None, (), "torch is not installed"), ()
    # The order of nvidia-smi, so that the first device of one is the first of the other.
    answer = run([sys.executable, "-c", script], _LIMIT, {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"})
    if answer.reason:
        return Torch(_version(), (), f"torch does not work: {answer.reason}"), ()
    return read(answer.out)


def read(text: str) -> tuple[Torch, tuple[Kernel, ...]]:
    """What the script printed, after anything that torch printed itself."""
    try:
        found = json.loads(text.strip().splitlines()[-1])
        kernels = tuple(_kernel(**kernel) for kernel in found["kernels"])
    except (ValueError, IndexError, KeyError, TypeError):
        return Torch(_version(), (), "torch's trial gave an answer that cannot be read"), ()
    works = tuple(kernel.device for kernel in kernels if kernel.error is None)
    failures = [f"{kernel.device}: {kernel.error}" for kernel in kernels if kernel.error is not None]
    return Torch(found["version"], works, "; ".join(failures) or None, found["unseen"]), kernels


def _kernel(measured: dict[str, Any] | None = None, **rest: Any) -> Kernel:
    return Kernel(**rest, measured=None if measured is None else Device(**measured))


def _version() -> str | None:
    """Of the installed package, whether it works or not."""
    try:
        return version("torch")
    except PackageNotFoundError:
        return None


def with_kernels(gpus: Sequence[Gpu], torch: Torch, kernels: Sequence[Kernel]) -> tuple[Gpu, ...]:
    """``gpus`` with the outcome of the trial on each: by UUID where both know one, else by position."""
    return tuple(_with_kernel(gpu, index, torch, kernels) for index, gpu in enumerate(gpus))


def _with_kernel(gpu: Gpu, index: int, torch: Torch, kernels: Sequence[Kernel]) -> Gpu:
    if not torch.devices_ok:
        return replace(gpu, kernel_ran=None, kernel_reason=torch.reason)
    accelerators = [kernel for kernel in kernels if kernel.device != "cpu"]
    known = [kernel for kernel in accelerators if kernel.uuid and gpu.uuid and kernel.uuid in gpu.uuid]
    by_position = [kernel for kernel in accelerators[index : index + 1] if not (kernel.uuid and gpu.uuid)]
    for kernel in known or by_position:
        ran = kernel.error is None
        return replace(
            gpu,
            kernel_ran=ran,
            kernel_reason=kernel.triton_refused if ran else kernel.error,
            kernel=("triton" if kernel.triton_refused is None else "torch") if ran else None,
            kernel_seconds=kernel.seconds if ran else None,
        )
    why = f": {torch.unseen}" if torch.unseen else ""
    return replace(gpu, kernel_ran=False, kernel_reason=f"torch {torch.version} does not see it{why}")

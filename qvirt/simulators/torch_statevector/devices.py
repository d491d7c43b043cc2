"""GPUs: what one is found to be, and what is left of it; torch is loaded where one is touched.

``measured`` is for the trial, in a process of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from qvirt.errors import DoesNotFit
from qvirt.model.run import Device
from qvirt.units import show_bytes

_COPIED = 1 << 28
"""Octets whose copying says what the bandwidth is."""

_COPIES = 5
_LAUNCHES = 200


_used: set[str] = set()


def is_started(name: str) -> bool:
    """This process has used it, and need not wait for libraries and a context."""
    return name in _used


def settle(name: str) -> None:
    """Wait until all that it was given to do is done."""
    import torch

    if name.startswith("cuda"):
        torch.cuda.synchronize(name)
    elif name.startswith("mps"):
        torch.mps.synchronize()


def release(name: str) -> None:
    """What torch keeps of memory that nothing is in any more: other processes may need it."""
    import torch

    if name.startswith("cuda"):
        torch.cuda.empty_cache()
    elif name.startswith("mps"):
        torch.mps.empty_cache()


def free_memory(name: str) -> int:
    """Bytes of a GPU that this process can have, those included that torch keeps for it."""
    import torch

    if name.startswith("cuda"):
        kept = torch.cuda.memory_reserved(name) - torch.cuda.memory_allocated(name)
        return int(torch.cuda.mem_get_info(name)[0] + kept)
    return int(torch.mps.recommended_max_memory()) - int(torch.mps.current_allocated_memory())


def require(name: str, octets: int) -> None:
    """Raises DoesNotFit: since the trial others may have taken memory of the GPU."""
    free = free_memory(name)
    _used.add(name)
    if octets > free:
        raise DoesNotFit(
            f"{show_bytes(octets)} of {name} are needed, where {show_bytes(free)} are free now",
            hint="`nvidia-smi` says who holds its memory; end that, or use --device cpu",
        )


def measured(name: str, startup: float, host_memory: int, triton: bool) -> Device:
    """The arguments are of the trial before."""
    memory = free_memory(name)
    bandwidth, launch = _bandwidth(name, memory), _launch(name)
    return Device(name, memory, bandwidth, launch, startup, host_memory, triton)


def _bandwidth(name: str, memory: int) -> float:
    import torch

    size = min(_COPIED, memory // 4)
    source = torch.zeros(size // 4, device=name)
    target = torch.empty_like(source)
    return 2 * size / min(_timed(name, lambda: target.copy_(source)) for _ in range(_COPIES))


def _launch(name: str) -> float:
    import torch

    number = torch.zeros(1, device=name)

    def many() -> None:
        for _ in range(_LAUNCHES):
            number.add_(1.0)

    return min(_timed(name, many) for _ in range(_COPIES)) / _LAUNCHES


def _timed(name: str, run: Callable[[], object]) -> float:
    settle(name)
    began = time.perf_counter()
    run()
    settle(name)
    return time.perf_counter() - began

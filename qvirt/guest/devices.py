"""The GPUs of this VM: those on which a kernel has given the right answer, tried while the guest starts."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future

from qvirt.model.run import Device

Trial = Callable[[], tuple[Device, ...]]


class Devices:
    """None, for a VM that was given no GPU."""

    def __init__(self) -> None:
        self._trial: Future[tuple[Device, ...]] | None = None

    @classmethod
    def tried_by(cls, trial: Trial) -> Devices:
        """``trial`` goes on in a thread that nobody waits for at the end."""
        devices = cls()
        future: Future[tuple[Device, ...]] = Future()
        devices._trial = future
        threading.Thread(target=_settle, args=(future, trial), daemon=True).start()
        return devices

    async def tried(self) -> None:
        """Wait until it is known what there is: the first order of a VM with a GPU does."""
        if self._trial is not None:
            await asyncio.shield(asyncio.wrap_future(self._trial))

    @property
    def found(self) -> tuple[Device, ...]:
        """None before the trial's end, and where it failed: ``qvirt doctor`` says why."""
        return self._trial.result() if self._trial is not None and self._trial.done() else ()


def number_like_the_driver() -> None:
    """For this process and its workers, as in the trial: cuda:0 is the first that nvidia-smi lists."""
    os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"


def torch_devices() -> tuple[Device, ...]:
    from qvirt.probe.torch import torch

    _, kernels = torch()
    return tuple(kernel.measured for kernel in kernels if kernel.measured is not None)


def _settle(future: Future[tuple[Device, ...]], trial: Trial) -> None:
    try:
        future.set_result(trial())
    except Exception:  # whatever is wrong with the GPUs, circuits run on the CPU
        future.set_result(())

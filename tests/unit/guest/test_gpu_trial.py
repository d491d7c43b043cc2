"""What a guest with GPUs knows of them, and when."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace

from qvirt.guest.devices import Devices, torch_devices
from qvirt.guest.orders import _resumed
from qvirt.model.checkpoint import CheckpointHead
from qvirt.model.estimate import Candidate
from qvirt.model.order import Order
from qvirt.model.run import Device, Method, Precision, RunOptions

GPU = Device("cuda:0", 1 << 30, 1e12, 1e-5, 3.0, 1 << 30, triton=True)


def test_a_vm_without_a_gpu_waits_for_nothing() -> None:
    devices = Devices()
    asyncio.run(devices.tried())
    assert devices.found == ()


def test_an_order_waits_for_the_trial() -> None:
    go_on = threading.Event()

    def trial() -> tuple[Device, ...]:
        assert go_on.wait(10)
        return (GPU,)

    async def order() -> tuple[Device, ...]:
        devices = Devices.tried_by(trial)
        assert devices.found == ()
        waiting = asyncio.ensure_future(devices.tried())
        await asyncio.sleep(0)
        assert not waiting.done()
        go_on.set()
        await waiting
        return devices.found

    assert asyncio.run(order()) == (GPU,)


def test_an_order_that_is_cancelled_leaves_the_trial_to_others() -> None:
    go_on = threading.Event()

    def trial() -> tuple[Device, ...]:
        assert go_on.wait(10)
        return (GPU,)

    async def orders() -> tuple[Device, ...]:
        devices = Devices.tried_by(trial)
        first = asyncio.ensure_future(devices.tried())
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait([first])
        assert first.cancelled()
        go_on.set()
        await devices.tried()
        return devices.found

    assert asyncio.run(orders()) == (GPU,)


def test_a_trial_that_breaks_leaves_the_cpu() -> None:
    def trial() -> tuple[Device, ...]:
        raise OSError("no process can be started")

    devices = Devices.tried_by(trial)
    asyncio.run(devices.tried())
    assert devices.found == ()


def test_the_cpu_is_no_device(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    from qvirt.model.hardware import Torch
    from qvirt.probe import torch as probe
    from qvirt.probe.torch import Kernel

    kernels = (
        Kernel("cpu", None, None),
        Kernel("cuda:0", "a", None, measured=GPU),
        Kernel("cuda:1", "b", "x"),
    )
    monkeypatch.setattr(probe, "torch", lambda: (Torch("2", ("cpu", "cuda:0"), None), kernels))
    assert torch_devices() == (GPU,)


def test_a_run_that_goes_on_stays_on_its_kind_of_device() -> None:
    def resumed(candidate: Candidate) -> str | None:
        head = CheckpointHead(candidate, "1", "c", RunOptions(seed=1), 0.0, 0.4)
        return _resumed(Order("b", options=RunOptions()), head)[0].options.device

    torch = Candidate("torch", Method.STATEVECTOR, Precision.SINGLE)
    assert resumed(torch) == "cpu"
    assert resumed(replace(torch, device="cuda:1")) == "cuda"
    assert resumed(Candidate("qvirt", Method.SPLIT, Precision.SINGLE)) is None

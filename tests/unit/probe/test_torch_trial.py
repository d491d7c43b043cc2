"""torch's trial: the real one where torch is installed; what it says of GPUs that are not here is mocked."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec

import pytest

from qvirt.model.hardware import Gpu, Torch
from qvirt.probe.torch import _SCRIPT, Kernel, read, torch, with_kernels


def gpu(uuid: str | None = None) -> Gpu:
    return Gpu("NVIDIA", "NVIDIA H200", uuid, 1, None, None, None, "not tried")


WORKS = Torch("2.9.0", ("cpu", "cuda:0"), None)


@pytest.mark.skipif(find_spec("torch") is not None, reason="torch is installed")
def test_absent() -> None:
    assert torch() == (Torch(None, (), "torch is not installed"), ())


@pytest.mark.slow
@pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed")
def test_a_real_kernel_on_the_cpu_and_torch_stays_out_of_this_process() -> None:
    before = set(sys.modules)
    trial, kernels = torch()
    assert "cpu" in trial.devices_ok
    assert (kernels[0].device, kernels[0].uuid, kernels[0].error) == ("cpu", None, None)
    assert kernels[0].seconds
    assert "torch" not in set(sys.modules) - before
    # A GPU that torch names was tried; where it names none, it says why.
    assert bool(trial.unseen) == (len(kernels) == 1)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed")
@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("raise SystemExit('libcudart.so.12: cannot open shared object file')", "libcudart.so.12"),
        ("import os; os.kill(os.getpid(), 11)", "ended with -11"),
    ],
)
def test_a_torch_that_breaks_its_process(script: str, reason: str) -> None:
    trial, kernels = torch(script)
    assert (trial.devices_ok, kernels) == ((), ())
    assert reason in str(trial.reason)
    assert trial.version


@pytest.mark.slow
@pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed")
def test_a_gpu_that_torch_counts_and_cannot_use() -> None:
    """A GPU that is not there: torch's own refusal, in the trial's own child."""
    count = "import torch; torch.cuda.device_count = lambda: torch.cuda.real_count() + 1\n"
    real = "import torch; torch.cuda.real_count = torch.cuda.device_count\n"
    trial, kernels = torch(real + count + _SCRIPT)
    assert trial.unseen is None
    assert kernels[-1].device.startswith("cuda:")
    assert kernels[-1].error
    assert kernels[-1].seconds is None
    assert kernels[-1].device not in trial.devices_ok
    assert kernels[-1].error in str(trial.reason)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed")
def test_each_of_several_gpus_is_tried_and_measured() -> None:
    """The trial's own code, on devices of torch that are the CPU under other names."""
    free = "from qvirt.simulators.torch_statevector import devices as found\n"
    free += "found.free_memory = lambda name: 64 << 20\n"
    listed = '["mps"] if torch.backends.mps.is_available() else []'
    assert listed in _SCRIPT
    trial, kernels = torch(free + _SCRIPT.replace(listed, '["cpu:0", "cpu:1"]'))
    assert trial.devices_ok[-2:] == ("cpu:0", "cpu:1")
    assert kernels[0].measured is None
    first, second = (kernel.measured for kernel in kernels[-2:])
    assert first is not None and second is not None
    assert (first.name, first.memory, first.triton) == ("cpu:0", 64 << 20, False)
    assert first.bandwidth > 0 and first.launch > 0
    # The first waits for libraries; the next one's own time would say too little.
    assert 0 < first.startup <= second.startup


def test_a_kernel_that_ran_on_one_of_several_says_nothing_of_the_others() -> None:
    both = Torch("2.9.0", ("cpu", "cuda:0"), "cuda:1: out of memory")
    kernels = (
        Kernel("cpu", None, None),
        Kernel("cuda:0", "bb", None, 0.001),
        Kernel("cuda:1", "aa", "out of memory"),
    )
    first, second, third = with_kernels([gpu("GPU-aa"), gpu("GPU-bb"), gpu("GPU-cc")], both, kernels)
    assert (first.kernel_ran, first.kernel_reason) == (False, "out of memory")
    assert (second.kernel_ran, second.kernel_seconds) == (True, 0.001)
    assert third.kernel_ran is False
    assert "does not see it" in str(third.kernel_reason)


def test_reading_past_what_torch_says_itself() -> None:
    kernels = [
        {"device": "cpu", "uuid": None, "error": None},
        {"device": "cuda:0", "uuid": "ab", "error": "no kernel image is available"},
    ]
    answer = {"version": "2.9.0", "unseen": None, "kernels": kernels}
    trial, found = read(f"UserWarning: old driver\n{json.dumps(answer)}\n")
    assert trial == Torch("2.9.0", ("cpu",), "cuda:0: no kernel image is available")
    assert found[1].uuid == "ab"


@pytest.mark.parametrize(
    "text", ["", "Segmentation fault", "{}", '{"version": "2", "kernels": [{"x": 1}]}', "3"]
)
def test_an_answer_that_cannot_be_read(text: str) -> None:
    trial, kernels = read(text)
    assert trial.devices_ok == ()
    assert trial.reason == "torch's trial gave an answer that cannot be read"
    assert kernels == ()


def test_gpus_are_known_by_uuid_whatever_their_order() -> None:
    kernels = (Kernel("cpu", None, None), Kernel("cuda:0", "bb", None))
    first, second = with_kernels([gpu("GPU-aa"), gpu("GPU-bb")], WORKS, kernels)
    assert (first.kernel_ran, first.kernel_reason) == (False, "torch 2.9.0 does not see it")
    assert (second.kernel_ran, second.kernel_reason) == (True, None)


def test_a_gpu_is_told_whose_kernel_ran_on_it_and_how_long() -> None:
    kernels = (Kernel("cpu", None, None), Kernel("cuda:0", "aa", None, 0.002, "Failed to find C compiler."))
    (by_torch,) = with_kernels([gpu("GPU-aa")], WORKS, kernels)
    assert (by_torch.kernel, by_torch.kernel_seconds) == ("torch", 0.002)
    assert by_torch.kernel_reason == "Failed to find C compiler."
    (by_triton,) = with_kernels([gpu("GPU-aa")], WORKS, (kernels[0], Kernel("cuda:0", "aa", None, 0.002)))
    assert (by_triton.kernel, by_triton.kernel_reason) == ("triton", None)


def test_a_gpu_that_torch_does_not_see_has_torchs_own_reason() -> None:
    blind = Torch(
        "2.9.0", ("cpu",), None, "The NVIDIA driver on your system is too old (found version 11040)"
    )
    (only,) = with_kernels([gpu("GPU-aa")], blind, (Kernel("cpu", None, None),))
    assert only.kernel_ran is False
    assert str(only.kernel_reason).startswith("torch 2.9.0 does not see it: The NVIDIA driver")


def test_gpus_without_a_uuid_are_known_by_position() -> None:
    kernels = (Kernel("cpu", None, None), Kernel("cuda:0", None, "out of memory"))
    first, second = with_kernels([gpu("GPU-aa"), gpu()], WORKS, kernels)
    assert (first.kernel_ran, first.kernel_reason) == (False, "out of memory")
    assert second.kernel_ran is False


def test_without_torch_no_gpu_was_tried() -> None:
    (only,) = with_kernels([gpu()], Torch(None, (), "torch is not installed"), ())
    assert (only.kernel_ran, only.kernel_reason) == (None, "torch is not installed")

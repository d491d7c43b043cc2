"""torch's trial: the real one where torch is installed, its answers read and matched to GPUs elsewhere."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec

import pytest

from qvirt.model.hardware import Gpu, Torch
from qvirt.probe.torch import Kernel, read, torch, with_kernels


def gpu(uuid: str | None = None) -> Gpu:
    return Gpu("NVIDIA", "NVIDIA H200", uuid, 1, None, None, None, "not tried")


WORKS = Torch("2.9.0", ("cpu", "cuda:0"), None)


@pytest.mark.skipif(find_spec("torch") is not None, reason="torch is installed")
def test_absent() -> None:
    assert torch() == (Torch(None, (), "torch is not installed"), ())


@pytest.mark.slow
@pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed")
def test_a_real_kernel_on_the_cpu_and_torch_stays_out_of_this_process() -> None:
    trial, kernels = torch()
    assert "cpu" in trial.devices_ok
    assert kernels[0] == Kernel("cpu", None, None)
    assert "torch" not in sys.modules


def test_reading_past_what_torch_says_itself() -> None:
    kernels = [
        {"device": "cpu", "uuid": None, "error": None},
        {"device": "cuda:0", "uuid": "ab", "error": "no kernel image is available"},
    ]
    trial, found = read(f"UserWarning: old driver\n{json.dumps({'version': '2.9.0', 'kernels': kernels})}\n")
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


def test_gpus_without_a_uuid_are_known_by_position() -> None:
    kernels = (Kernel("cpu", None, None), Kernel("cuda:0", None, "out of memory"))
    first, second = with_kernels([gpu("GPU-aa"), gpu()], WORKS, kernels)
    assert (first.kernel_ran, first.kernel_reason) == (False, "out of memory")
    assert second.kernel_ran is False


def test_without_torch_no_gpu_was_tried() -> None:
    (only,) = with_kernels([gpu()], Torch(None, (), "torch is not installed"), ())
    assert (only.kernel_ran, only.kernel_reason) == (None, "torch is not installed")

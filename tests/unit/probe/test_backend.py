"""The backend picked, and the reason given."""

from __future__ import annotations

import pytest

from qvirt.model.hardware import Backend, Cpu, Gpu, Torch
from qvirt.probe.backend import backend

NO_TORCH = Torch(None, (), "torch is not installed")
H200 = Gpu("NVIDIA", "NVIDIA H200", None, 1, None, None, None, "torch is not installed")


def cpu(*features: str) -> Cpu:
    return Cpu("test", "x86_64", 1, 1, features)


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        (("avx", "avx2", "fma", "avx512f"), Backend.AVX512),
        (("avx", "avx2", "fma"), Backend.AVX2),
        (("avx", "avx2"), Backend.PLAIN),
        (("asimd", "sve"), Backend.NEON),
        (("neon",), Backend.NEON),
        ((), Backend.PLAIN),
    ],
)
def test_without_a_gpu_the_vector_instructions_decide(features: tuple[str, ...], expected: Backend) -> None:
    picked, reason = backend(cpu(*features), (), NO_TORCH)
    assert picked is expected
    assert reason.endswith("no GPU found")


@pytest.mark.parametrize(("device", "expected"), [("cuda:0", Backend.CUDA), ("mps", Backend.MPS)])
def test_a_gpu_that_ran_a_kernel(device: str, expected: Backend) -> None:
    picked, reason = backend(cpu("avx512f"), (), Torch("2.9.0", ("cpu", device), None))
    assert (picked, reason) == (expected, f"torch 2.9.0 ran a kernel on {device}")


def test_a_gpu_that_did_not_is_not_used_and_said_why() -> None:
    picked, reason = backend(cpu("avx512f"), (H200,), NO_TORCH)
    assert picked is Backend.AVX512
    assert "NVIDIA H200 is not used: torch is not installed" in reason

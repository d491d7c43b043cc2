"""The arithmetic that simulations on this machine run on."""

from __future__ import annotations

from collections.abc import Sequence

from qvirt.model.hardware import Backend, Cpu, Gpu, Torch


def backend(cpu: Cpu, gpus: Sequence[Gpu], torch: Torch) -> tuple[Backend, str]:
    """The best one there is, and the reason: a GPU only where a kernel really ran on it."""
    for kind, device in ((Backend.CUDA, "cuda"), (Backend.MPS, "mps")):
        ran = [name for name in torch.devices_ok if name.startswith(device)]
        if ran:
            return kind, f"torch {torch.version} ran a kernel on {', '.join(ran)}"
    kind, reason = _vector(cpu)
    unused = "".join(f"; {gpu.name} is not used: {gpu.kernel_reason}" for gpu in gpus)
    return kind, reason + (unused or "; no GPU found")


def _vector(cpu: Cpu) -> tuple[Backend, str]:
    has = set(cpu.features)
    if "avx512f" in has:
        return Backend.AVX512, "the CPU has AVX-512"
    if {"avx2", "fma"} <= has:
        return Backend.AVX2, "the CPU has AVX2 and FMA, no AVX-512"
    if has & {"neon", "asimd"}:
        return Backend.NEON, "the CPU has NEON"
    return Backend.PLAIN, "the CPU has no vector instructions that the engines use"

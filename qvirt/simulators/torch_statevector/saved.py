"""Branches as they are written to a checkpoint, and back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from qvirt.simulators.checkpoint import CHUNK, fill, pieces
from qvirt.simulators.torch_statevector.amplitudes import Amplitudes, format_for
from qvirt.simulators.torch_statevector.state import State
from qvirt.simulators.torch_statevector.trajectories import Branch
from qvirt.simulators.torch_statevector.unitary import Traits


def described(branch: Branch) -> dict[str, Any]:
    """All of it but its state and its shots, as JSON has it."""
    return {
        "rows": branch.state.rows,
        "layout": branch.state.layout,
        "step": branch.step,
        "sweep": branch.sweep,
        "bits": hex(branch.bits),
        "passes": branch.passes,
    }


def chunks(branch: Branch) -> Iterator[memoryview]:
    """Its shots and its amplitudes, as they are in memory."""
    yield from pieces(np.ascontiguousarray(branch.shots, "<i8"))
    for kept in branch.state.amplitudes.kept():
        for part in _octets(kept).split(CHUNK):
            yield from pieces(part.cpu().numpy())


def restored(
    found: dict[str, Any],
    chunks: Iterator[bytes | memoryview],
    kind: type[State],
    num_qubits: int,
    traits: Traits,
) -> Branch:
    """What ``described`` was said of; its chunks are taken from ``chunks``."""
    shots = np.empty(found["rows"], "<i8")
    fill(chunks, shots)
    kept = format_for(traits.precision, traits.device)
    amplitudes = Amplitudes(found["rows"], kind.bits(num_qubits), kept, traits.device)
    for tensor in amplitudes.kept():
        for part in _octets(tensor).split(CHUNK):
            if part.device.type == "cpu":
                fill(chunks, part.numpy())
                continue
            host = np.empty(len(part), np.uint8)
            fill(chunks, host)
            part.copy_(torch.from_numpy(host))
    state = kind(num_qubits, amplitudes, found["layout"], traits)
    bits = int(found["bits"], 16)
    return Branch(state, shots.astype(np.int64), found["step"], found["sweep"], bits, found["passes"])


def _octets(tensor: torch.Tensor) -> torch.Tensor:
    """The same memory."""
    real = torch.view_as_real(tensor) if tensor.is_complex() else tensor
    return real.contiguous().view(torch.uint8).view(-1)

"""The fast path on CUDA devices: every fused step is one launch of a kernel, in place.

Gates are joined up to where arithmetic takes as long as moving the amplitudes: four qubits in float32 and
float64, five where tensor cores take shorter numbers. Tiles are so large that, with such matrices and as
compiled for compute capability 9.0, a multiprocessor holds several and no register is spilled. All this is
by the data sheet of an H200 and by what the compiler says; nothing of it has been timed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import groupby
from typing import Any

import numpy as np
import torch

from qvirt.model.run import Precision
from qvirt.simulators.torch_statevector import triton_kernels as kernels
from qvirt.simulators.torch_statevector.amplitudes import Amplitudes, Format, format_for
from qvirt.simulators.torch_statevector.fusion import Phase, Step, fuse
from qvirt.simulators.torch_statevector.joining import joined
from qvirt.simulators.torch_statevector.operations import Dense, Diagonal, Matrix, Operation, Permutation
from qvirt.simulators.torch_statevector.triton_diagonals import tables, turns
from qvirt.simulators.torch_statevector.triton_tiles import group, neighbours
from qvirt.simulators.torch_statevector.unitary import Traits

LEAST_QUBITS = 2 * kernels.SIDE_BITS
"""Of a tile of neighbours; less is not worth a launch."""

WIDEST = {
    Precision.DOUBLE: 4,
    Precision.SINGLE: 4,
    Precision.HALF: 5,
    Precision.BFLOAT16: 5,
    Precision.FLOAT8: 5,
}

_PAIR_RUN = 16
"""Complex numbers of 8 bytes in a cache line; of real numbers a line holds at most ``SCALED_RUN``."""

_DOUBLE_CORES = ((8, 0), (9, 0))
"""Compute capabilities whose tensor cores multiply float64 as fast as other units float32: with fewer
registers, and exactly."""

Launch = Callable[[Amplitudes], None]


class TritonUnitary:
    def __init__(
        self, operations: Sequence[Operation], num_qubits: int, traits: Traits, planes: bool = False
    ) -> None:
        self.moved = tuple(range(num_qubits))
        self._num_qubits = num_qubits
        self._device = traits.device
        self._format = format_for(traits.precision, traits.device, planes)
        self._launches = list(self._planned(_fused(operations, num_qubits, WIDEST[traits.precision])))

    def __len__(self) -> int:
        return len(self._launches)

    def run(self, amplitudes: Amplitudes, index: int) -> None:
        with torch.cuda.device_of(amplitudes.tensor):
            self._launches[index](amplitudes)

    def _planned(self, steps: Sequence[Step]) -> Iterator[Launch]:
        run: list[Diagonal] = []
        for step in steps:
            if isinstance(step, Diagonal):
                run.append(step)
                continue
            if run:
                yield self._diagonals(run)
                run = []
            yield self._phase(step) if isinstance(step, Phase) else self._dense(step)
        if run:
            yield self._diagonals(run)

    def _dense(self, operation: Dense | Permutation) -> Launch:
        run, tile_bits = (kernels.SCALED_RUN, 12) if self._format.planes else (_PAIR_RUN, 10)
        found = group(operation, self._num_qubits, tile_bits, run, by_address=self._format.scaled)
        kind = _product_type(self._format, self._device)
        matrices = _parts(found.matrix, kind)
        table = self._on_device(found.table)
        order = table if found.order is None else self._on_device(found.order)
        size = found.matrix.shape[-1]
        constants = {
            "group": size,
            "columns": (1 << tile_bits) // size,
            "run": run,
            "parts": matrices.shape[1],
            "permuted": found.order is not None,
            "masked": found.masked,
            "num_warps": 4 if kind == torch.float64 else 8,
        }
        tiles = int(found.table[0])
        return partial(
            self._launch, kernels.dense, tiles, (matrices.to(self._device), table, order), constants
        )

    def _phase(self, step: Phase) -> Launch:
        bits, kind = (64, np.int64) if self._is_double else (32, np.int32)
        found = turns(step, bits)
        table = neighbours(self._num_qubits)
        rest = (self._real(found.factors), self._on_device(found.turns.astype(kind)), self._on_device(table))
        return partial(self._launch, kernels.phase, int(table[0]), rest, {"num_warps": 16})

    def _diagonals(self, operations: Sequence[Diagonal]) -> Launch:
        found = tables(operations)
        factors = self._real(found.factors)
        table = neighbours(self._num_qubits, stride=0 if len(factors) == 1 else factors.shape[1])
        rest = (factors, self._on_device(table), self._on_device(found.entries))
        return partial(self._launch, kernels.diagonals, int(table[0]), rest, {"num_warps": 16})

    @property
    def _is_double(self) -> bool:
        return self._format.storage in (torch.complex128, torch.float64)

    def _real(self, numbers: Matrix) -> torch.Tensor:
        """Real and imaginary parts beside one another."""
        flat = np.ascontiguousarray(numbers).view(np.float64)
        return self._on_device(flat.astype(np.float64 if self._is_double else np.float32))

    def _on_device(self, numbers: Any) -> torch.Tensor:
        return torch.as_tensor(numbers, device=self._device)

    def _launch(
        self,
        kernel: Any,
        tiles: int,
        rest: Sequence[torch.Tensor],
        constants: dict[str, Any],
        state: Amplitudes,
    ) -> None:
        tensor = state.tensor
        if tensor.is_complex():
            tensor = torch.view_as_real(tensor)
        scales = tensor if state.scales is None else state.scales
        kernel[(tiles * state.rows,)](
            tensor,
            scales,
            *rest,
            pairs=not state.format.planes,
            scaled=state.format.scaled,
            **constants,
        )


def _fused(operations: Sequence[Operation], num_qubits: int, widest: int) -> list[Step]:
    """Phases are taken for angles, so what is not unitary goes by itself, as does what differs by row."""
    steps: list[Step] = []
    for fusable, found in groupby(operations, _is_fusable):
        run = list(found)
        steps += fuse(run, num_qubits, widest) if fusable else joined(run)
    return steps


def _is_fusable(operation: Operation) -> bool:
    match operation:
        case Dense(matrix=matrix):
            return matrix.ndim == 2 and np.allclose(matrix @ matrix.conj().T, np.eye(len(matrix)))
        case Diagonal(diagonal=diagonal):
            return diagonal.ndim == 1 and np.allclose(np.abs(diagonal), 1)
    return True


def _product_type(kept: Format, device: str) -> torch.dtype:
    """What products take. Triton's interpreter, on CPUs, has no bfloat16."""
    if kept.storage in (torch.complex128, torch.float64):
        return torch.float64
    if not device.startswith("cuda"):
        return torch.float32
    if kept.storage in (torch.complex64, torch.float32):
        exact = torch.cuda.get_device_capability(device) in _DOUBLE_CORES
        return torch.float64 if exact else torch.float32
    return torch.float16 if kept.storage == torch.float16 else torch.bfloat16


def _parts(matrix: Matrix, kind: torch.dtype) -> torch.Tensor:
    """(rows or 1, parts, 2, size, size): what a 16-bit number leaves of a matrix comes as a second part."""
    planes = torch.as_tensor(np.stack((matrix.real, matrix.imag), axis=-3))
    planes = planes.reshape(-1, *planes.shape[-3:])
    first = planes.to(kind)
    if kind.itemsize > 2:
        return first[:, None]
    return torch.stack((first, (planes - first.double()).to(kind)), dim=1)

"""The plain torch path, for every device and format: tiles of amplitudes, a run of gates on each.

A tile holds the low bit positions and up to six high ones, those that the run changes; it is small
enough for the cache of a CPU, and bounds what matrix products take beside the state, which is changed in
place. Formats that are not computed with are read and rounded once a sweep. Controls and diagonal gates
on other high positions need no tile of theirs: there they are a choice or a number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch

from qvirt.simulators.torch_statevector import kernels, sizes
from qvirt.simulators.torch_statevector.amplitudes import Amplitudes, format_for
from qvirt.simulators.torch_statevector.operations import (
    LARGEST_MATRIX,
    Dense,
    Diagonal,
    Operation,
    Permutation,
    positions,
)
from qvirt.simulators.torch_statevector.unitary import Traits

_MOST_OPERATIONS = 64
"""In one sweep: how often a program may look at the clock."""


@dataclass(frozen=True, slots=True)
class _Sweep:
    """``high``: the high positions that its operations change."""

    high: tuple[int, ...]
    operations: tuple[Operation, ...]


@dataclass(frozen=True, slots=True)
class Tile:
    """Which rows and amplitudes it holds, as ``Amplitudes.read`` wants them told; ``place`` says where the
    positions that it holds are in it, ``fixed`` what the others are."""

    rows: slice
    shape: tuple[int, ...]
    index: tuple[int | slice, ...]
    place: Mapping[int, int]
    fixed: Mapping[int, int]


class PlainUnitary:
    def __init__(
        self,
        operations: Sequence[Operation],
        num_qubits: int,
        traits: Traits,
        tile_bits: int | None = None,
        planes: bool = False,
        most: int | None = None,
    ) -> None:
        self.moved = tuple(range(num_qubits))
        self._format = format_for(traits.precision, traits.device, planes)
        self._device = traits.device
        self._tile_bits = tile_bits or sizes.tile_bits(traits.device)
        self._low = low_bits(num_qubits, self._tile_bits)
        by_itself = self._low == num_qubits and self._format.is_work
        most = most or (1 if by_itself else _MOST_OPERATIONS)
        self._sweeps = list(_grouped(operations, self._low, most))
        self._tensors: dict[int, torch.Tensor] = {}

    def __len__(self) -> int:
        return len(self._sweeps)

    def run(self, amplitudes: Amplitudes, index: int) -> None:
        sweep = self._sweeps[index]
        for tile in tiles(amplitudes, self._low, sweep.high, self._tile_bits):
            numbers = amplitudes.read(tile.rows, tile.shape, tile.index)
            numbers = self._change(index, numbers, tile)
            amplitudes.write(tile.rows, tile.shape, tile.index, numbers)

    def _change(self, index: int, numbers: torch.Tensor, tile: Tile) -> torch.Tensor:
        for operation in self._sweeps[index].operations:
            self._apply(operation, numbers, tile)
        return numbers

    def _apply(self, operation: Operation, numbers: torch.Tensor, tile: Tile) -> None:
        controls: dict[int, int] = {}
        for bit, position in enumerate(operation.controls):
            wanted = operation.values >> bit & 1
            if position in tile.place:
                controls[tile.place[position]] = wanted
            elif tile.fixed[position] != wanted:
                return
        qubits = [tile.place[position] for position in operation.qubits if position in tile.place]
        if isinstance(operation, Permutation):
            kernels.permutation(numbers, qubits, operation.targets, controls)
        elif isinstance(operation, Dense):
            matrix = self._kept(operation.matrix, kernels.real_matrix)
            kernels.dense(numbers, qubits, matrix if matrix.dim() == 2 else matrix[tile.rows], controls)
        else:
            factors = self._kept(operation.diagonal, _planes)
            if operation.diagonal.ndim == 2:
                factors = factors[..., tile.rows, :]
            kernels.diagonal(numbers, qubits, _chosen(factors, operation.qubits, tile.fixed), controls)

    def _kept(self, numbers: Any, real: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """On the device, in what is computed with; ``real`` is its form on two planes."""
        found = self._tensors.get(id(numbers))
        if found is None:
            found = torch.as_tensor(np.array(numbers))
            if self._format.work not in (torch.complex128, torch.float64):
                found = found.to(torch.complex64)
            found = (found if self._format.complex_work else real(found)).to(self._device)
            self._tensors[id(numbers)] = found
        return found


def tiles(amplitudes: Amplitudes, low: int, high: Sequence[int], tile_bits: int) -> Iterator[Tile]:
    """All of the amplitudes in tiles of the positions below ``low`` and those in ``high``, ascending."""
    num_qubits = amplitudes.num_qubits
    at_once = max(1, (1 << tile_bits) >> num_qubits)
    others = [position for position in range(low, num_qubits) if position not in high]
    place = {position: position for position in range(low)}
    place |= {position: low + number for number, position in enumerate(high)}
    shape = (2,) * (num_qubits - low) + (1 << low,)
    for start in range(0, amplitudes.rows, at_once):
        rows = slice(start, min(start + at_once, amplitudes.rows))
        for values in product((0, 1), repeat=len(others)):
            fixed = dict(zip(others, values, strict=True))
            index = [fixed.get(position, slice(None)) for position in range(num_qubits - 1, low - 1, -1)]
            yield Tile(rows, shape, (*index, slice(None)), place, fixed)


def low_bits(num_qubits: int, tile_bits: int) -> int:
    """Positions that every tile holds."""
    return num_qubits if num_qubits <= tile_bits else tile_bits - LARGEST_MATRIX


def _grouped(operations: Sequence[Operation], low: int, most: int) -> Iterator[_Sweep]:
    high: set[int] = set()
    group: list[Operation] = []
    for operation in operations:
        changed = {p for p in positions(operation) if p >= low}
        if len(high | changed) > LARGEST_MATRIX:
            changed = set() if isinstance(operation, Diagonal) else {p for p in operation.qubits if p >= low}
        if group and (len(group) == most or len(high | changed) > LARGEST_MATRIX):
            yield _Sweep(tuple(sorted(high)), tuple(group))
            high, group = set(), []
        high |= changed
        group.append(operation)
    if group:
        yield _Sweep(tuple(sorted(high)), tuple(group))


def _planes(factors: torch.Tensor) -> torch.Tensor:
    return torch.stack((factors.real, factors.imag))


def _chosen(factors: torch.Tensor, qubits: Sequence[int], fixed: Mapping[int, int]) -> torch.Tensor:
    """The part of a diagonal for the fixed values."""
    if not any(position in fixed for position in qubits):
        return factors
    leading = factors.shape[:-1]
    index = tuple(fixed.get(position, slice(None)) for position in reversed(qubits))
    return factors.view(*leading, *(2,) * len(qubits))[((slice(None),) * len(leading)) + index].reshape(
        *leading, -1
    )


def once(amplitudes: Amplitudes, operations: Sequence[Operation], traits: Traits) -> None:
    """Operations that are not worth compiling."""
    planes = not amplitudes.format.complex_work
    unitary = PlainUnitary(operations, amplitudes.num_qubits, traits, planes=planes)
    for index in range(len(unitary)):
        unitary.run(amplitudes, index)

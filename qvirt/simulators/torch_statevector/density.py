"""A density matrix: the state of twice as many qubits, changed by the same kernels.

Index bits 0 to n - 1 are first the column, n to 2n - 1 the row. A gate acts on the row's qubits and,
conjugated, on the column's; a channel is one matrix on both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import torch

from qvirt.simulators.torch_statevector.amplitudes import Amplitudes
from qvirt.simulators.torch_statevector.flow import Noisy
from qvirt.simulators.torch_statevector.operations import Dense, Diagonal, Operation, Permutation, placed
from qvirt.simulators.torch_statevector.state import State
from qvirt.simulators.torch_statevector.unitary import Traits, Unitary


class DensityMatrix(State):
    """What is read from it is its diagonal, in whose index qubit q is bit ``wires[q]``.

    Bit b of a column is at ``sides[b]`` of the amplitudes' index, and of a row at ``sides[n + b]``.
    """

    def __init__(
        self, num_qubits: int, amplitudes: Amplitudes, layout: Sequence[int], traits: Traits
    ) -> None:
        super().__init__(num_qubits, amplitudes, layout[:num_qubits], traits)
        self.sides = list(layout[num_qubits:]) or list(range(2 * num_qubits))

    @staticmethod
    def bits(num_qubits: int) -> int:
        return 2 * num_qubits

    @property
    def layout(self) -> list[int]:
        return self.wires + self.sides

    def operations(self, found: Iterable[Operation | Noisy]) -> Iterator[Operation]:
        columns = [self.sides[wire] for wire in self.wires]
        rows = [self.sides[self.num_qubits + wire] for wire in self.wires]
        for each in found:
            if isinstance(each, Noisy):
                on = [side[qubit] for side in (columns, rows) for qubit in each.qubits]
                yield Dense(tuple(on), each.channel.superoperator)
            else:
                yield placed(each, rows)
                yield _conjugate(placed(each, columns))

    def moved(self, unitary: Unitary) -> None:
        self.sides = [unitary.moved[side] for side in self.sides]

    def _weights(self, rows: slice, start: int, length: int) -> torch.Tensor:
        return self._entries(rows, torch.arange(start, start + length, device=self.traits.device), 0)[0]

    def _products(
        self, rows: slice, x: int, states: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        real, imaginary = self._entries(rows, states, x)
        return real, imaginary if x else None

    def _entries(self, rows: slice, states: torch.Tensor, x: int) -> tuple[torch.Tensor, torch.Tensor]:
        """In row i and column i ^ x, for i in ``states``."""
        index = torch.zeros_like(states)
        for bit in range(self.num_qubits):
            index |= (states >> bit & 1) << self.sides[self.num_qubits + bit]
            index |= ((states ^ x) >> bit & 1) << self.sides[bit]
        tensor, kept = self.amplitudes.tensor[rows], self.amplitudes.format
        entries = tensor[..., index]
        planes = (entries[:, 0], entries[:, 1]) if kept.planes else (entries.real, entries.imag)
        kind = self.amplitudes.sum_type
        return planes[0].to(kind), planes[1].to(kind)


def _conjugate(operation: Operation) -> Operation:
    if isinstance(operation, Permutation):
        return operation
    if isinstance(operation, Diagonal):
        return replace(operation, diagonal=operation.diagonal.conj())
    return replace(operation, matrix=operation.matrix.conj())

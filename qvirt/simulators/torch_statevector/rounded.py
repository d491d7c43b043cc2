"""Formats that a CPU does not compute with: a tile is read, goes through the blocked path, and is rounded.

The tile is a small state in single precision. Gates that look at a position outside of it are done one by
one, as on the plain path.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

import torch

from qvirt.model.run import Precision
from qvirt.simulators.torch_statevector import blocked
from qvirt.simulators.torch_statevector.amplitudes import Amplitudes
from qvirt.simulators.torch_statevector.blocked import BlockedUnitary
from qvirt.simulators.torch_statevector.operations import Operation, placed, positions
from qvirt.simulators.torch_statevector.plain import PlainUnitary, Tile
from qvirt.simulators.torch_statevector.unitary import Traits

Run = tuple[list[Operation], BlockedUnitary | None]
"""Operations, and the same compiled where they are all inside of the tile."""

_MOST_OPERATIONS = 256
"""In one sweep: every sweep rounds."""


def is_for(operations: Sequence[Operation], traits: Traits) -> bool:
    """Whether there is one matrix for all rows, and the amplitudes are only kept in their format."""
    exact = Traits(traits.device, Precision.SINGLE, traits.threads)
    return traits.precision.is_reduced and blocked.is_for(operations, exact)


class RoundedUnitary(PlainUnitary):
    def __init__(
        self, operations: Sequence[Operation], num_qubits: int, traits: Traits, tile_bits: int | None = None
    ) -> None:
        super().__init__(operations, num_qubits, traits, tile_bits, most=_MOST_OPERATIONS)
        self._inner = Traits(traits.device, Precision.SINGLE, traits.threads)
        self._compiled: dict[int, list[Run]] = {}

    def _change(self, index: int, numbers: torch.Tensor, tile: Tile) -> torch.Tensor:
        for run, unitary in self._runs(index, tile.place):
            if unitary is None:
                for operation in run:
                    self._apply(operation, numbers, tile)
            else:
                numbers = self._through(unitary, numbers, len(tile.place))
        return numbers

    def _runs(
        self, index: int, place: Mapping[int, int]
    ) -> list[tuple[list[Operation], BlockedUnitary | None]]:
        """The sweep's operations, those that follow one another in the tile compiled."""
        if index not in self._compiled:
            found: list[Run] = []
            operations = self._sweeps[index].operations
            for inside, group in groupby(operations, lambda each: place.keys() >= set(positions(each))):
                run = list(group)
                here = [placed(each, place) for each in run] if inside else []
                unitary = BlockedUnitary(here, len(place), self._inner) if inside else None
                found.append((run, unitary))
            self._compiled[index] = found
        return self._compiled[index]

    def _through(self, unitary: BlockedUnitary, numbers: torch.Tensor, bits: int) -> torch.Tensor:
        state = Amplitudes.over(numbers, self._inner.precision, self._inner.device)
        for sweep in range(len(unitary)):
            unitary.run(state, sweep)
        axes = [bits - unitary.moved[position] for position in reversed(range(bits))]
        return state.tensor.view(-1, *(2,) * bits).permute(0, *axes).reshape(numbers.shape)

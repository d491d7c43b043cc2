"""What chance does to a branch: readings, resets and noise, by quantum trajectories.

A branch is a batch of states that have read the same bits and stand at the same step. Each row stands
for some of the shots, those that have met the same chances so far (M. Plenio and P. Knight, Rev. Mod.
Phys. 70, 101, 1998, unravelled over a batch): a noiseless circuit is one row for all shots, and rare
errors make few rows. A row splits where its shots do.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qvirt.model.run import Noise
from qvirt.simulators.channels import Channel
from qvirt.simulators.torch_statevector.operations import Dense
from qvirt.simulators.torch_statevector.state import Rows, State


@dataclass(slots=True)
class Branch:
    """``shots`` of each row; ``step`` is the next one's number, ``sweep`` the next in it. Every amplitude has
    been read, changed and rounded ``passes`` times."""

    state: State
    shots: Rows
    step: int = 0
    sweep: int = 0
    bits: int = 0
    passes: int = 0

    @property
    def total(self) -> int:
        return int(self.shots.sum())


def read(
    branch: Branch, qubit: int, clbit: int, noise: Noise | None, generator: np.random.Generator
) -> Iterator[Branch]:
    """A branch for each value that ``clbit`` may have now; ``branch`` itself is used up."""
    chances = branch.state.chance_of_one(qubit)
    ones = generator.binomial(branch.shots, chances)
    found = (branch.shots - ones, ones)
    rates = (noise.readout_0to1, noise.readout_1to0) if noise else (0.0, 0.0)
    wrong = [generator.binomial(counts, rate) for counts, rate in zip(found, rates, strict=True)]
    kept = []
    for value in (0, 1):
        counts = np.stack((wrong[0], ones - wrong[1]) if value else (found[0] - wrong[0], wrong[1]))
        numbers, rows = np.nonzero(counts)
        if len(rows):
            kept.append((value, numbers.astype(bool), rows, counts[numbers, rows]))
    for number, (value, outcomes, rows, shots) in enumerate(kept):
        state = _rows(branch.state, rows, last=number == len(kept) - 1)
        state.collapse(qubit, outcomes, np.where(outcomes, chances[rows], 1 - chances[rows]))
        bits = branch.bits & ~(1 << clbit) | value << clbit
        yield Branch(state, shots, branch.step + 1, 0, bits, branch.passes + 1)


def reset(branch: Branch, qubit: int, generator: np.random.Generator) -> None:
    chances = branch.state.chance_of_one(qubit)
    ones = generator.binomial(branch.shots, chances)
    counts = np.stack((branch.shots - ones, ones))
    outcomes, rows = np.nonzero(counts)
    branch.state = _rows(branch.state, rows, last=True)
    branch.shots = counts[outcomes, rows]
    branch.passes += 1
    found = outcomes.astype(bool)
    branch.state.collapse(qubit, found, np.where(found, chances[rows], 1 - chances[rows]), reset=True)


def draw(branch: Branch, qubits: tuple[int, ...], channel: Channel, generator: np.random.Generator) -> None:
    """One of the channel's matrices acts in each shot."""
    if channel.chances is not None:
        counts = generator.multinomial(branch.shots, channel.chances)
    else:
        chances = _chances(branch.state, qubits, channel)
        counts = generator.multinomial(branch.shots, chances)
    rows, kinds = np.nonzero(counts)
    branch.state = _rows(branch.state, rows, last=True)
    branch.shots = counts[rows, kinds]
    branch.passes += channel.chances is None
    if channel.chances is None:
        matrices = channel.kraus[kinds] / np.sqrt(chances[rows, kinds])[:, None, None]
        branch.state.apply([Dense(qubits, matrices)])
        return
    hit = np.flatnonzero(kinds)
    if len(hit) == len(kinds):
        branch.state.apply([Dense(qubits, channel.kraus[kinds])])
    elif len(hit):
        struck = branch.state.select(hit)
        struck.apply([Dense(qubits, channel.kraus[kinds[hit]])])
        branch.state.put(hit, struck)


def _chances(state: State, qubits: tuple[int, ...], channel: Channel) -> NDArray[np.float64]:
    """Of each matrix, for each row."""
    weights = np.einsum("kji,kjl->kil", channel.kraus.conj(), channel.kraus)
    chances = np.einsum("kil,rli->rk", weights, state.reduced(qubits)).real.clip(0.0)
    return np.asarray(chances / chances.sum(1, keepdims=True))


def _rows(state: State, rows: Rows, last: bool) -> State:
    """These rows of it; where it is no longer needed and they are all, it is not copied."""
    if last and len(rows) == state.rows and np.array_equal(rows, np.arange(len(rows))):
        return state
    return state.select(rows)

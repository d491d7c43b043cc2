"""From an exact state to measured bits: drawing shots, reading them into clbits, flipping, counting.

Shots travel as ``Readings``, one row of packed bits a shot, so that a million shots of hundreds of bits
stay small and are counted in numpy. ``clbit_of`` is Workload.terminal's: clbit -> the qubit it reads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qvirt.model.circuit import CircuitFacts
from qvirt.model.run import Noise, RunOptions

MAX_PROBABILITY_BITS = 20
"""Measured bits up to which exact probabilities are listed: a million numbers."""

BLOCK = 1 << 16
"""Amplitudes that are worked on at a time, so that temporary arrays stay small."""

BLOCK_BITS = 1 << 22
"""The same for the bits of shots: half a megabyte packed, 32 MB as floats."""


@dataclass(frozen=True, slots=True)
class Readings:
    """What the clbits held after each shot: bit c of row s (packed, little-endian) is clbit c in shot s."""

    rows: NDArray[np.uint8]
    """Shape (shots, bytes); the bits past the last clbit are 0."""

    def counts(self) -> dict[int, int]:
        width = self.rows.shape[1]
        # Numbers are sorted several times faster than strings of bytes.
        kind = f"<u{width}" if width in (1, 2, 4, 8) else f"V{width}"
        whole_rows = np.ascontiguousarray(self.rows).view(kind).ravel()
        distinct, counts = np.unique(whole_rows, return_counts=True)
        keys = distinct.tolist() if kind[0] == "<" else _integers(distinct.tobytes(), width)
        return dict(zip(keys, counts.tolist(), strict=True))

    def memory(self) -> tuple[int, ...]:
        return tuple(_integers(self.rows.tobytes(), self.rows.shape[1]))

    def flipped(self, clbits: Iterable[int], noise: Noise | None, generator: np.random.Generator) -> Readings:
        """Each of ``clbits`` read wrongly with the noise's readout rates, independently."""
        highest = max(noise.readout_0to1, noise.readout_1to0) if noise else 0.0
        if noise is None or highest == 0.0:
            return self
        rows = self.rows.copy()
        for clbit in sorted(clbits):
            # Only the shots that would flip at the higher of the two rates are looked at.
            candidates = generator.binomial(len(rows), highest)
            shots = generator.choice(len(rows), candidates, replace=False, shuffle=False)
            column, bit = rows[:, clbit >> 3], np.uint8(1 << (clbit & 7))
            rate = np.where(column[shots] & bit, noise.readout_1to0, noise.readout_0to1)
            column[shots[generator.random(candidates) * highest < rate]] ^= bit
        return Readings(rows)

    def over(self, bits: int, written: Iterable[int]) -> Readings:
        """The clbits that were not ``written`` hold what they hold in ``bits``."""
        width = self.rows.shape[1]
        kept = bits & ~sum(1 << clbit for clbit in written)
        return Readings(self.rows | np.frombuffer(kept.to_bytes(width, "little"), np.uint8))


def read_bits(bits: NDArray[Any], clbit_of: Mapping[int, int], num_clbits: int) -> Readings:
    """Qubits as 0 and 1 (or bool), shape (shots, qubits), read into the clbits."""
    read = np.zeros((len(bits), max(1, num_clbits)), np.uint8)
    read[:, list(clbit_of)] = bits[:, list(clbit_of.values())]
    return Readings(np.packbits(read, axis=1, bitorder="little"))


def read_indices(indices: NDArray[np.int64], clbit_of: Mapping[int, int], num_clbits: int) -> Readings:
    """Basis states, one a shot (bit q is qubit q, up to 63 qubits), read into the clbits."""
    states = indices.astype("<u8")
    if num_clbits > 64:
        bits = np.unpackbits(states.view(np.uint8).reshape(-1, 8), axis=1, bitorder="little")
        return read_bits(bits, clbit_of, num_clbits)
    words = np.zeros_like(states)
    for shift in {clbit - qubit for clbit, qubit in clbit_of.items()}:
        mask = np.uint64(sum(1 << qubit for clbit, qubit in clbit_of.items() if clbit - qubit == shift))
        words |= (states & mask) << shift if shift >= 0 else (states & mask) >> -shift
    width = (max(1, num_clbits) + 7) // 8
    return Readings(np.ascontiguousarray(words.view(np.uint8).reshape(-1, 8)[:, :width]))


def in_blocks(shots: int, width: int, read: Callable[[int], Readings]) -> Readings:
    """``shots`` rows, made by ``read(number of shots)`` a block at a time, of ``width`` bits a shot."""
    most = max(1, BLOCK_BITS // max(1, width))
    sizes = [min(most, shots - start) for start in range(0, shots, most)]
    return Readings(np.concatenate([read(size).rows for size in sizes]))


def draw(state: NDArray[Any], shots: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Basis states drawn from amplitudes (complex) or probabilities (real), in random order.

    A norm that is not quite 1 does no harm. Needs little memory beside ``state``.
    """
    totals = np.array([_weights(state[start : start + BLOCK]).sum() for start in range(0, len(state), BLOCK)])
    per_block = generator.multinomial(shots, totals / totals.sum())
    drawn = np.empty(shots, np.int64)
    end = np.cumsum(per_block)
    for block in np.flatnonzero(per_block):
        start = block * BLOCK
        steps = np.cumsum(_weights(state[start : start + BLOCK]))
        places = np.searchsorted(steps, generator.random(per_block[block]) * steps[-1], side="right")
        drawn[end[block] - per_block[block] : end[block]] = start + np.minimum(places, len(steps) - 1)
    generator.shuffle(drawn)
    return drawn


def probabilities_refusal(facts: CircuitFacts, options: RunOptions) -> str | None:
    """Why exact probabilities cannot be listed, where they are asked for and cannot."""
    bits = min(facts.measurements, facts.num_clbits)
    if not options.probabilities:
        return None
    if not facts.terminal_measurements:
        return "exact probabilities need all measurements at the end of the circuit"
    if bits > MAX_PROBABILITY_BITS:
        return f"exact probabilities of {bits} measured bits are too many (up to {MAX_PROBABILITY_BITS})"
    return None


def final_state_refusal(facts: CircuitFacts, options: RunOptions) -> str | None:
    """Why sampling one noiseless final state is not enough."""
    if facts.control_flow or not facts.terminal_measurements:
        return "it cannot measure, reset or branch in the middle of a circuit"
    if options.noise is not None and options.noise.on_gates:
        return "it has no noise on gates"
    return probabilities_refusal(facts, options)


def reading_memory(facts: CircuitFacts, options: RunOptions) -> int:
    """Bytes that drawing and counting the shots and listing the probabilities take at most."""
    row = (facts.num_clbits + 7) // 8
    distinct = min(options.shots, 1 << min(facts.num_clbits, 63))
    kept = (40 + row) * options.shots if options.per_shot_memory else 0
    listed = 200 << min(facts.measurements, MAX_PROBABILITY_BITS) if options.probabilities else 0
    return options.shots * (24 + 3 * row) + distinct * (150 + row) + kept + listed


def clbit_probabilities(
    state: NDArray[Any], clbit_of: Mapping[int, int], noise: Noise | None = None
) -> dict[int, float]:
    """The exact chances of what the clbits hold, from amplitudes or probabilities; those above 0 only."""
    qubits = sorted(set(clbit_of.values()))
    num_qubits = len(state).bit_length() - 1
    # Axis 0 of the tensor is the highest qubit.
    unread = tuple(num_qubits - 1 - qubit for qubit in range(num_qubits) if qubit not in qubits)
    marginal = _weights(state).reshape((2,) * num_qubits).sum(axis=unread).ravel()
    clbits = sorted(clbit_of)
    place = {qubit: number for number, qubit in enumerate(qubits)}
    numbers = np.arange(len(marginal))
    read = sum(
        ((numbers >> place[clbit_of[c]] & 1) << i for i, c in enumerate(clbits)), np.zeros_like(numbers)
    )
    chances = np.zeros(1 << len(clbits))
    chances[read] = marginal / marginal.sum()
    if noise is not None:
        chances = _misread(chances, noise)
    possible = np.flatnonzero(chances)
    keys = read_indices(
        possible, dict(zip(clbits, range(len(clbits)), strict=True)), max(clbits, default=0) + 1
    )
    return dict(zip(keys.memory(), chances[possible].tolist(), strict=True))


def _misread(chances: NDArray[np.float64], noise: Noise) -> NDArray[np.float64]:
    error = np.array(
        [[1 - noise.readout_0to1, noise.readout_1to0], [noise.readout_0to1, 1 - noise.readout_1to0]]
    )
    for bit in range(len(chances).bit_length() - 1):
        chances = np.einsum("ij,ajb->aib", error, chances.reshape(-1, 2, 1 << bit)).ravel()
    return chances


def _weights(state: NDArray[Any]) -> NDArray[np.float64]:
    if not np.iscomplexobj(state):
        return state.astype(np.float64, copy=False)
    weights: NDArray[np.float64] = np.square(state.real, dtype=np.float64)
    weights += np.square(state.imag, dtype=np.float64)
    return weights


def _integers(rows: bytes, width: int) -> list[int]:
    return [int.from_bytes(rows[start : start + width], "little") for start in range(0, len(rows), width)]

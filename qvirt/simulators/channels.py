"""qvirt's noise as quantum channels: what follows a gate, as Kraus matrices or as unitaries drawn by chance.

The formulas are those of Nielsen and Chuang, chapter 8.3; relaxation is generalised amplitude damping,
then the dephasing that T2 asks for beyond it. Aer has its own; the two are compared in the tests.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qvirt.model.run import Noise

Matrix = NDArray[np.complex128]

PAULIS: tuple[Matrix, ...] = tuple(
    np.array(rows, np.complex128)
    for rows in ([[1, 0], [0, 1]], [[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]])
)


@dataclass(frozen=True, slots=True, eq=False)
class Channel:
    """``kraus`` is (terms, 2**k, 2**k), the first qubit bit 0 of a matrix's index.

    With ``chances`` the matrices are unitary, the first the identity, and each acts with its chance.
    """

    kraus: NDArray[np.complex128]
    chances: NDArray[np.float64] | None = None

    @property
    def superoperator(self) -> Matrix:
        """On the columns of a density matrix (the low bits) and its rows (the high ones)."""
        weights = np.ones(len(self.kraus)) if self.chances is None else self.chances
        return sum(
            (w * np.kron(k, k.conj()) for w, k in zip(weights, self.kraus, strict=True)),
            np.zeros((self.kraus.shape[1] ** 2,) * 2, np.complex128),
        )


def after_gate(noise: Noise, num_qubits: int) -> Iterator[tuple[tuple[int, ...], Channel]]:
    """The channels that follow a gate on one or two qubits, in order, and which of its qubits each is on."""
    everything = tuple(range(num_qubits))
    depolarizing = noise.depolarizing_1q if num_qubits == 1 else noise.depolarizing_2q
    if depolarizing:
        yield everything, _depolarizing(depolarizing, num_qubits)
    time = noise.gate_time_1q if num_qubits == 1 else noise.gate_time_2q
    for qubit in everything:
        for channel in _on_each(noise, time):
            yield (qubit,), channel
    kraus = noise.kraus_1q if num_qubits == 1 else noise.kraus_2q
    if kraus:
        yield everything, Channel(np.array([as_matrix(each) for each in kraus]))


def as_matrix(rows: Sequence[Sequence[Any]]) -> Matrix:
    """Of numbers as their real and imaginary parts."""
    numbers = np.array(rows, np.float64)
    return np.asarray(numbers[..., 0] + 1j * numbers[..., 1])


def _on_each(noise: Noise, time: float) -> Iterator[Channel]:
    if noise.amplitude_damping:
        yield _amplitude_damping(noise.amplitude_damping, 0.0)
    if noise.phase_damping:
        yield _dephasing((1 - noise.phase_damping) ** 0.5)
    if noise.relaxes and time:
        t1 = math.inf if noise.t1 is None else noise.t1
        rest = 1 / noise.t2 - 1 / (2 * t1) if noise.t2 is not None else 0.0
        if noise.t1 is not None:
            yield _amplitude_damping(-math.expm1(-time / t1), noise.population)
        if rest > 0:
            yield _dephasing(math.exp(-time * rest))


def _depolarizing(rate: float, num_qubits: int) -> Channel:
    unitaries = [reduce(_kron, factors) for factors in product(PAULIS, repeat=num_qubits)]
    chances = np.full(len(unitaries), rate / len(unitaries))
    chances[0] += 1 - rate
    return Channel(np.array(unitaries), chances)


def _kron(high: Matrix, low: Matrix) -> Matrix:
    return np.asarray(np.kron(high, low))


def _amplitude_damping(gamma: float, population: float) -> Channel:
    """Towards the state in which 1 has the chance ``population``."""
    down = math.sqrt(1 - population) * np.array(
        [[[1, 0], [0, (1 - gamma) ** 0.5]], [[0, gamma**0.5], [0, 0]]]
    )
    up = math.sqrt(population) * np.array([[[(1 - gamma) ** 0.5, 0], [0, 1]], [[0, 0], [gamma**0.5, 0]]])
    kraus = down if population == 0 else np.concatenate((down, up))
    return Channel(kraus.astype(np.complex128))


def _dephasing(left: float) -> Channel:
    """``left`` is what stays of a coherence."""
    flips = (1 - left) / 2
    return Channel(np.array([PAULIS[0], PAULIS[3]]), np.array([1 - flips, flips]))

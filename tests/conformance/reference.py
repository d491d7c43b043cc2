"""A dense reference that knows nothing of the engines: the exact chance of every bit string.

For each bit string that the classical bits may hold, an unnormalised density matrix; measurement splits
it, a condition acts on the ones where it holds. Slow, short, and right for up to seven qubits.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import reduce
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import CircuitInstruction
from qiskit.quantum_info import Operator

from qvirt.model.run import Noise
from qvirt.simulators.conditions import holds

Matrix = NDArray[np.complex128]
Branches = dict[int, Matrix]
PAULIS = {
    "I": np.eye(2),
    "X": np.array([[0, 1], [1, 0]]),
    "Y": np.array([[0, -1j], [1j, 0]]),
    "Z": np.diag([1, -1]),
}
PROJECTORS = [np.diag([1, 0]), np.diag([0, 1])]


def distribution(circuit: QuantumCircuit, noise: Noise = Noise()) -> dict[int, float]:
    """Chance of each value of the clbits (bit i is clbit i)."""
    return {bits: float(rho.trace().real) for bits, rho in final(circuit, noise).items()}


def final(circuit: QuantumCircuit, noise: Noise = Noise()) -> Branches:
    """Gates on three and more qubits have no noise here: lower them first."""
    rho = np.zeros((2**circuit.num_qubits,) * 2, complex)
    rho[0, 0] = 1
    return _run(circuit, range(circuit.num_qubits), range(circuit.num_clbits), {0: rho}, noise)


def pauli(text: str) -> Matrix:
    """A Pauli string in Qiskit's order: the rightmost letter is qubit 0."""
    return reduce(np.kron, [PAULIS[letter] for letter in text])


def _run(
    circuit: QuantumCircuit, qubits: Sequence[int], clbits: Sequence[int], branches: Branches, noise: Noise
) -> Branches:
    number: dict[Any, int] = dict(zip(circuit.qubits, qubits, strict=True))
    number |= dict(zip(circuit.clbits, clbits, strict=True))
    for step in circuit.data:
        after: Any = defaultdict(lambda: 0)
        for bits, rho in branches.items():
            for found, part in _step(step, number, bits, rho, noise).items():
                after[found] += part
        branches = {bits: rho for bits, rho in after.items() if rho.trace().real > 1e-14}
    return branches


def _step(step: CircuitInstruction, number: dict[Any, int], bits: int, rho: Matrix, noise: Noise) -> Branches:
    on = [number[qubit] for qubit in step.qubits]
    if step.name in ("barrier", "delay"):
        return {bits: rho}
    if step.name == "reset":
        return {bits: _channel([PROJECTORS[0], PAULIS["X"] @ PROJECTORS[1]], rho, on)}
    if step.name == "measure":
        return _measured(bits, rho, on, number[step.clbits[0]], noise)
    if step.is_control_flow():
        return _conditional(step, number, bits, rho, noise)
    return {bits: _noisy(_channel([Operator(step.operation).data], rho, on), on, noise)}


def _measured(bits: int, rho: Matrix, on: list[int], clbit: int, noise: Noise) -> Branches:
    found: Any = defaultdict(lambda: 0)
    for value, wrong in product((0, 1), (0, 1)):
        rate = (noise.readout_0to1, noise.readout_1to0)[value]
        chance = rate if wrong else 1 - rate
        found[bits & ~(1 << clbit) | (value ^ wrong) << clbit] += chance * _channel(
            [PROJECTORS[value]], rho, on
        )
    return dict(found)


def _conditional(
    step: CircuitInstruction, number: dict[Any, int], bits: int, rho: Matrix, noise: Noise
) -> Branches:
    """An if, or a loop that goes on until hardly a case is left in it."""
    places = [number[qubit] for qubit in step.qubits], [number[clbit] for clbit in step.clbits]
    condition, blocks = step.operation.condition, step.operation.blocks
    if step.name == "if_else":
        chosen = 0 if holds(condition, bits, number) else 1
        return _run(blocks[chosen], *places, {bits: rho}, noise) if chosen < len(blocks) else {bits: rho}
    left: Any = defaultdict(lambda: 0)
    branches = {bits: rho}
    while branches:
        for key in [key for key in branches if not holds(condition, key, number)]:
            left[key] += branches.pop(key)
        branches = _run(blocks[0], *places, branches, noise)
    return dict(left)


def _noisy(rho: Matrix, on: list[int], noise: Noise) -> Matrix:
    rate = {1: noise.depolarizing_1q, 2: noise.depolarizing_2q}.get(len(on), 0.0)
    mixed = reduce(lambda m, qubit: _channel([p / 2 for p in PAULIS.values()], m, [qubit]), on, rho)
    rho = (1 - rate) * rho + rate * mixed
    for qubit in on:
        for damping, jump in (
            (noise.amplitude_damping, [[0, 1], [0, 0]]),
            (noise.phase_damping, [[0, 0], [0, 1]]),
        ):
            kraus = [np.diag([1, np.sqrt(1 - damping)]), np.sqrt(damping) * np.array(jump)]
            rho = _channel(kraus, rho, [qubit])
        rho = _relaxed(rho, qubit, noise, noise.gate_time_1q if len(on) == 1 else noise.gate_time_2q)
    given = noise.kraus_1q if len(on) == 1 else noise.kraus_2q
    return _channel([np.array(each) @ [1, 1j] for each in given], rho, on) if given else rho


def _relaxed(rho: Matrix, qubit: int, noise: Noise, time: float) -> Matrix:
    """Entry by entry, as T1 and T2 are defined."""
    t1 = noise.t1 or np.inf
    t2 = noise.t2 or 2 * t1
    zero, one = PROJECTORS
    decayed, up = 1 - np.exp(-time / t1), noise.excited_population
    stays = (1 - decayed * up) * _channel([zero], rho, [qubit])
    stays = stays + (1 - decayed * (1 - up)) * _channel([one], rho, [qubit])
    moves = decayed * (1 - up) * _channel([[[0, 1], [0, 0]]], rho, [qubit])
    moves = moves + decayed * up * _channel([[[0, 0], [1, 0]]], rho, [qubit])
    apart = rho - _channel([zero], rho, [qubit]) - _channel([one], rho, [qubit])
    return stays + moves + np.exp(-time / t2) * apart


def _channel(kraus: Iterable[Any], rho: Matrix, on: list[int]) -> Matrix:
    return sum(_times(k, _times(k, rho, on).conj().T, on).conj().T for k in kraus)


def _times(matrix: Any, rho: Matrix, on: list[int]) -> Matrix:
    """A matrix on the qubits ``on`` (its bit i is on[i]) times rho, little-endian."""
    n, k = len(rho).bit_length() - 1, len(on)
    axes = [n - 1 - qubit for qubit in reversed(on)]
    gate = np.asarray(matrix, complex).reshape((2,) * 2 * k)
    rows = np.tensordot(gate, rho.reshape((2,) * n + (-1,)), axes=(range(k, 2 * k), axes))
    return np.moveaxis(rows, range(k), axes).reshape(rho.shape)

"""A dense reference that shares nothing with the engines: exact chances of every bit string.

For each bit string that the classical bits may hold, an unnormalised density matrix; measurement splits
it, a condition acts on the ones where it holds. Slow, short, and right for up to five qubits.
"""

from __future__ import annotations

from collections import defaultdict
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import IfElseOp

from qvirt.model.run import Noise

Matrix = NDArray[np.complex128]
Branches = dict[int, Matrix]
PAULIS = {
    "I": np.eye(2),
    "X": np.array([[0, 1], [1, 0]]),
    "Y": np.array([[0, -1j], [1j, 0]]),
    "Z": np.diag([1, -1]),
}


def distribution(circuit: QuantumCircuit, noise: Noise = Noise()) -> dict[int, float]:
    """Chance of each value of the clbits (bit i is clbit i)."""
    branches = final(circuit, noise)
    return {bits: float(rho.trace().real) for bits, rho in branches.items() if rho.trace().real > 1e-12}


def final(circuit: QuantumCircuit, noise: Noise = Noise()) -> Branches:
    rho = np.zeros((2**circuit.num_qubits,) * 2, complex)
    rho[0, 0] = 1
    return _run(circuit, list(range(circuit.num_qubits)), list(range(circuit.num_clbits)), {0: rho}, noise)


def _run(
    circuit: QuantumCircuit, qubits: list[int], clbits: list[int], branches: Branches, noise: Noise
) -> Branches:
    n = int(np.log2(len(next(iter(branches.values())))))
    for step in circuit.data:
        on = [qubits[circuit.find_bit(q).index] for q in step.qubits]
        bits = [clbits[circuit.find_bit(c).index] for c in step.clbits]
        name = step.operation.name
        if name == "barrier":
            continue
        if name == "measure":
            branches = _measured(branches, on[0], bits[0], n, noise)
        elif name == "reset":
            kraus = [_on(np.array([[1, 0], [0, 0]]), on, n), _on(np.array([[0, 1], [0, 0]]), on, n)]
            branches = {b: sum(k @ rho @ k.conj().T for k in kraus) for b, rho in branches.items()}
        elif isinstance(step.operation, IfElseOp):
            branches = _conditional(circuit, step.operation, on, bits, clbits, branches, noise)
        else:
            gate = _on(step.operation.to_matrix(), on, n)
            branches = {b: _noisy(gate @ rho @ gate.conj().T, on, n, noise) for b, rho in branches.items()}
    return branches


def _conditional(
    circuit: QuantumCircuit,
    op: IfElseOp,
    on: list[int],
    bits: list[int],
    clbits: list[int],
    branches: Branches,
    noise: Noise,
) -> Branches:
    target, value = op.condition
    places = [
        clbits[circuit.find_bit(bit).index] for bit in ([target] if not hasattr(target, "size") else target)
    ]
    found: Branches = {}
    for b, rho in branches.items():
        holds = sum((b >> place & 1) << i for i, place in enumerate(places)) == int(value)
        body = op.blocks[0] if holds else (op.blocks[1] if len(op.blocks) > 1 else None)
        for after, out in (_run(body, on, bits, {b: rho}, noise) if body is not None else {b: rho}).items():
            found[after] = found.get(after, 0) + out
    return found


def _measured(branches: Branches, qubit: int, clbit: int, n: int, noise: Noise) -> Branches:
    found: Any = defaultdict(lambda: 0)
    for b, rho in branches.items():
        for value, wrong in ((0, noise.readout_0to1), (1, noise.readout_1to0)):
            projector = _on(np.diag([1.0 - value, value]), [qubit], n)
            part = projector @ rho @ projector
            if part.trace().real > 1e-14:
                found[b & ~(1 << clbit) | value << clbit] += (1 - wrong) * part
                if wrong:
                    found[b & ~(1 << clbit) | (1 - value) << clbit] += wrong * part
    return dict(found)


def _noisy(rho: Matrix, on: list[int], n: int, noise: Noise) -> Matrix:
    rate = {1: noise.depolarizing_1q, 2: noise.depolarizing_2q}.get(len(on), 0.0)
    mixed = rho
    for qubit in on:
        mixed = sum(m @ mixed @ m.conj().T for m in (_on(p, [qubit], n) for p in PAULIS.values())) / 4
    rho = (1 - rate) * rho + rate * mixed
    for qubit in on:
        for damping, jump in (
            (noise.amplitude_damping, [[0, 1], [0, 0]]),
            (noise.phase_damping, [[0, 0], [0, 1]]),
        ):
            kraus = [np.diag([1, np.sqrt(1 - damping)]), np.sqrt(damping) * np.array(jump)]
            rho = sum(m @ rho @ m.conj().T for m in (_on(k, [qubit], n) for k in kraus))
    return rho


def _on(matrix: Any, qubits: list[int], n: int) -> Matrix:
    """The matrix of a gate on ``qubits`` (its bit i is qubits[i]) as one on all n, little-endian."""
    k = len(qubits)
    full = np.kron(np.eye(2 ** (n - k)), matrix)
    order = [*qubits, *(q for q in range(n) if q not in qubits)]
    place = [sum((x >> q & 1) << i for i, q in enumerate(order)) for x in range(2**n)]
    return full[np.ix_(place, place)]


def pauli(text: str) -> Matrix:
    """A Pauli string in Qiskit's order: the rightmost letter is qubit 0."""
    return reduce(np.kron, [PAULIS[letter] for letter in text])

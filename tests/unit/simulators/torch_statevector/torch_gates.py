"""Random operations, and what they do by definition."""

from __future__ import annotations

import numpy as np

from qvirt.simulators.torch_statevector.operations import (
    Dense,
    Diagonal,
    Operation,
    Permutation,
    from_matrix,
    matrix_of,
)

H = np.array([[1, 1], [1, -1]]) / np.sqrt(2)
CX = np.array([[1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0], [0, 1, 0, 0]])
CZ = np.diag([1, 1, 1, -1])


def haar(size: int, rng: np.random.Generator) -> np.ndarray:
    q, r = np.linalg.qr(rng.normal(size=(size, size)) + 1j * rng.normal(size=(size, size)))
    return q * (np.diagonal(r) / abs(np.diagonal(r)))


def applied(operation: Operation, state: np.ndarray) -> np.ndarray:
    """Amplitude by amplitude index, as the operation's definition says."""
    after = state.copy()
    numbers = np.arange(len(state))
    for bit, control in enumerate(operation.controls):
        numbers = numbers[(numbers >> control & 1) == operation.values >> bit & 1]
    base = numbers[np.all([(numbers >> qubit & 1) == 0 for qubit in operation.qubits], axis=0)]
    offsets = [
        sum((i >> bit & 1) << qubit for bit, qubit in enumerate(operation.qubits))
        for i in range(1 << len(operation.qubits))
    ]
    index = np.array([base + offset for offset in offsets])
    after[index] = matrix_of(operation) @ state[index]
    return after


def random_operations(
    num_qubits: int, count: int, rng: np.random.Generator, largest: int = 9
) -> list[Operation]:
    """Of every kind: dense, diagonal, permuting, with few and many controls."""
    kinds = [_one, _one, _rotation, _pair, _cx, _cz, _phase, _swap]
    if largest >= 3:
        kinds += [_toffoli, _triple_phase]
    if num_qubits > 7 <= largest:
        kinds += [_many_controls]
    return [kinds[rng.integers(len(kinds))](rng.permutation(num_qubits).tolist(), rng) for _ in range(count)]


def _one(qubits: list[int], rng: np.random.Generator) -> Operation:
    return from_matrix(haar(2, rng), qubits[:1])


def _rotation(qubits: list[int], rng: np.random.Generator) -> Operation:
    return Diagonal(tuple(qubits[:1]), np.exp(1j * rng.normal(size=2)))


def _pair(qubits: list[int], rng: np.random.Generator) -> Operation:
    return Dense(tuple(qubits[:2]), haar(4, rng))


def _cx(qubits: list[int], rng: np.random.Generator) -> Operation:
    return Permutation((qubits[0],), (1, 0), (qubits[1],), int(rng.integers(2)))


def _cz(qubits: list[int], rng: np.random.Generator) -> Operation:
    return from_matrix(CZ, qubits[:2])


def _phase(qubits: list[int], rng: np.random.Generator) -> Operation:
    return Diagonal(tuple(qubits[:2]), np.exp(1j * rng.normal(size=4)))


def _swap(qubits: list[int], rng: np.random.Generator) -> Operation:
    return Permutation(tuple(qubits[:2]), (0, 2, 1, 3))


def _toffoli(qubits: list[int], rng: np.random.Generator) -> Operation:
    return Permutation((qubits[0],), (1, 0), tuple(qubits[1:3]), int(rng.integers(4)))


def _triple_phase(qubits: list[int], rng: np.random.Generator) -> Operation:
    return Diagonal(tuple(qubits[:2]), np.exp(1j * rng.normal(size=4)), (qubits[2],), 1)


def _many_controls(qubits: list[int], rng: np.random.Generator) -> Operation:
    controls, values = tuple(qubits[2:8]), int(rng.integers(64))
    match rng.integers(3):
        case 0:
            return Dense(tuple(qubits[:2]), haar(4, rng), controls, values)
        case 1:
            return Diagonal(tuple(qubits[:2]), np.exp(1j * rng.normal(size=4)), controls, values)
        case _:
            return Permutation((qubits[0],), (1, 0), controls, values)

"""A decision diagram as arrays, to be sampled for all shots at once with a generator of our own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from qvirt.errors import EngineFailed

_VERSION = 1
_HEADER = 24
_NODE = np.dtype(
    [("id", "<i8"), ("level", "<u2"), ("edges", [("child", "<i8"), ("weight", "<c16")], 2)], align=False
)
"""MQT Core's binary form: version, weight of the root, then the nodes, children first, the root last."""


class Nodes:
    """``child[i, b]`` is the node below node i where its qubit reads b; level 0, qubit 0, is the lowest."""

    def __init__(self, data: bytes, num_qubits: int) -> None:
        if int.from_bytes(data[:8], "little") != _VERSION or (len(data) - _HEADER) % _NODE.itemsize:
            raise EngineFailed("this version of MQT Core writes decision diagrams in another form")
        nodes = np.frombuffer(data, _NODE, offset=_HEADER)
        self._num_qubits = num_qubits
        self._child = nodes["edges"]["child"]
        self._one = self._chances_of_one(nodes)

    def _chances_of_one(self, nodes: NDArray[np.void]) -> NDArray[np.float64]:
        """For each node, the chance that its qubit reads 1, given that the node is reached."""
        weights = abs(nodes["edges"]["weight"]) ** 2
        norm = np.ones(len(nodes) + 1)
        for level in range(self._num_qubits):
            here = np.flatnonzero(nodes["level"] == level)
            # A child of -1 is the end of the diagram, which has norm 1, or a branch of weight 0.
            weights[here] *= norm[self._child[here]]
            norm[here] = weights[here].sum(axis=1)
        return weights[:, 1] / norm[:-1]

    def sample(self, shots: int, generator: np.random.Generator) -> NDArray[np.uint8]:
        """Bits, shape (shots, qubits)."""
        bits = np.empty((shots, self._num_qubits), np.uint8)
        node = np.full(shots, len(self._one) - 1)
        for qubit in range(self._num_qubits - 1, -1, -1):
            bits[:, qubit] = generator.random(shots) < self._one[node]
            node = self._child[node, bits[:, qubit]]
        return bits

    def chances(self, qubits: Sequence[int]) -> NDArray[np.float64]:
        """The exact chances of what ``qubits`` read: bit i of the index is ``qubits[i]``.

        Paths from the root are followed together as long as they meet in a node with the same bits read.
        """
        place = {qubit: 1 << number for number, qubit in enumerate(qubits)}
        node, read, chance = np.array([len(self._one) - 1]), np.array([0]), np.array([1.0])
        for qubit in range(self._num_qubits - 1, -1, -1):
            one = self._one[node]
            read = np.concatenate([read, read + place.get(qubit, 0)])
            chance = np.concatenate([chance * (1 - one), chance * one])
            node = self._child[node].T.ravel()
            possible = chance > 0
            pair = node[possible] << len(qubits) | read[possible]
            pair, same = np.unique(pair, return_inverse=True)
            chance = np.bincount(same, weights=chance[possible])
            node, read = pair >> len(qubits), pair & (1 << len(qubits)) - 1
        chances: NDArray[np.float64] = np.bincount(read, chance, 1 << len(qubits)).astype(np.float64)
        return chances

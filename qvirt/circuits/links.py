"""Which qubits depend on one another: connected by gates, or by a classical bit."""

from __future__ import annotations

from collections.abc import Sequence


class Links:
    """Disjoint sets over the qubits, then the clbits, then one node for all classical variables."""

    def __init__(self, num_qubits: int, num_clbits: int) -> None:
        self._num_qubits = num_qubits
        self._parent = list(range(num_qubits + num_clbits + 1))
        self._active = bytearray(num_qubits)
        self._joined: set[tuple[int, int]] = set()

    def join(self, qubits: Sequence[int], clbits: Sequence[int] = (), *, variables: bool = False) -> None:
        for qubit in qubits:
            self._active[qubit] = 1
        nodes = [*qubits, *(self._num_qubits + clbit for clbit in clbits)]
        if variables:
            nodes.append(len(self._parent) - 1)
        for other in nodes[1:]:
            pair = (nodes[0], other)
            if pair not in self._joined:
                self._joined.add(pair)
                self._parent[self._root(nodes[0])] = self._root(other)

    def components(self) -> tuple[tuple[int, ...], ...]:
        """Qubits that something acts on, in sets ordered by their least qubit."""
        found: dict[int, list[int]] = {}
        for qubit in range(self._num_qubits):
            if self._active[qubit]:
                found.setdefault(self._root(qubit), []).append(qubit)
        return tuple(tuple(part) for part in found.values())

    def _root(self, node: int) -> int:
        parent = self._parent
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

"""A matrix product state that is carried through a circuit piece by piece, so that it can be given up.

Nobody can tell beforehand how much entanglement a circuit makes. Aer runs a circuit in one call; here each
piece starts from the state that the one before it saved, and the time of a piece tells of the next ones.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from qiskit import QuantumCircuit

from qvirt.errors import GaveUp
from qvirt.units import show_seconds

FIRST_PIECE = 32
QUICK = 0.01
"""Seconds: after a piece that was quicker the next is twice as long, because each costs 2 ms of its own."""

PATIENCE = 3.0
"""Given up when the gates left would take this many times what is left of the budget, at the last rate."""

LABEL = "matrix product state"


class Pieces:
    """``run`` executes a circuit and returns what it saved; ``budget`` is seconds for all pieces."""

    def __init__(self, circuit: QuantumCircuit, run: Callable[[QuantumCircuit], Any], budget: float) -> None:
        self._circuit = circuit
        self._run = run
        self._budget = budget
        self._spent = 0.0
        self._done = 0
        self._size = FIRST_PIECE
        self.state: Any = None

    @property
    def fraction(self) -> float:
        return self._done / max(1, len(self._circuit.data))

    def advance(self, seconds: float) -> bool:
        """Pieces for about ``seconds``; True when no gate is left. Raises GaveUp."""
        end = time.perf_counter() + seconds
        while self.state is None or self._done < len(self._circuit.data):
            self._next()
            if time.perf_counter() > end:
                break
        return self._done == len(self._circuit.data)

    def _next(self) -> None:
        gates = self._circuit.data[self._done : self._done + self._size]
        piece = QuantumCircuit(self._circuit.qubits)
        if self.state is not None:
            piece.set_matrix_product_state(self.state)
        for gate in gates:
            piece._append(gate)
        piece.save_matrix_product_state(label=LABEL)
        start = time.perf_counter()
        self.state = self._run(piece)[LABEL]
        taken = time.perf_counter() - start
        self._done += len(gates)
        self._spent += taken
        self._size *= 2 if taken < QUICK else 1
        left = (len(self._circuit.data) - self._done) * taken / max(1, len(gates))
        if left > PATIENCE * max(0.0, self._budget - self._spent):
            raise GaveUp(
                f"after {self.fraction:.0%} of the gates the matrix product state would take "
                f"about {show_seconds(left)} more at its last rate"
            )

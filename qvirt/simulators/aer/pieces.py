"""A matrix product state that is carried through a circuit piece by piece, so that it can be given up.

Nobody can tell beforehand how much entanglement a circuit makes. Aer runs a circuit in one call; here each
piece starts from the state that the one before it saved, and the time of a piece tells of the next ones.
The time of a gate grows with the third power of the bond, which each gate may double: a piece ends where it
might otherwise take more than what is left of the budget. Where bonds turn out far smaller than they might
be, as in a Fourier transform of a simple state, the pieces grow.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from qiskit import QuantumCircuit

from qvirt.errors import GaveUp
from qvirt.units import show_seconds

FIRST_PIECE = 32
QUICK = 0.01
"""Seconds: after a piece that was quicker the next may be twice as long; each costs 1 ms of its own."""

GATE_SECONDS = 4e-8
"""Of a gate on two neighbours, times the cube of the bond between them: about, on one core of 2020."""

_CONTROLLED = ("cx", "cy", "cz", "ch", "cp", "cu", "cu1", "cu3", "crx", "cry", "crz", "csx")
AT_MOST_DOUBLE = frozenset({*_CONTROLLED, "rxx", "ryy", "rzz", "rzx", "ecr"})
"""What these gates make of a bond; others on two qubits may make four times of it."""

TRUST = 8.0
"""How much more the next piece may take at worst, after one whose bonds stayed below half of their bound."""

PATIENCE = 3.0
"""Given up when the gates left would take this many times what is left of the budget, at the last rate."""

FAIR_CHANCE = 0.25
"""Share of the budget that is spent before anything is given up."""

LABEL = "matrix product state"


class Pieces:
    """``run`` executes a circuit and returns what it saved; ``budget`` is seconds for all pieces."""

    def __init__(self, circuit: QuantumCircuit, run: Callable[[QuantumCircuit], Any], budget: float) -> None:
        self._circuit = circuit
        self._gates = list(circuit.data)
        self._run = run
        self._budget = budget
        self._spent = 0.0
        self._done = 0
        self._size = FIRST_PIECE
        self._trust = 1.0
        self._place = {qubit: number for number, qubit in enumerate(circuit.qubits)}
        self.state: Any = None

    @property
    def fraction(self) -> float:
        return self._done / max(1, len(self._gates))

    def advance(self, seconds: float) -> bool:
        """Pieces for about ``seconds``; True when no gate is left. Raises GaveUp."""
        end = time.perf_counter() + seconds
        while self.state is None or self._done < len(self._gates):
            self._next()
            if time.perf_counter() > end:
                break
        return self._done == len(self._gates)

    def _next(self) -> None:
        length, bound = self._length()
        gates = self._gates[self._done : self._done + length]
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
        self._size = min(self._size, max(FIRST_PIECE, 2 * length)) * (2 if taken < QUICK else 1)
        self._trust = TRUST * self._trust if max(self._bits(), default=0.0) <= bound - 1 else 1.0
        self._judge((len(self._gates) - self._done) * taken / max(1, len(gates)))

    def _judge(self, left: float) -> None:
        """``left`` is how long the rest would take at the rate of the last piece."""
        fair = self._spent > FAIR_CHANCE * self._budget
        if fair and left > PATIENCE * max(0.0, self._budget - self._spent):
            raise GaveUp(
                f"after {self.fraction:.0%} of the gates the matrix product state would take "
                f"about {show_seconds(left)} more at its last rate"
            )

    def _length(self) -> tuple[int, float]:
        """How many gates the next piece has, and the largest bond (in bits) that it may lead to."""
        allowed = self._trust * max(QUICK, (self._budget - self._spent) / 2)
        bits = self._bits()
        gates = self._gates[self._done : self._done + self._size]
        for count, gate in enumerate(gates):
            places = [self._place[qubit] for qubit in gate.qubits]
            for cut in range(min(places), max(places)):
                grown = bits[cut] + (1 if gate.name in AT_MOST_DOUBLE else 2)
                bits[cut] = min(grown, cut + 1, len(bits) - cut)
                allowed -= GATE_SECONDS * 8 ** bits[cut]
            if allowed < 0 and count:
                return count, max(bits)
        return len(gates), max(bits, default=0.0)

    def _bits(self) -> list[float]:
        """Logarithm of the bond at each cut between two neighbours, as it is now."""
        if self.state is None:
            return [0.0] * max(0, len(self._place) - 1)
        return [math.log2(max(1, len(values))) for values in self.state[1]]

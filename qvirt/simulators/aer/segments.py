"""A long dense circuit in segments, so that it can be watched, stopped and saved on its way.

Aer comes back from a call only at the end of the circuit that it was given; each segment here sets the
state that the one before it saved. That takes as long as dozens of gates, and several times the memory of
the state (measured; see cost.py, which decides whether and how often it is done).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import CircuitInstruction, Instruction

from qvirt.model.run import Method, Precision
from qvirt.simulators.checkpoint import Checkpoint, fill, pieces
from qvirt.simulators.starting import copied

LABEL = "segment"


class Segments:
    """``run`` executes a circuit and returns what it saved; a segment has ``size`` operations.

    ``start`` is the state to begin with, which has the circuit's global phase already.
    """

    def __init__(
        self,
        circuit: QuantumCircuit,
        method: Method,
        run: Callable[[QuantumCircuit], Any],
        size: int,
        checkpoint: Checkpoint | None,
        start: NDArray[Any] | None = None,
    ) -> None:
        self._circuit = circuit
        self._steps = list(circuit.data)
        self._method = method
        self._run = run
        self._size = size
        self._state = start
        self.done = 0
        if checkpoint is not None and checkpoint.header["done"]:
            self.done, self._size = checkpoint.header["done"], checkpoint.header["size"]
            self._state = np.empty(checkpoint.header["shape"], checkpoint.header["type"])
            fill(iter(checkpoint.chunks), self._state)

    @property
    def total(self) -> int:
        return len(self._steps)

    def advance(self, seconds: float) -> bool:
        """Segments for about ``seconds``; True when only the last is left, which is the caller's to run."""
        end = time.perf_counter() + seconds
        while self.total - self.done > self._size:
            segment = self._next(self.done + self._size)
            save = (
                segment.save_statevector
                if self._method is Method.STATEVECTOR
                else segment.save_density_matrix
            )
            save(label=LABEL)
            # Only one state is held while the next is made of it.
            self._state = None
            self._state = np.ascontiguousarray(self._run(segment)[LABEL])
            self.done += self._size
            if time.perf_counter() > end:
                break
        return self.total - self.done <= self._size

    def last(self) -> QuantumCircuit:
        """What is left, from the state that was reached."""
        return self._next(self.total)

    def checkpoint(self) -> Checkpoint:
        if self._state is None or not self.done:
            return Checkpoint({"done": 0}, ())
        header = {
            "done": self.done,
            "size": self._size,
            "shape": self._state.shape,
            "type": self._state.dtype.str,
        }
        return Checkpoint(header, pieces(self._state))

    def _next(self, end: int) -> QuantumCircuit:
        if self._state is None and end == self.total:
            # The lowered circuit may be the workload's own.
            return self._circuit.copy()
        segment = QuantumCircuit(self._circuit.qubits)
        if self._state is None:
            segment.global_phase = self._circuit.global_phase
        else:
            segment._append(setting(self._method, segment, self._state))
        for step in self._steps[self.done : end]:
            segment._append(step)
        return segment


def setting(method: Method, circuit: QuantumCircuit, state: NDArray[Any]) -> CircuitInstruction:
    """Aer's own would make another copy, in double precision, and check that the norm is 1."""
    instruction = Instruction(f"set_{method.value}", circuit.num_qubits, 0, [])
    instruction._params = [state]
    return CircuitInstruction(instruction, circuit.qubits)


def beginning(circuit: QuantumCircuit, start: NDArray[Any], precision: Precision) -> NDArray[Any]:
    """``start`` with the circuit's global phase, which setting a state would undo."""
    kind = np.complex64 if precision is Precision.SINGLE else np.complex128
    state = copied(start, kind)
    state *= kind(np.exp(1j * float(circuit.global_phase)))
    return state

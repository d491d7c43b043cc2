"""Running a circuit with qsim.

A call to the native module holds the interpreter's lock and ends only when it is done (or killed), so a
long circuit is run piece by piece where memory allows: a piece takes the state of the last one.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import CircuitInstruction
from qiskit.circuit.controlledgate import ControlledGate
from qiskit.circuit.library import get_standard_gate_name_mapping

from qvirt.errors import EngineFailed
from qvirt.model.result import Expectation, Position
from qvirt.model.run import Limits
from qvirt.simulators.active import active
from qvirt.simulators.checkpoint import Checkpoint, fill, pieces
from qvirt.simulators.contract import Outcome
from qvirt.simulators.lowering import lower
from qvirt.simulators.observables import mean, parse_observable
from qvirt.simulators.sampling import (
    clbit_probabilities,
    draw,
    read_indices,
)
from qvirt.simulators.starting import copied
from qvirt.simulators.workload import Workload

BASE_MEMORY = 2 << 20
"""What a run takes beside the state in a worker that has loaded qsim; 1.5 MiB were measured."""

PIECE = 1000
"""Gates in one native call: starting one costs as much as some forty gates."""

_LARGEST_MATRIX = 6
_LARGEST_PLAIN = 3
"""Gates on more qubits are given with their controls, which touch only a part of the amplitudes."""

_UNUSED_OPTIONS = {"s": 1, "v": 0, "z": False, "r": 1, "g": False, "gmode": 0, "gsst": 32, "gdb": 16}
"""Seed, verbosity, flushing of denormals (it would stay on for the process) and GPU: all must be given."""


class QsimProgram:
    """Qubits that nothing acts on are left out, unless the whole state is asked for."""

    def __init__(
        self, native: ModuleType, work: Workload, limits: Limits, checkpoint: Checkpoint | None = None
    ) -> None:
        unitary, clbit_of = work.terminal
        self._native = native
        self._work = work
        self._circuit = lower(unitary, _basis(), _LARGEST_MATRIX)
        self._threads = limits.threads
        qubits = active(work.facts, work.options)
        place = {qubit: number for number, qubit in enumerate(qubits)}
        self._place = {bit: place.get(number, 0) for number, bit in enumerate(self._circuit.qubits)}
        self._width = len(qubits)
        self._clbit_of = {clbit: place[qubit] for clbit, qubit in clbit_of.items()}
        self._piece = PIECE if in_pieces(self._width, work.facts.gates, limits) else len(self._circuit.data)
        self._done = 0
        self._state: NDArray[np.float32] | None = None
        if work.start is not None:
            self._state = copied(work.start, np.complex64).view(np.float32)
        if checkpoint is not None and checkpoint.header["done"] is not None:
            self._done = checkpoint.header["done"]
            self._state = np.empty(2 << self._width, np.float32)
            fill(iter(checkpoint.chunks), self._state)

    @property
    def fraction(self) -> float:
        steps = len(self._circuit.data)
        return self._done / steps if steps else float(self._state is not None)

    def advance(self, seconds: float) -> bool:
        """One piece, however long it takes."""
        piece = self._circuit.data[self._done : self._done + max(1, self._piece)]
        options = {
            "c": self._translate(piece),
            # Fusing more pays off once the state no longer fits in the cache.
            "f": 2 if self._width < 16 else 3,
            "t": self._threads,
            **_UNUSED_OPTIONS,
        }
        before = 0 if self._state is None else self._state
        # qsim takes the process down where it is refused memory; numpy raises MemoryError.
        np.empty(2 << self._width, np.float32)
        self._state = self._native.qsim_simulate_fullstate(options, before)
        if len(self._state) != 2 << self._width:
            raise EngineFailed(f"qsim gave no state of {self._width} qubits")
        self._done += len(piece)
        return self._done == len(self._circuit.data)

    @property
    def position(self) -> Position:
        return Position(operations_done=self._done, operations=len(self._circuit.data))

    def checkpoint(self) -> Checkpoint:
        if self._state is None:
            return Checkpoint({"done": None}, ())
        return Checkpoint({"done": self._done}, pieces(self._state))

    def result(self) -> Outcome:
        assert self._state is not None, "a result is asked for after the program has run"  # noqa: S101
        work, options, noise = self._work, self._work.options, self._work.options.noise
        state = self._state.view(np.complex64)
        generator = np.random.default_rng(work.seed)
        indices = draw(state, options.shots, generator)
        readings = read_indices(indices, self._clbit_of, work.facts.num_clbits)
        readings = readings.flipped(self._clbit_of, noise, generator)
        return Outcome(
            readings.counts(),
            memory=readings.memory() if options.per_shot_memory else None,
            probabilities=clbit_probabilities(state, self._clbit_of, noise)
            if options.probabilities
            else None,
            expectations=tuple(
                Expectation(text, mean(state, parse_observable(text, self._width)), 0.0)
                for text in options.observables
            ),
            state=self._full_state(state) if options.state else None,
        )

    def _full_state(self, state: NDArray[np.complex64]) -> NDArray[np.complex128]:
        full = state.astype(np.complex128)
        full *= np.exp(1j * float(self._circuit.global_phase)) / np.linalg.norm(full)
        return full

    def _translate(self, steps: Sequence[CircuitInstruction]) -> Any:
        native, circuit = self._native, self._native.Circuit()
        circuit.num_qubits = self._width
        for time, step in enumerate(steps):
            qubits = [self._place[qubit] for qubit in step.qubits]
            gate = step.operation if len(qubits) > _LARGEST_PLAIN else None
            if isinstance(gate, ControlledGate):
                controls = [gate.ctrl_state >> bit & 1 for bit in range(gate.num_ctrl_qubits)]
                self._add(circuit, time, qubits[len(controls) :], gate.base_gate.to_matrix())
                native.control_last_gate(qubits[: len(controls)], controls, circuit)
            else:
                self._add(circuit, time, qubits, step.matrix)
        return circuit

    def _add(self, circuit: Any, time: int, qubits: list[int], matrix: NDArray[np.complex128]) -> None:
        # qsim, like Cirq, has a gate's first qubit as the highest bit of its matrix.
        numbers = np.ascontiguousarray(matrix).view(np.float64).ravel().tolist()
        self._native.add_matrix_gate(time, qubits[::-1], numbers, circuit)


@cache
def _basis() -> frozenset[str]:
    """Gates with a small matrix, or with many controls and a small matrix."""
    known = get_standard_gate_name_mapping().items()
    return frozenset({name for name, gate in known if gate.num_qubits} | {"unitary", "mcx", "mcphase"})


def in_pieces(qubits: int, gates: int, limits: Limits) -> bool:
    """Between pieces there are two states."""
    return gates > PIECE and 2 * (8 << qubits) + 2 * BASE_MEMORY <= limits.memory

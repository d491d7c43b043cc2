"""A circuit with what is asked of it, in the forms that engines want it in."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit

from qvirt.model.circuit import CircuitFacts
from qvirt.model.run import RunOptions
from qvirt.model.sweep import Sweep


class TerminalForm(NamedTuple):
    """A circuit whose measurements all come last: the gates alone, and which clbit reads which qubit."""

    unitary: QuantumCircuit
    clbit_of: dict[int, int]
    """clbit -> qubit that it reads; a clbit written twice keeps its last reading."""


@dataclass(frozen=True)
class Workload:
    """``options.seed`` is set; ``circuit`` has measurements (of all qubits if the file had none), and free
    parameters where there is a ``sweep``."""

    circuit: QuantumCircuit
    facts: CircuitFacts
    options: RunOptions
    parts: tuple[Workload, ...] = ()
    """Independent parts, each on its own qubits and all of the clbits; empty where there is only one."""
    sweep: Sweep | None = None
    start: NDArray[np.complexfloating] | None = None
    """The amplitudes to begin with, where that is not |0...0>; they may be in a file that is mapped."""

    @property
    def seed(self) -> int:
        assert self.options.seed is not None, "the seed is fixed before a workload is made"  # noqa: S101
        return self.options.seed

    @cached_property
    def terminal(self) -> TerminalForm:
        """Only where ``facts.terminal_measurements``: nothing follows a measurement on its qubit and no
        condition reads its bit, so that sampling the final state is exact. Resets of untouched qubits,
        the only ones there can be, are dropped."""
        circuit = self.circuit
        unitary = QuantumCircuit(circuit.qubits, *circuit.qregs, global_phase=circuit.global_phase)
        clbit_of: dict[int, int] = {}
        for step in circuit.data:
            if step.name == "measure":
                clbit = circuit.find_bit(step.clbits[0]).index
                clbit_of[clbit] = circuit.find_bit(step.qubits[0]).index
            elif step.name not in ("barrier", "reset", "delay"):
                # Several times faster than append, which checks again what has been checked.
                unitary._append(step)
        return TerminalForm(unitary, clbit_of)

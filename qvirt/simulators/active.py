"""Which qubits of a circuit a dense engine has to hold."""

from __future__ import annotations

from collections.abc import Sequence

from qvirt.model.circuit import CircuitFacts
from qvirt.model.run import RunOptions


def active(facts: CircuitFacts, options: RunOptions) -> Sequence[int]:
    """Those that something acts on, one at least; all only where all of the state is asked for."""
    if options.state or options.observables:
        return range(facts.num_qubits)
    return sorted(qubit for part in facts.components for qubit in part) or range(1)


def width(facts: CircuitFacts, options: RunOptions) -> int:
    """How many they are."""
    return facts.num_qubits if options.state or options.observables else facts.active_qubits

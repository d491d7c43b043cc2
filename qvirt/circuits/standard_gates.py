"""Qiskit's standard gates by name, as every format calls them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache

from qiskit.circuit import Gate
from qiskit.circuit.library import get_standard_gate_name_mapping


@dataclass(frozen=True, slots=True)
class StandardGate:
    name: str
    make: Callable[..., Gate]
    num_params: int
    num_qubits: int


@cache
def standard_gates() -> dict[str, StandardGate]:
    """Every gate with a name of its own; neither measurements nor the like, nor the global phase."""
    return {
        name: StandardGate(name, gate.base_class, len(gate.params), gate.num_qubits)
        for name, gate in get_standard_gate_name_mapping().items()
        if isinstance(gate, Gate) and gate.num_qubits
    }


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """A hint that names what ``name`` may have been meant for."""
    if len(name) > 40:
        return None
    close = get_close_matches(name.lower(), sorted(set(known)), n=3, cutoff=0.5)
    return f"did you mean {' or '.join(close)}?" if close else None

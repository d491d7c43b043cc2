"""A circuit drawn in text."""

from __future__ import annotations

from qiskit import QuantumCircuit

MOST_STEPS = 2_000
MOST_QUBITS = 200


def draw(circuit: QuantumCircuit, columns: int) -> str:
    """``circuit`` in lines of at most about ``columns`` characters; a large one only in its beginning."""
    drawn, note = circuit, ""
    if circuit.num_qubits > MOST_QUBITS:
        return f"{circuit.num_qubits} qubits are too many to draw (at most {MOST_QUBITS})"
    if len(circuit.data) > MOST_STEPS:
        drawn = circuit.copy_empty_like()
        for step in circuit.data[:MOST_STEPS]:
            drawn._append(step)
        note = f"\n... and {len(circuit.data) - MOST_STEPS:,} more operations"
    text = str(drawn.draw("text", fold=max(columns, 20), cregbundle=True, idle_wires="auto"))
    return "\n".join(line.rstrip() for line in text.splitlines()) + note

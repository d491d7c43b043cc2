"""The independent parts of a circuit, each as a circuit of its own."""

from __future__ import annotations

from qiskit import QuantumCircuit

MOST_PARTS = 100


def split(circuit: QuantumCircuit, components: tuple[tuple[int, ...], ...]) -> list[QuantumCircuit]:
    """One circuit for each component, on its qubits in the same order and on all of the clbits.

    Nothing is given where splitting gains nothing: only one part, more than ``MOST_PARTS``, or only
    single qubits (a product state). The global phase goes to the first.
    """
    if not 1 < len(components) <= MOST_PARTS or all(len(part) == 1 for part in components):
        return []
    parts = []
    owner: dict[object, QuantumCircuit] = {}
    for component in components:
        qubits = [circuit.qubits[q] for q in component]
        part = QuantumCircuit(qubits, circuit.clbits, *circuit.cregs)
        owner.update(dict.fromkeys(qubits, part))
        parts.append(part)
    parts[0].global_phase = circuit.global_phase
    for step in circuit.data:
        if step.name == "barrier" or not step.qubits:
            continue
        if (part := owner.get(step.qubits[0])) is not None:
            part._append(step)
    return parts

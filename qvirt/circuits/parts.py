"""The independent parts of a circuit, each as a circuit of its own."""

from __future__ import annotations

from qiskit import QuantumCircuit
from qiskit.circuit import CircuitInstruction, Clbit, Qubit

MOST_PARTS = 1_000
"""Each takes two milliseconds before it is run."""

FEW_PARTS = 100
SMALL_PART = 8
"""More than a few are put together, as far as they have no more qubits than this."""


def split(circuit: QuantumCircuit, components: tuple[tuple[int, ...], ...]) -> list[QuantumCircuit]:
    """One circuit for each component, or for several small ones, on its qubits in the same order and on the
    clbits that it writes; on all of them where it branches, because a condition may read any.

    Nothing is given where splitting gains nothing: only one part, more than ``MOST_PARTS``, or only
    single qubits (a product state). The global phase goes to the first.
    """
    alone = all(len(part) == 1 for part in components)
    if len(components) > FEW_PARTS:
        components = _grouped(components)
    if not 1 < len(components) <= MOST_PARTS or alone:
        return []
    owner: dict[Qubit, int] = {
        circuit.qubits[q]: number for number, component in enumerate(components) for q in component
    }
    steps: list[list[CircuitInstruction]] = [[] for _ in components]
    for step in circuit.data:
        if step.name != "barrier" and step.qubits and (number := owner.get(step.qubits[0])) is not None:
            steps[number].append(step)
    parts = [_part(circuit, component, own) for component, own in zip(components, steps, strict=True)]
    parts[0].global_phase = circuit.global_phase
    return parts


def _grouped(components: tuple[tuple[int, ...], ...]) -> tuple[tuple[int, ...], ...]:
    groups: list[tuple[int, ...]] = []
    for component in sorted(components, key=len):
        if groups and len(groups[-1]) + len(component) <= SMALL_PART:
            groups[-1] += component
        else:
            groups.append(component)
    return tuple(sorted(tuple(sorted(group)) for group in groups))


def _part(
    circuit: QuantumCircuit, component: tuple[int, ...], steps: list[CircuitInstruction]
) -> QuantumCircuit:
    qubits = [circuit.qubits[q] for q in component]
    if any(step.is_control_flow() for step in steps):
        part = QuantumCircuit(qubits, circuit.clbits, *circuit.cregs)
    else:
        clbits: dict[Clbit, None] = {clbit: None for step in steps for clbit in step.clbits}
        part = QuantumCircuit(qubits, list(clbits) or circuit.clbits[:1])
    for step in steps:
        part._append(step)
    return part

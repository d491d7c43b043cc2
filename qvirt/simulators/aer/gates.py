"""Circuits in the operations that Aer has, by method."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qiskit import QuantumCircuit
from qiskit.circuit.library import PhaseGate

from qvirt.model.run import Method, Noise
from qvirt.simulators.aer.backend import load
from qvirt.simulators.aer.conditions import with_plain_conditions
from qvirt.simulators.lowering import lower

if TYPE_CHECKING:
    from qiskit_aer.noise import NoiseModel

LARGEST_UNITARY = 6

_CLIFFORD = frozenset({"id", "x", "y", "z", "h", "s", "sdg", "sx", "sxdg", "cx", "cy", "cz", "swap", "ecr"})
_DENSE = _CLIFFORD | {"t", "tdg", "p", "r", "rx", "ry", "rz", "u", "u1", "u2", "u3"}
_DENSE |= {"cp", "cu1", "rxx", "ryy", "rzz", "rzx", "ccx", "unitary"}
_CONTROL_FLOW = {"if_else", "for_loop", "while_loop", "switch_case"}

BASIS = {
    Method.STATEVECTOR: _DENSE
    | {"ccz", "crx", "cry", "crz", "cswap", "csx", "cu", "cu3", "mcphase", "mcx"}
    | _CONTROL_FLOW,
    Method.DENSITY_MATRIX: _DENSE | _CONTROL_FLOW,
    Method.MPS: _DENSE | {"cswap", "csx"} | _CONTROL_FLOW,
    # rz stays out: Aer asks for exact quarter turns where a file may give nine digits of them.
    Method.STABILIZER: _CLIFFORD | _CONTROL_FLOW,
    Method.EXTENDED_STABILIZER: _CLIFFORD - {"cy"} | {"t", "tdg", "p", "rz", "u1", "ccx", "ccz"},
}


def for_aer(
    circuit: QuantumCircuit, method: Method, noise: Noise | None
) -> tuple[QuantumCircuit, NoiseModel | None]:
    """Noise follows the gates of ``circuit`` as it is, not what they are lowered to."""
    load()
    basis = BASIS[method]
    model = None
    if noise is not None:
        from qvirt.simulators.aer.noise import with_noise

        circuit, model = with_noise(circuit, noise, basis)
    circuit = lower(with_plain_conditions(circuit), basis | {"quantum_channel"}, LARGEST_UNITARY)
    return (_phases(circuit) if method is Method.EXTENDED_STABILIZER else circuit), model


def _phases(circuit: QuantumCircuit) -> QuantumCircuit:
    """Rotations about Z as phases: the extended stabilizer takes those by any angle, and these by few."""
    changed = circuit.copy_empty_like()
    for step in circuit.data:
        changed._append(step.replace(operation=PhaseGate(step.params[0])) if step.name == "rz" else step)
    return changed

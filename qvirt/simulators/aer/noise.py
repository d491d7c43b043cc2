"""qvirt's noise in Aer's terms."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import partial

from qiskit import QuantumCircuit
from qiskit.circuit import CircuitInstruction
from qiskit.circuit.library import UnitaryGate
from qiskit_aer.noise import (
    NoiseModel,
    QuantumError,
    ReadoutError,
    amplitude_damping_error,
    depolarizing_error,
    kraus_error,
    pauli_error,
    thermal_relaxation_error,
)

from qvirt.model.run import Noise
from qvirt.simulators.channels import as_matrix
from qvirt.simulators.lowering import NOT_GATES, lower_to_two_qubit

_LABELS = ("", "gate_1q", "gate_2q")

Rewrite = Callable[[CircuitInstruction], Iterable[CircuitInstruction]]


def with_noise(
    circuit: QuantumCircuit, noise: Noise, basis: frozenset[str]
) -> tuple[QuantumCircuit, NoiseModel]:
    """``circuit`` on one- and two-qubit gates, and the model that has noise follow each of them.

    Where Aer knows matrices, noise follows gates by name, so that it is joined with them (three times
    faster on a density matrix); gates that Aer does not know become matrices first. Elsewhere the
    channels stand in the circuit, so that gates can be lowered and still have noise once.
    """
    model = NoiseModel()
    if noise.readout_0to1 or noise.readout_1to0:
        rows = [[1 - noise.readout_0to1, noise.readout_0to1], [noise.readout_1to0, 1 - noise.readout_1to0]]
        model.add_all_qubit_readout_error(ReadoutError(rows))
    if not noise.on_gates:
        return circuit, model
    circuit = lower_to_two_qubit(circuit)
    errors = {num_qubits: _error(noise, num_qubits) for num_qubits in (1, 2)}
    if "unitary" not in basis:
        return _rewritten(circuit, partial(_followed, errors=errors)), model
    names: dict[str, int] = {}
    circuit = _rewritten(circuit, partial(_named, basis=basis, names=names))
    for name, num_qubits in names.items():
        model.add_all_qubit_quantum_error(errors[num_qubits], name)
    return circuit, model


def _error(noise: Noise, num_qubits: int) -> QuantumError:
    """In the order in which Noise says that they come."""
    flips = (1 - (1 - noise.phase_damping) ** 0.5) / 2
    # As the mixture of Paulis that it is, phase damping is no burden to a stabilizer or a trajectory.
    damping = pauli_error([("Z", flips), ("I", 1 - flips)])
    if noise.amplitude_damping:
        damping = amplitude_damping_error(noise.amplitude_damping).compose(damping)
    if noise.relaxes:
        damping = damping.compose(_relaxation(noise, num_qubits))
    if num_qubits == 2:
        damping = damping.tensor(damping)
    rate, kraus = (
        (noise.depolarizing_1q, noise.kraus_1q)
        if num_qubits == 1
        else (noise.depolarizing_2q, noise.kraus_2q)
    )
    error = depolarizing_error(rate, num_qubits).compose(damping)
    return error.compose(kraus_error([as_matrix(each) for each in kraus])) if kraus else error


def _relaxation(noise: Noise, num_qubits: int) -> QuantumError:
    t1 = math.inf if noise.t1 is None else noise.t1
    t2 = 2 * t1 if noise.t2 is None else noise.t2
    time = noise.gate_time_1q if num_qubits == 1 else noise.gate_time_2q
    return thermal_relaxation_error(t1, t2, time, noise.population)


def _followed(step: CircuitInstruction, errors: dict[int, QuantumError]) -> Iterable[CircuitInstruction]:
    return step, CircuitInstruction(errors[len(step.qubits)].to_instruction(), step.qubits, ())


def _named(
    step: CircuitInstruction, basis: frozenset[str], names: dict[str, int]
) -> Iterable[CircuitInstruction]:
    num_qubits = len(step.qubits)
    if step.name not in basis or step.name == "unitary":
        label = _LABELS[num_qubits]
        names[label] = num_qubits
        return (step.replace(operation=UnitaryGate(step.matrix, label=label)),)
    names[step.name] = num_qubits
    return (step,)


def _rewritten(circuit: QuantumCircuit, rewrite: Rewrite) -> QuantumCircuit:
    """Every gate replaced by what ``rewrite`` gives, in the bodies of control flow too."""
    rewritten = circuit.copy_empty_like()
    for step in circuit.data:
        if step.is_control_flow() and step.name not in NOT_GATES:
            blocks = [_rewritten(block, rewrite) for block in step.operation.blocks]
            rewritten._append(step.replace(operation=step.operation.replace_blocks(blocks)))
        elif step.name in NOT_GATES:
            rewritten._append(step)
        else:
            for made in rewrite(step):
                rewritten._append(made)
    return rewritten

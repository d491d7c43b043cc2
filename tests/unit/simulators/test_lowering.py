"""Lowering keeps what a circuit does, and leaves only gates that were asked for."""

from __future__ import annotations

import math

import pytest
from qiskit import QuantumCircuit, qasm2
from qiskit.circuit import Gate, Parameter
from qiskit.circuit.library import (
    HGate,
    MCXGate,
    PauliEvolutionGate,
    QFTGate,
    RYGate,
    UnitaryGate,
)
from qiskit.quantum_info import Operator, SparsePauliOp, random_clifford, random_unitary

from qvirt.errors import Unsupported
from qvirt.simulators.lowering import _Lowering, lower, lower_to_two_qubit

CX_U = frozenset({"u", "cx"})


def _names(circuit: QuantumCircuit) -> set[str]:
    return set(circuit.count_ops())


def _many_gates() -> QuantumCircuit:
    circuit = QuantumCircuit(5, global_phase=0.3)
    circuit.h(0)
    circuit.ccx(0, 3, 1)
    circuit.rzz(0.4, 2, 0)
    circuit.cswap(4, 1, 2)
    circuit.append(MCXGate(4, ctrl_state=0b0101), [4, 2, 1, 0, 3])
    circuit.append(MCXGate(3), [4, 2, 1, 0])
    circuit.append(RYGate(0.7).control(2, ctrl_state=1), [1, 0, 4])
    circuit.append(QFTGate(3), [2, 0, 4])
    circuit.append(PauliEvolutionGate(SparsePauliOp(["XZ", "YY"]), 0.3), [1, 3])
    circuit.append(PauliEvolutionGate(SparsePauliOp(["ZZ", "XX"]), 0.3), [1, 3])
    circuit.append(UnitaryGate(random_unitary(4, seed=3)), [3, 0])
    return circuit


@pytest.mark.parametrize("basis", [CX_U, CX_U | {"unitary", "ccx"}, frozenset({"h", "t", "tdg", "u", "cx"})])
def test_lowers_to_the_basis(basis: frozenset[str]) -> None:
    circuit = _many_gates()
    lowered = lower(circuit, basis)
    assert _names(lowered) <= basis
    assert Operator(lowered) == Operator(circuit)


def test_lowers_to_two_qubits_and_keeps_what_is_there() -> None:
    circuit = _many_gates()
    lowered = lower_to_two_qubit(circuit)
    assert max(len(step.qubits) for step in lowered.data) == 2
    assert {"rzz", "unitary"} <= _names(lowered)
    assert Operator(lowered) == Operator(circuit)


def test_a_circuit_in_the_basis_is_not_copied() -> None:
    circuit = QuantumCircuit(2, 1)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.barrier()
    circuit.measure(0, 0)
    assert lower(circuit, frozenset({"h", "cx"})) is circuit
    assert lower_to_two_qubit(circuit) is circuit


def test_a_custom_gate_is_opened_whatever_its_name() -> None:
    body = QuantumCircuit(1)
    body.x(0)
    for name in ("h", "mcx"):
        impostor = Gate(name, 1, [])
        impostor.definition = body
        circuit = QuantumCircuit(1)
        circuit.append(impostor, [0])
        assert _names(lower(circuit, frozenset({"h", "x", "mcx"}))) == {"x"}


def test_custom_gates_of_one_name_stay_apart() -> None:
    circuit = QuantumCircuit(1)
    for angle in (0.1, 0.2):
        body = QuantumCircuit(1, name="turn")
        body.rx(angle, 0)
        circuit.append(body.to_gate(), [0])
    lowered = lower(circuit, frozenset({"rx"}))
    assert [step.params for step in lowered.data] == [[0.1], [0.2]]


def test_nested_openqasm_gates() -> None:
    circuit = qasm2.loads(
        'OPENQASM 2.0; include "qelib1.inc"; qreg q[3];'
        "gate one(a) q,r { cu3(a,0.1,a) q,r; h r; }"
        "gate two(b) x,y,z { one(b/2) z,x; one(b) x,y; ccx x,y,z; }"
        "two(1.5) q[2],q[0],q[1]; one(pi) q[0],q[2];"
    )
    lowered = lower(circuit, CX_U)
    assert _names(lowered) <= CX_U
    assert Operator(lowered) == Operator(circuit)


def test_control_flow_bodies_are_lowered() -> None:
    circuit = QuantumCircuit(3, 2)
    circuit.measure(0, 0)
    angle = Parameter("angle")
    with circuit.if_test((circuit.clbits[0], 1)) as otherwise:
        circuit.ccx(0, 1, 2)
        with circuit.for_loop((1, 2), angle):
            circuit.crx(angle, 2, 1)
    with otherwise:
        circuit.swap(0, 1)
    circuit.measure(2, 1)
    lowered = lower(circuit, CX_U)
    branch, other = lowered.data[1].operation.blocks
    assert _names(other) == {"cx"}
    assert _names(branch) == {"u", "cx", "for_loop"}
    (loop,) = (step.operation for step in branch.data if step.name == "for_loop")
    assert _names(loop.blocks[0]) <= CX_U
    assert [step.name for step in lowered.data] == ["measure", "if_else", "measure"]


def test_an_instruction_with_measurements_is_opened() -> None:
    body = QuantumCircuit(2, 2)
    body.swap(0, 1)
    body.measure([0, 1], [1, 0])
    circuit = QuantumCircuit(3, 3)
    circuit.append(body.to_instruction(), [2, 0], [1, 2])
    lowered = lower(circuit, CX_U)
    reads = [
        (circuit.find_bit(step.qubits[0]).index, circuit.find_bit(step.clbits[0]).index)
        for step in lowered.data
        if step.name == "measure"
    ]
    assert sorted(reads) == [(0, 1), (2, 2)]


def test_a_gate_known_by_its_matrix_alone() -> None:
    class Known(Gate):
        def __array__(self, dtype: object = None, copy: object = None) -> object:
            return HGate().to_matrix()

    circuit = QuantumCircuit(1)
    circuit.append(Known("known", 1, []), [0])
    assert _names(lower(circuit, CX_U)) == {"u"}
    assert _names(lower(circuit, CX_U | {"unitary"})) == {"unitary"}
    assert Operator(lower(circuit, CX_U)).equiv(Operator(HGate()))


CLIFFORD = frozenset({"h", "s", "sdg", "x", "y", "z", "cx", "cz", "swap"})


def test_clifford_gates_of_any_form_become_clifford_gates() -> None:
    circuit = QuantumCircuit(2)
    circuit.u(math.pi / 2 + 1e-9, 0, math.pi, 0)
    circuit.rx(-math.pi / 2, 1)
    circuit.cp(math.pi, 0, 1)
    circuit.crx(2 * math.pi, 1, 0)
    circuit.rzz(math.pi / 2, 0, 1)
    circuit.unitary(random_clifford(2, seed=5).to_matrix(), [1, 0])
    lowered = lower(circuit, CLIFFORD)
    assert _names(lowered) <= CLIFFORD
    assert Operator(lowered).equiv(Operator(circuit))


def test_other_gates_become_rotations_about_z() -> None:
    circuit = QuantumCircuit(2)
    circuit.u(0.1, 0.2, 0.3, 0)
    circuit.ry(0.4, 1)
    circuit.crx(0.3, 1, 0)
    basis = CLIFFORD | {"sx", "rz", "t", "tdg"}
    lowered = lower(circuit, basis)
    assert _names(lowered) <= basis
    assert Operator(lowered).equiv(Operator(circuit))
    with pytest.raises(Unsupported, match="'u'"):
        lower(circuit, CLIFFORD)


def test_a_gate_that_nothing_is_known_of_is_refused_by_name() -> None:
    circuit = QuantumCircuit(1)
    circuit.append(Gate("mystery", 1, []), [0])
    with pytest.raises(Unsupported, match="mystery"):
        lower(circuit, CX_U)


def test_repeated_gates_share_one_expansion() -> None:
    circuit = QuantumCircuit(4)
    for _ in range(50):
        circuit.append(MCXGate(3), [0, 1, 2, 3])
        circuit.cu(0.1, 0.2, 0.3, 0.4, 0, 1)
    lowering = _Lowering(lambda step: step.name in CX_U, CX_U)
    assert Operator(lowering.circuit(circuit)) == Operator(circuit)
    assert len(lowering._fragments) < 20

"""Facts against what Qiskit says of the same circuit, and against the states themselves."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from circuit_files import read2, read3
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit.library import UnitaryGate, standard_gates
from qiskit.circuit.random import random_circuit
from qiskit.quantum_info import Operator, Pauli, Statevector, random_clifford, random_unitary

from qvirt.circuits import ParseLimits, analyse
from qvirt.circuits.bond import BondBound, schmidt_bits
from qvirt.circuits.facts import of_any_state
from qvirt.circuits.flatten import flatten
from qvirt.circuits.fusion import LARGEST_BLOCK, WINDOW, Fusion
from qvirt.circuits.standard_gates import standard_gates as all_gates
from qvirt.model.circuit import CircuitFacts, Format


def facts(circuit: QuantumCircuit) -> CircuitFacts:
    return analyse(flatten(circuit, ParseLimits()), Format.QPY)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(qubits=st.integers(1, 6), depth=st.integers(1, 12), seed=st.integers(0, 2**31))
def test_counts_and_depth_are_qiskits(qubits: int, depth: int, seed: int) -> None:
    circuit = flatten(random_circuit(qubits, depth, seed=seed, measure=True, reset=True), ParseLimits())
    found = analyse(circuit, Format.QPY)
    assert found.depth == circuit.depth()
    assert found.size == circuit.size()
    assert found.operations == dict(circuit.count_ops())
    assert found.two_qubit_gates == sum(len(s.qubits) == 2 for s in circuit.data if s.name != "barrier")
    assert found.gates + found.measurements + found.resets == found.size
    members = [qubit for part in found.components for qubit in part]
    assert len(set(members)) == len(members)
    assert len(found.components) == circuit.num_unitary_factors() - (qubits - len(members))
    assert found.passes <= found.gates + found.measurements + found.resets


@settings(max_examples=40, deadline=None, derandomize=True)
@given(qubits=st.integers(2, 8), depth=st.integers(1, 6), seed=st.integers(0, 2**31))
def test_the_bond_dimension_is_never_above_its_bound(qubits: int, depth: int, seed: int) -> None:
    circuit = flatten(random_circuit(qubits, depth, max_operands=3, seed=seed), ParseLimits())
    state = Statevector(circuit).data
    found = analyse(circuit, Format.QPY)
    for cut in range(1, qubits):
        rank = np.linalg.matrix_rank(state.reshape(2 ** (qubits - cut), 2**cut), tol=1e-9)
        assert math.log2(rank) <= found.bond_bits + 1e-9
    assert found.bond_bits <= qubits // 2
    assert found.bond_cost >= 8 * (found.two_qubit_gates + found.larger_gates > 0)


@pytest.mark.parametrize("name", [n for n, gate in all_gates().items() if gate.num_qubits > 1])
def test_operator_schmidt_ranks(name: str) -> None:
    gate = all_gates()[name]
    qubits = gate.num_qubits
    matrix = gate.make(*(0.3 + i for i in range(gate.num_params))).to_matrix()
    ranks = []
    for order in np.ndindex(*(2,) * qubits):
        left = [q for q in range(qubits) if order[q]]
        right = [q for q in range(qubits) if not order[q]]
        if left and right:
            axes = [*left, *(qubits + q for q in left), *right, *(qubits + q for q in right)]
            split = matrix.reshape((2,) * (2 * qubits)).transpose(axes).reshape(4 ** len(left), -1)
            ranks.append(np.linalg.matrix_rank(split, tol=1e-9))
    assert math.log2(max(ranks)) <= schmidt_bits(name, qubits) <= math.ceil(math.log2(max(ranks)))


def test_bonds_of_known_circuits() -> None:
    ghz = QuantumCircuit(20)
    ghz.h(0)
    for qubit in range(19):
        ghz.cx(qubit, qubit + 1)
    assert (facts(ghz).bond_bits, facts(ghz).bond_cost) == (1.0, 19 * 8.0)
    pairs = QuantumCircuit(20)
    for qubit in range(10):
        pairs.cx(qubit, qubit + 10)
    assert facts(pairs).bond_bits == 10.0
    assert facts(QuantumCircuit(3)).bond_bits == 0.0


def test_the_bond_bound_when_its_steps_are_spent() -> None:
    exact, late = BondBound(40), BondBound(40)
    late._left = 100
    generator = np.random.default_rng(1)
    for _ in range(60):
        qubits = [int(q) for q in generator.choice(40, 2, replace=False)]
        exact.gate("cx", qubits)
        late.gate("cx", qubits)
    assert exact.result()[0] <= late.result()[0] <= 20
    assert exact.result()[1] <= late.result()[1]


@pytest.mark.parametrize("name", all_gates())
def test_clifford_gates(name: str) -> None:
    gate = all_gates()[name]
    for angles in [(math.pi / 2,), (math.pi,), (-math.pi,), (3 * math.pi / 2 + 1e-10,), (0.3,)]:
        made = gate.make(*(angles * gate.num_params))
        circuit = QuantumCircuit(gate.num_qubits)
        circuit.append(made, range(gate.num_qubits))
        assert facts(circuit).is_clifford is maps_paulis_to_paulis(Operator(made).data), (name, angles)


def maps_paulis_to_paulis(matrix: np.ndarray) -> bool:
    qubits = len(matrix).bit_length() - 1
    paulis = [Pauli("".join(letters)).to_matrix() for letters in product("IXYZ", repeat=qubits)]
    for pauli in paulis:
        image = matrix @ pauli @ matrix.conj().T
        overlaps = [abs(np.trace(image @ other)) / len(matrix) for other in paulis]
        if not np.isclose(max(overlaps), 1, atol=1e-12):
            return False
    return True


def test_clifford_matrices() -> None:
    for matrix, expected in (
        (random_clifford(2, seed=1).to_operator(), True),
        (random_unitary(4, seed=1), False),
        (standard_gates.RXGate(math.pi / 2 + 5e-3).to_matrix(), False),
        (np.exp(0.3j) * standard_gates.HGate().to_matrix(), True),
    ):
        gate = UnitaryGate(matrix)
        circuit = QuantumCircuit(2)
        circuit.append(gate, range(gate.num_qubits))
        assert facts(circuit).is_clifford is expected


@pytest.mark.parametrize(
    ("text", "terminal"),
    [
        ("h q; measure q -> c;", True),
        ("measure q[0] -> c[0]; h q[1]; measure q[1] -> c[1];", True),
        ("h q[0]; measure q[0] -> c[0]; measure q[0] -> c[1];", True),
        ("reset q; h q[0]; measure q -> c;", True),
        ("h q[0]; measure q[0] -> c[0]; barrier q; delay(10) q[0];", True),
        ("measure q[0] -> c[0]; h q[0];", False),
        ("measure q[0] -> c[0]; cx q[1], q[0];", False),
        ("h q[0]; reset q[0]; measure q -> c;", False),
        ("measure q[0] -> c[0]; reset q[0];", False),
        ("measure q[0] -> c[0]; if (c == 1) x q[1];", False),
    ],
)
def test_terminal_measurements(text: str, terminal: bool) -> None:
    assert read2(f"qreg q[2]; creg c[2]; {text}").facts.terminal_measurements is terminal


@pytest.mark.parametrize(
    ("text", "components"),
    [
        ("h q[1]; barrier q; delay(5) q[3]; measure q[1] -> c[0];", ((1,),)),
        ("cx q[3], q[1]; x q[0]; reset q[2]; measure q[0] -> c[0];", ((0,), (1, 3), (2,))),
        ("measure q[0] -> c[0]; measure q[1] -> c[0];", ((0, 1),)),
        ("measure q[0] -> c[0]; measure q[1] -> c[1];", ((0,), (1,))),
        ("measure q[0] -> c[0]; if (c == 1) x q[3]; x q[1]; measure q[1] -> d[0];", ((0, 3), (1,))),
        ("ccx q[0], q[1], q[2]; x q[3]; measure q[3] -> c[0];", ((0, 1, 2), (3,))),
    ],
)
def test_components(text: str, components: tuple[tuple[int, ...], ...]) -> None:
    assert read2(f"qreg q[4]; creg c[2]; creg d[1]; {text}").facts.components == components


def test_bodies_are_counted_once() -> None:
    found = read3(
        "qubit[3] q; bit[3] c;\nh q[0];\nc[0] = measure q[0];\n"
        "if (c[0]) { cx q[0], q[1]; } else { t q[1]; reset q[2]; }\nwhile (c[1]) { c[1] = measure q[1]; }"
    ).facts
    assert (found.one_qubit_gates, found.two_qubit_gates, found.resets) == (2, 1, 1)
    assert (found.measurements, found.conditionals, found.clifford_gates) == (2, 2, 2)
    assert found.components == ((0, 1, 2),)
    assert found.depth == 5


def test_diagonal_gates() -> None:
    circuit = QuantumCircuit(3)
    for name, gate in all_gates().items():
        made = gate.make(*(0.3 + i for i in range(gate.num_params)))
        if gate.num_qubits <= 3:
            matrix = made.to_matrix()
            alone = QuantumCircuit(gate.num_qubits)
            alone.append(made, range(gate.num_qubits))
            assert facts(alone).diagonal_gates == np.allclose(matrix, np.diag(np.diag(matrix))), name
    circuit.rx(0.1, 0)
    assert facts(circuit).diagonal_gates == 0


def test_windows_are_as_wide_as_the_cache_and_leave_diagonal_gates_out() -> None:
    def windows(gate: str, *pairs: tuple[int, int]) -> int:
        circuit = QuantumCircuit(2 * WINDOW)
        circuit.h(range(2 * WINDOW))
        for pair in pairs:
            getattr(circuit, gate)(*pair)
        return facts(circuit).windows

    chain = [(qubit, qubit + 1) for qubit in range(2 * WINDOW - 1)]
    assert windows("cx") == 1
    assert windows("cx", *chain[: WINDOW - 1]) == 1
    assert windows("cx", *chain[:WINDOW]) == 2
    assert windows("cx", *chain) == 3
    assert windows("cz", *chain) == 1
    apart = [(qubit, qubit + WINDOW) for qubit in range(WINDOW)]
    assert windows("swap", *apart * 3) == 6


def test_the_support_is_bounded_by_the_gates_that_widen_it() -> None:
    circuit = QuantumCircuit(9, 9)
    circuit.x(0)
    circuit.cx(0, 1)
    circuit.ccx(0, 1, 2)
    circuit.cp(0.3, 1, 2)
    circuit.swap(2, 3)
    assert facts(circuit).support_bits == 0
    circuit.h(4)
    circuit.ry(0.2, 4)
    assert facts(circuit).support_bits == 2
    circuit.ch(4, 5)
    assert facts(circuit).support_bits == 4
    with circuit.while_loop((circuit.clbits[0], 0)):
        circuit.h(6)
        circuit.cx(6, 7)
    assert facts(circuit).support_bits == 7
    circuit.h(range(9))
    assert facts(circuit).support_bits == 9
    assert of_any_state(facts(circuit)).support_bits == 9


def test_no_standard_gate_widens_the_support_by_more_than_is_said() -> None:
    for name, gate in all_gates().items():
        circuit = QuantumCircuit(gate.num_qubits)
        circuit.append(gate.make(*(0.3 + i for i in range(gate.num_params))), range(gate.num_qubits))
        widest = np.count_nonzero(abs(Operator(circuit).data) > 1e-9, axis=0).max()
        assert widest <= 2 ** facts(circuit).support_bits, name


def test_fusion_joins_up_to_four_qubits() -> None:
    def passes(qubits: int, *gates: list[int]) -> int:
        fusion = Fusion(qubits)
        for gate in gates:
            fusion.gate(gate)
        return fusion.passes()

    assert LARGEST_BLOCK == 4
    assert passes(4) == 0
    assert passes(4, [0], [1], [2], [3]) == 1
    assert passes(9, *([q] for q in range(9))) == 3
    assert passes(4, *[[0, 1], [1, 2], [2, 3], [0], [3, 0]] * 10) == 1
    assert passes(5, [0, 1], [1, 2], [2, 3], [3, 4], [4, 3]) == 2
    assert passes(6, [0, 1, 2, 3, 4], [5]) == 2
    assert passes(8, [0, 1], [2, 3], [4, 5], [6, 7], [0, 2], [4, 6]) == 2
    # A block that lost a qubit to another must not take gates any more.
    assert passes(6, [0, 1], [2, 3], [4, 5], [0, 2], [1, 4], [5, 3], [0, 1]) >= 3


def test_many_qubits_and_gates_are_linear() -> None:
    """One hundred thousand qubits with long-range gates: no step may be quadratic."""
    circuit = QuantumCircuit(100_000)
    for qubit in range(0, 50_000, 10):
        circuit.cx(qubit, 99_999 - qubit)
    found = facts(circuit)
    assert found.two_qubit_gates == len(found.components) == 5_000
    assert found.bond_bits == 5_000


def test_collapses_are_the_measurements_and_resets_that_split_the_shots() -> None:
    circuit = QuantumCircuit(4, 4)
    circuit.reset(0)
    circuit.h(range(4))
    circuit.measure(3, 3)
    assert facts(circuit).collapses == 0
    circuit.reset(0)
    circuit.measure(1, 1)
    assert facts(circuit).collapses == 1
    circuit.x(1)
    assert facts(circuit).collapses == 2
    circuit.measure(2, 2)
    with circuit.if_test((circuit.clbits[2], 1)):
        circuit.measure(1, 1)
    assert facts(circuit).collapses == 4
    circuit.measure([0, 1, 2, 3], [0, 1, 2, 3])
    assert facts(circuit).collapses == 4

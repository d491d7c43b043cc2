"""What can be said of a circuit without running it, in one pass over a flattened circuit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from qiskit import QuantumCircuit
from qiskit.circuit import CircuitInstruction

from qvirt.circuits.bond import BondBound
from qvirt.circuits.clifford import is_clifford
from qvirt.circuits.fusion import Fusion, Windows
from qvirt.circuits.links import Links
from qvirt.model.circuit import CircuitFacts, Format

_DIAGONAL = frozenset(
    {"id", "z", "s", "sdg", "t", "tdg", "p", "u1", "rz", "cz", "cs", "csdg", "cp", "cu1", "crz", "rzz", "ccz"}
    | {"mcphase"}
)
_PERMUTATIONS = frozenset(
    {"x", "y", "cx", "cy", "swap", "iswap", "dcx", "ccx", "cswap", "rccx", "rcccx", "mcx"}
)
"""Of basis states, up to phases."""

_LOOPS = ("for_loop", "while_loop")
_CONDITIONAL = ("if_else", "while_loop", "switch_case")


def analyse(
    circuit: QuantumCircuit, file_format: Format, *, measured_all_added: bool = False
) -> CircuitFacts:
    """``circuit`` is what ``flatten`` gave. Bodies of control flow count once, one after another."""
    walk = _Walk(circuit)
    walk.circuit(circuit, range(circuit.num_qubits), range(circuit.num_clbits))
    return walk.facts(circuit, file_format, measured_all_added)


def of_any_state(facts: CircuitFacts) -> CircuitFacts:
    """What still holds where the circuit begins in a state that is given, in which no qubit is known."""
    return replace(
        facts,
        clifford_gates=0,
        components=(tuple(range(facts.num_qubits)),),
        bond_bits=facts.num_qubits / 2,
        support_bits=facts.num_qubits,
        terminal_measurements=facts.terminal_measurements and not facts.resets,
        collapses=facts.collapses + facts.resets,
    )


class _Walk:
    def __init__(self, circuit: QuantumCircuit) -> None:
        self._operations: Counter[str] = Counter()
        self._by_width = [0, 0, 0, 0]
        self._diagonal = self._clifford = self._support_bits = 0
        self._level = [0] * circuit.num_qubits
        self._clbit_level = [0] * circuit.num_clbits
        self._touched = bytearray(circuit.num_qubits)
        self._last_readings = [0] * circuit.num_qubits
        self._reader = [-1] * circuit.num_clbits
        self._collapses = 0
        self._bodies = 0
        self._terminal = True
        self._control_flow = False
        self._variables = next(circuit.iter_vars(), None) is not None
        self._links = Links(circuit.num_qubits, circuit.num_clbits)
        self._fusion = Fusion(circuit.num_qubits)
        self._windows = Windows()
        self._bond = BondBound(circuit.num_qubits)

    def circuit(self, circuit: QuantumCircuit, qubits: Sequence[int], clbits: Sequence[int]) -> None:
        """``qubits[i]`` is the outermost circuit's number of qubit i of ``circuit``."""
        number = dict(zip(circuit.qubits, qubits, strict=True))
        clbit_number = dict(zip(circuit.clbits, clbits, strict=True))
        operations = self._operations
        for step in circuit.data:
            name = step.name
            operations[name] += 1
            on = [number[qubit] for qubit in step.qubits]
            if step.is_standard_gate():
                self._gate(name, step, on)
            elif name == "measure":
                self._measure(on[0], clbit_number[step.clbits[0]])
            elif name == "reset":
                self._reset(on[0])
            elif step.is_control_flow():
                self._control(step, on, [clbit_number[clbit] for clbit in step.clbits])
            elif name in ("store", "break_loop", "continue_loop"):
                self._control_flow = True
                self._links.join(on, [clbit_number[clbit] for clbit in step.clbits], variables=True)
            elif name not in ("barrier", "delay"):
                self._gate(name, step, on)

    def _gate(self, name: str, step: CircuitInstruction, on: list[int]) -> None:
        width = len(on)
        self._by_width[min(width, 3)] += 1
        if name in _DIAGONAL:
            self._diagonal += 1
        else:
            if width > 1:
                self._windows.gate(on)
            if name not in _PERMUTATIONS:
                self._support_bits += width
        if is_clifford(step):
            self._clifford += 1
        self._fusion.gate(on)
        level, last_readings = self._level, self._last_readings
        if width == 1:
            qubit = on[0]
            level[qubit] += 1
            if not self._touched[qubit]:
                self._links.join(on)
                self._touched[qubit] = 1
            if last_readings[qubit]:
                self._not_last(qubit)
            return
        self._links.join(on)
        self._bond.gate(name, on)
        depth = 1 + max([level[qubit] for qubit in on])
        for qubit in on:
            level[qubit] = depth
            self._touched[qubit] = 1
            if last_readings[qubit]:
                self._not_last(qubit)

    def _not_last(self, qubit: int) -> None:
        self._terminal = False
        self._collapses += self._last_readings[qubit]
        self._last_readings[qubit] = 0

    def _measure(self, qubit: int, clbit: int) -> None:
        self._links.join([qubit], [clbit])
        if self._bodies:
            self._collapses += 1
        else:
            self._last_readings[qubit] += 1
            self._reader[clbit] = qubit
        depth = 1 + max(self._level[qubit], self._clbit_level[clbit])
        self._level[qubit] = self._clbit_level[clbit] = depth

    def _reset(self, qubit: int) -> None:
        if self._touched[qubit] or self._last_readings[qubit] or self._bodies:
            self._not_last(qubit)
            self._collapses += 1
        self._fusion.end([qubit])
        self._links.join([qubit])
        self._level[qubit] += 1

    def _control(self, step: CircuitInstruction, on: list[int], clbits: list[int]) -> None:
        self._control_flow = True
        self._terminal = False
        # A condition may be on variables, which are not among the clbits.
        self._links.join(on, clbits, variables=self._variables)
        self._fusion.end(on)
        depth = max([*(self._level[q] for q in on), *(self._clbit_level[c] for c in clbits)], default=0)
        for qubit in on:
            self._level[qubit] = depth
        for clbit in clbits:
            self._clbit_level[clbit] = depth
        for qubit in {*on, *(self._reader[clbit] for clbit in clbits)} - {-1}:
            self._not_last(qubit)
        self._bodies += 1
        for block in step.operation.blocks:
            self.circuit(block, on, clbits)
        self._bodies -= 1
        self._fusion.end(on)
        if step.name in _LOOPS:
            # However often it runs, all of it is one operator on its qubits.
            self._support_bits += len(on)
            if len(on) > 1:
                self._bond.gate(step.name, on)

    def facts(self, circuit: QuantumCircuit, file_format: Format, measured_all_added: bool) -> CircuitFacts:
        operations = self._operations
        _, one, two, larger = self._by_width
        measurements, resets = operations["measure"], operations["reset"]
        terminal = self._terminal and not self._control_flow
        bond_bits, bond_cost = self._bond.result()
        return CircuitFacts(
            format=file_format,
            num_qubits=circuit.num_qubits,
            num_clbits=circuit.num_clbits,
            depth=max([*self._level, *self._clbit_level], default=0),
            operations=dict(operations),
            size=one + two + larger + measurements + resets,
            one_qubit_gates=one,
            two_qubit_gates=two,
            larger_gates=larger,
            diagonal_gates=self._diagonal,
            measurements=measurements,
            resets=resets,
            conditionals=sum(operations[name] for name in _CONDITIONAL),
            control_flow=self._control_flow,
            clifford_gates=self._clifford,
            components=self._links.components(),
            passes=self._fusion.passes() + (0 if terminal else measurements + resets),
            windows=self._windows.count,
            bond_bits=float(bond_bits),
            bond_cost=bond_cost,
            support_bits=min(self._support_bits, circuit.num_qubits),
            terminal_measurements=terminal,
            measured_all_added=measured_all_added,
            # What a variable keeps may be read by any condition.
            collapses=measurements + resets if operations["store"] else self._collapses,
        )

"""Running a circuit on a decision diagram, gate by gate.

A measurement in the middle of a circuit splits the shots between its two outcomes, and each of these
branches is run once for all of its shots, so that the work grows with the histories that differ and not
with the shots.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Iterator
from statistics import median

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import CircuitInstruction

from qvirt.errors import GaveUp, OutOfMemory, Unsupported
from qvirt.model.result import Expectation
from qvirt.model.run import Limits
from qvirt.simulators.conditions import holds
from qvirt.simulators.contract import Outcome
from qvirt.simulators.decision_diagram.branch import Block, Branch
from qvirt.simulators.decision_diagram.diagram import BASIS, LARGEST_UNITARY, Diagrams
from qvirt.simulators.decision_diagram.nodes import Nodes
from qvirt.simulators.lowering import lower
from qvirt.simulators.observables import parse_observable
from qvirt.simulators.sampling import Readings, clbit_probabilities, in_blocks, read_bits
from qvirt.simulators.workload import TerminalForm, Workload
from qvirt.units import show_bytes, show_seconds

NODE_BYTES = 1000
"""What a node costs at most, with its share of the tables."""

HOPELESS = 5.0
"""A run gives up when at its pace it would take this many times what is left of its budget.

Diagrams grow and shrink: on MQT Bench at 12 to 18 qubits one of 25 runs that would have ended within
their budgets is lost by this, and the others that do not end spend half of their budgets.
"""

_PACE_OVER = 5
_LOOK_EVERY = 0.02


class DecisionDiagramProgram:
    def __init__(self, work: Workload, limits: Limits, checkpoint: bytes | None = None) -> None:
        self._started = time.perf_counter()
        self._work = work
        self._limits = limits
        self._terminal = work.facts.terminal_measurements
        circuit, self._clbit_of = work.terminal if self._terminal else _without_last_readings(work.circuit)
        circuit = lower(circuit, BASIS, LARGEST_UNITARY)
        self._phase = float(circuit.global_phase)
        self._steps = len(circuit.data)
        self._generator = np.random.default_rng(work.seed)
        self._pace: deque[float] = deque(maxlen=_PACE_OVER)
        self._readings: list[Readings] = []
        self._final: Branch | None = None
        self._diagrams = Diagrams(circuit.num_qubits)
        self.nodes = circuit.num_qubits
        """Of the branch that is being run, when last looked at."""
        self._branches = [self._first_branch(circuit, checkpoint)]

    @property
    def fraction(self) -> float:
        """The share of the gates that are done; of the shots, where there are branches."""
        if not self._branches:
            return 1.0
        if self._terminal:
            return 1.0 - self._left() / max(1, self._steps)
        return 1.0 - sum(branch.shots for branch in self._branches) / self._work.options.shots

    def advance(self, seconds: float) -> bool:
        """Raises OutOfMemory where the diagram grows too large, GaveUp where the budget cannot suffice."""
        now = time.perf_counter()
        end, look = now + seconds, now + _LOOK_EVERY
        while self._branches and now < end:
            self._step(self._branches[-1])
            before, now = now, time.perf_counter()
            self._pace.append(now - before)
            self._check_budget(now)
            if now > look:
                self._check_memory()
                look = now + _LOOK_EVERY
        return not self._branches

    def checkpoint(self) -> bytes:
        if not self._terminal or not self._branches:
            raise Unsupported("only a run without branches can be saved, and only before its end")
        branch = self._branches[0]
        head = json.dumps([branch.rest[0].position, branch.wire_of]).encode()
        return head + b"\n" + branch.state.to_bytes()

    def result(self) -> Outcome:
        options = self._work.options
        if self._final is not None:
            return self._result(self._final)
        rows = np.concatenate([readings.rows for readings in self._readings])
        readings = Readings(self._generator.permutation(rows))
        return Outcome(readings.counts(), memory=readings.memory() if options.per_shot_memory else None)

    def _result(self, final: Branch) -> Outcome:
        options, num_qubits = self._work.options, self._diagrams.num_qubits
        readings = self._read(final)
        return Outcome(
            readings.counts(),
            memory=readings.memory() if options.per_shot_memory else None,
            probabilities=self._probabilities(final) if options.probabilities else None,
            expectations=tuple(
                Expectation(
                    text,
                    self._diagrams.mean(final.state, parse_observable(text, num_qubits), final.wire_of),
                    0.0,
                )
                for text in options.observables
            ),
            state=self._state(final) if options.state else None,
        )

    def _first_branch(self, circuit: QuantumCircuit, checkpoint: bytes | None) -> Branch:
        qubits = list(range(circuit.num_qubits))
        block = Block.of(circuit, qubits, range(circuit.num_clbits))
        shots = self._work.options.shots
        if checkpoint is None:
            return Branch(self._diagrams.zero(), qubits, 0, shots, [block])
        head, _, data = checkpoint.partition(b"\n")
        block.position, wire_of = json.loads(head)
        return Branch(self._diagrams.load(data), wire_of, 0, shots, [block])

    def _left(self) -> int:
        """Gates that are not yet done, where there is only one branch."""
        return self._steps - self._branches[0].rest[0].position

    def _step(self, branch: Branch) -> None:
        block = branch.rest[-1]
        step = block.next()
        if step is None:
            branch.rest.pop()
            if not branch.rest:
                self._branches.pop()
                self._end(branch)
            return
        qubits = [block.qubit[qubit] for qubit in step.qubits]
        wires = [branch.wire_of[qubit] for qubit in qubits]
        if step.name == "swap":
            branch.wire_of[qubits[0]], branch.wire_of[qubits[1]] = wires[1], wires[0]
        elif step.name == "measure":
            self._measure(branch, wires[0], block.clbit[step.clbits[0]])
        elif step.name == "reset":
            self._measure(branch, wires[0], None)
        elif step.name == "if_else":
            self._enter(branch, block, step, qubits)
        elif step.name not in ("barrier", "delay"):
            branch.state = self._diagrams.apply(branch.state, step, wires)

    def _enter(self, branch: Branch, block: Block, step: CircuitInstruction, qubits: list[int]) -> None:
        chosen = 0 if holds(step.operation.condition, branch.bits, block.clbit) else 1
        if chosen < len(step.operation.blocks):
            clbits = [block.clbit[clbit] for clbit in step.clbits]
            branch.rest.append(Block.of(step.operation.blocks[chosen], qubits, clbits))

    def _measure(self, branch: Branch, wire: int, clbit: int | None) -> None:
        """Split the branch by what is found; without a clbit the wire is put back to 0."""
        self._branches.pop()
        one = self._diagrams.chance_of_one(branch.state, wire)
        ones = int(self._generator.binomial(branch.shots, one))
        for outcome, shots, chance in ((0, branch.shots - ones, 1.0 - one), (1, ones, one)):
            if not shots:
                continue
            state = self._diagrams.collapse(self._diagrams.shared(branch.state), wire, outcome, chance)
            if clbit is None:
                state = self._diagrams.flip(state, wire) if outcome else state
                self._branches.append(branch.split(state, branch.bits, shots))
                continue
            for read, readers in self._misread(outcome, shots):
                bits = branch.bits & ~(1 << clbit) | read << clbit
                self._branches.append(branch.split(self._diagrams.shared(state), bits, readers))
            self._diagrams.drop(state)
        self._diagrams.drop(branch.state)

    def _misread(self, outcome: int, shots: int) -> Iterator[tuple[int, int]]:
        """What is read instead of ``outcome``, and in how many of the shots."""
        noise = self._work.options.noise
        rate = (noise.readout_1to0 if outcome else noise.readout_0to1) if noise else 0.0
        wrong = int(self._generator.binomial(shots, rate))
        yield from ((read, n) for read, n in ((outcome, shots - wrong), (1 - outcome, wrong)) if n)

    def _end(self, branch: Branch) -> None:
        if self._terminal:
            self._final = branch
            return
        self._readings.append(self._read(branch))
        self._diagrams.drop(branch.state)

    def _read(self, branch: Branch) -> Readings:
        """The shots of a branch that has come to its end: the last measurements, and the bits read before."""
        num_qubits, num_clbits = self._diagrams.num_qubits, self._work.facts.num_clbits
        nodes = Nodes(branch.state.to_bytes(), num_qubits)
        wires = {clbit: branch.wire_of[qubit] for clbit, qubit in self._clbit_of.items()}

        def read(shots: int) -> Readings:
            return read_bits(nodes.sample(shots, self._generator), wires, num_clbits)

        readings = in_blocks(branch.shots, num_qubits, read)
        readings = readings.flipped(wires, self._work.options.noise, self._generator)
        before = branch.bits & ~sum(1 << clbit for clbit in wires)
        return Readings(
            readings.rows | np.frombuffer(before.to_bytes(readings.rows.shape[1], "little"), np.uint8)
        )

    def _probabilities(self, final: Branch) -> dict[int, float]:
        qubits = sorted(set(self._clbit_of.values()))
        nodes = Nodes(final.state.to_bytes(), self._diagrams.num_qubits)
        chances = nodes.chances([final.wire_of[qubit] for qubit in qubits])
        places = {clbit: qubits.index(qubit) for clbit, qubit in self._clbit_of.items()}
        return clbit_probabilities(chances, places, self._work.options.noise)

    def _state(self, final: Branch) -> NDArray[np.complex128]:
        last = self._diagrams.num_qubits - 1
        vector = final.state.get_vector().reshape((2,) * (last + 1))
        # Axis 0 is the highest qubit.
        axes = [last - final.wire_of[last - axis] for axis in range(last + 1)]
        state: NDArray[np.complex128] = vector.transpose(axes).ravel() * np.exp(1j * self._phase)
        return state

    def _check_memory(self) -> None:
        self.nodes = self._branches[-1].state.size() if self._branches else 0
        if self.nodes * NODE_BYTES > self._limits.memory:
            raise OutOfMemory(
                f"the decision diagram has grown to {self.nodes:,} nodes, too many for "
                f"{show_bytes(self._limits.memory)}",
                hint="the state has no structure that this method can use: try another, or fewer qubits",
            )

    def _check_budget(self, now: float) -> None:
        if self._limits.seconds is None or not self._terminal or not self._branches:
            return
        left = self._limits.seconds - (now - self._started)
        if self._left() * self._pace[-1] < HOPELESS * left:
            return
        needed = self._left() * median(self._pace)
        if needed > HOPELESS * left:
            raise GaveUp(
                f"after {self.fraction:.0%} of the gates it would take about {show_seconds(needed)} more "
                f"at its pace, and has {show_seconds(max(0.0, left))}"
            )


def _without_last_readings(circuit: QuantumCircuit) -> TerminalForm:
    """A dynamic circuit without the measurements that it ends with, which need no branches."""
    end = len(circuit.data)
    while end and circuit.data[end - 1].name in ("measure", "barrier"):
        end -= 1
    rest = circuit.copy_empty_like()
    for step in circuit.data[:end]:
        rest._append(step)
    clbit_of = {
        circuit.find_bit(step.clbits[0]).index: circuit.find_bit(step.qubits[0]).index
        for step in circuit.data[end:]
        if step.name == "measure"
    }
    return TerminalForm(rest, clbit_of)

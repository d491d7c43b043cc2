"""Circuits with measurements, resets and conditions in the middle, run once per history and not per shot.

A measurement splits the shots between its two outcomes, and each of these branches is run once for all
of its shots, so that the work grows with the histories that differ. What a state is and what gates do
to it is the engine's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import CircuitInstruction, Clbit, Qubit

from qvirt.model.run import Noise
from qvirt.simulators.conditions import holds
from qvirt.simulators.workload import TerminalForm

CANNOT_RUN = frozenset(
    {"while_loop", "for_loop", "switch_case", "break_loop", "continue_loop", "store", "box"}
)
"""Of the operations that are no gates, those that are not known here."""

State = TypeVar("State")


class Evolution(Protocol[State]):
    """A state given to ``apply``, ``flip`` or ``collapse`` is used up; ``shared`` makes a second of it."""

    def apply(self, state: State, step: CircuitInstruction, wires: Sequence[int]) -> State: ...

    def flip(self, state: State, wire: int) -> State: ...

    def chance_of_one(self, state: State, wire: int) -> float: ...

    def collapse(self, state: State, wire: int, outcome: int, chance: float) -> State:
        """The state after ``outcome``, which had ``chance``, was read."""

    def shared(self, state: State) -> State: ...

    def drop(self, state: State) -> None: ...


@dataclass(slots=True)
class Block:
    """A circuit, or the body of an if, on numbered qubits and clbits.

    ``position`` is the next step's; ``chosen`` says which body of its if this is.
    """

    steps: Sequence[CircuitInstruction]
    qubit: Mapping[Qubit, int]
    clbit: Mapping[Clbit, int]
    position: int = 0
    chosen: int = 0

    @classmethod
    def of(cls, circuit: QuantumCircuit, qubits: Sequence[int], clbits: Sequence[int]) -> Block:
        return cls(
            circuit.data,
            dict(zip(circuit.qubits, qubits, strict=True)),
            dict(zip(circuit.clbits, clbits, strict=True)),
        )

    def body(self, chosen: int) -> Block:
        """A body of the if that ``next`` gave last."""
        step = self.steps[self.position - 1]
        found = Block.of(
            step.operation.blocks[chosen],
            [self.qubit[qubit] for qubit in step.qubits],
            [self.clbit[clbit] for clbit in step.clbits],
        )
        found.chosen = chosen
        return found

    def next(self) -> CircuitInstruction | None:
        if self.position == len(self.steps):
            return None
        self.position += 1
        return self.steps[self.position - 1]


@dataclass(slots=True)
class Branch(Generic[State]):
    """``bits`` was read so far in ``shots`` of the shots; ``rest`` is the stack of blocks still to run.

    ``wire_of`` says where each qubit is after the swaps, which are not carried out: a swap of distant
    qubits costs a decision diagram much, and renaming them nothing.
    """

    state: State
    wire_of: list[int]
    bits: int
    shots: int
    rest: list[Block]

    def split(self, state: State, bits: int, shots: int) -> Branch[State]:
        return Branch(state, list(self.wire_of), bits, shots, [replace(block) for block in self.rest])

    def described(self) -> dict[str, Any]:
        """All of it but its state, as JSON has it."""
        return {
            "wires": self.wire_of,
            "bits": self.bits,
            "shots": self.shots,
            "blocks": [[block.position, block.chosen] for block in self.rest],
        }

    @classmethod
    def restored(cls, state: State, whole: Block, found: Mapping[str, Any]) -> Branch[State]:
        """What ``described`` was said of; ``whole`` is the circuit's block."""
        (position, _), *inner = found["blocks"]
        rest = [replace(whole, position=position)]
        for position, chosen in inner:
            rest.append(rest[-1].body(chosen))
            rest[-1].position = position
        return cls(state, list(found["wires"]), found["bits"], found["shots"], rest)


class Branches(Generic[State]):
    """The branches that are not yet at their end, depth first, so that there are few at a time."""

    def __init__(
        self,
        evolution: Evolution[State],
        branches: Sequence[Branch[State]],
        noise: Noise | None,
        generator: np.random.Generator,
    ) -> None:
        self._evolution = evolution
        self._noise = noise
        self._generator = generator
        self.open = list(branches)

    @property
    def current(self) -> Branch[State]:
        return self.open[-1]

    def step(self) -> Branch[State] | None:
        """Do the next step of the current branch; the branch itself if it is at its end."""
        branch = self.open[-1]
        block = branch.rest[-1]
        step = block.next()
        if step is None:
            branch.rest.pop()
            return None if branch.rest else self.open.pop()
        qubits = [block.qubit[qubit] for qubit in step.qubits]
        wires = [branch.wire_of[qubit] for qubit in qubits]
        if step.name == "swap":
            branch.wire_of[qubits[0]], branch.wire_of[qubits[1]] = wires[1], wires[0]
        elif step.name == "measure":
            self._measure(branch, wires[0], block.clbit[step.clbits[0]])
        elif step.name == "reset":
            self._measure(branch, wires[0], None)
        elif step.name == "if_else":
            self._enter(branch, block, step)
        elif step.name not in ("barrier", "delay"):
            branch.state = self._evolution.apply(branch.state, step, wires)
        return None

    def _enter(self, branch: Branch[State], block: Block, step: CircuitInstruction) -> None:
        chosen = 0 if holds(step.operation.condition, branch.bits, block.clbit) else 1
        if chosen < len(step.operation.blocks):
            branch.rest.append(block.body(chosen))

    def _measure(self, branch: Branch[State], wire: int, clbit: int | None) -> None:
        """Split the branch by what is found; without a clbit the wire is put back to 0."""
        evolution = self._evolution
        self.open.pop()
        one = evolution.chance_of_one(branch.state, wire)
        ones = int(self._generator.binomial(branch.shots, one))
        for outcome, shots, chance in ((0, branch.shots - ones, 1.0 - one), (1, ones, one)):
            if not shots:
                continue
            state = evolution.collapse(evolution.shared(branch.state), wire, outcome, chance)
            if clbit is None:
                state = evolution.flip(state, wire) if outcome else state
                self.open.append(branch.split(state, branch.bits, shots))
                continue
            for read, readers in self._misread(outcome, shots):
                bits = branch.bits & ~(1 << clbit) | read << clbit
                self.open.append(branch.split(evolution.shared(state), bits, readers))
            evolution.drop(state)
        evolution.drop(branch.state)

    def _misread(self, outcome: int, shots: int) -> Iterator[tuple[int, int]]:
        """What is read instead of ``outcome``, and in how many of the shots."""
        noise = self._noise
        rate = (noise.readout_1to0 if outcome else noise.readout_0to1) if noise else 0.0
        wrong = int(self._generator.binomial(shots, rate))
        yield from ((read, n) for read, n in ((outcome, shots - wrong), (1 - outcome, wrong)) if n)


def without_last_readings(circuit: QuantumCircuit) -> TerminalForm:
    """A dynamic circuit without the measurements that need no branches.

    Nothing comes after them on their qubit, and no condition reads their bit.
    """
    last: list[CircuitInstruction] = []
    rest: list[CircuitInstruction] = []
    # What a variable keeps may be read by any condition.
    used: set[object] = set(circuit.clbits if circuit.num_vars else ())
    for step in reversed(circuit.data):
        if step.name == "measure" and used.isdisjoint((*step.qubits, *step.clbits)):
            last.append(step)
        elif step.name != "barrier":
            used.update(step.qubits, step.clbits)
            rest.append(step)
    without = circuit.copy_empty_like()
    for step in reversed(rest):
        without._append(step)
    clbit_of = {
        circuit.find_bit(step.clbits[0]).index: circuit.find_bit(step.qubits[0]).index
        for step in reversed(last)
    }
    return TerminalForm(without, clbit_of)

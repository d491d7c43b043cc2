"""A circuit as a list of steps with jumps, so that where a run stands is one number.

Gates that follow one another are one segment. Swaps are not carried out: a segment ends with the qubits
renamed. Loops over values are written out, other loops are jumps back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import CASE_DEFAULT, CircuitInstruction, Clbit

from qvirt.errors import Unsupported
from qvirt.simulators.channels import Channel
from qvirt.simulators.conditions import holds, value
from qvirt.simulators.torch_statevector.operations import Operation, operation, placed

Test = Callable[[int], bool]
"""Of the bits that were read, bit i clbit i."""

After = Mapping[int, Sequence[tuple[tuple[int, ...], Channel]]]
"""Number of qubits of a gate -> the channels that follow it, and which of its qubits each is on."""

RESET = Channel(np.array([[[1, 0], [0, 0]], [[0, 1], [0, 0]]], np.complex128))


@dataclass(frozen=True, slots=True)
class Noisy:
    """A step where it is drawn; an operation where all that may happen is held at once."""

    qubits: tuple[int, ...]
    channel: Channel


@dataclass(frozen=True, slots=True)
class Segment:
    """``operations`` on qubits; afterwards qubit q is what was qubit ``renamed[q]``."""

    operations: tuple[Operation | Noisy, ...]
    renamed: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Read:
    qubit: int
    clbit: int


@dataclass(frozen=True, slots=True)
class Reset:
    qubit: int


@dataclass(frozen=True, slots=True)
class Jump:
    """To the step ``to``, unless there is a test and the bits pass it."""

    to: int
    unless: Test | None = None


Step = Segment | Read | Reset | Noisy | Jump


def compiled(
    circuit: QuantumCircuit, place: Mapping[int, int], after: After, held: bool = False
) -> tuple[Step, ...]:
    """``circuit``'s gates are of the basis; qubit q of it is ``place[q]``, and those without a place do
    nothing. ``held`` says that channels are operations. Raises Unsupported for control flow that is not
    known here."""
    builder = _Builder(max(place.values(), default=0) + 1, after, held)
    builder.block(circuit, [place.get(q, -1) for q in range(circuit.num_qubits)], range(circuit.num_clbits))
    builder.flush()
    return tuple(builder.steps)


class _Builder:
    def __init__(self, num_qubits: int, after: After, held: bool) -> None:
        self.steps: list[Any] = []
        self._after = after
        self._held = held
        self._num_qubits = num_qubits
        self._gates: list[Operation | Noisy] = []
        self._wires = list(range(num_qubits))
        self._moved = False
        self._loops: list[tuple[list[int], list[int]]] = []

    def block(self, circuit: QuantumCircuit, qubits: Sequence[int], clbits: Sequence[int]) -> None:
        qubit = dict(zip(circuit.qubits, qubits, strict=True))
        clbit = dict(zip(circuit.clbits, clbits, strict=True))
        for step in circuit.data:
            on = [qubit[each] for each in step.qubits]
            match step.name:
                case "barrier" | "delay":
                    pass
                case "measure":
                    self._add(Read(on[0], clbit[step.clbits[0]]))
                case "reset" if self._held:
                    self._noisy(on, RESET)
                case "reset":
                    self._add(Reset(on[0]))
                case "break_loop":
                    self._loops[-1][0].append(self._hole())
                case "continue_loop":
                    self._loops[-1][1].append(self._hole())
                case _ if step.is_control_flow():
                    self._control(step, on, clbit)
                case _:
                    self._gate(step, on)

    def flush(self) -> None:
        """What comes next may be jumped to."""
        if self._gates or self._moved:
            self.steps.append(Segment(tuple(self._gates), tuple(self._wires)))
        self._gates, self._wires, self._moved = [], list(range(self._num_qubits)), False

    def _gate(self, step: CircuitInstruction, on: Sequence[int]) -> None:
        if step.name == "swap":
            a, b = on
            self._wires[a], self._wires[b] = self._wires[b], self._wires[a]
            self._moved = True
        else:
            made = operation(step, on)
            self._gates.append(placed(made, self._wires) if self._moved else made)
        for places, channel in self._after.get(len(on), ()):
            self._noisy([on[place] for place in places], channel)

    def _noisy(self, on: Sequence[int], channel: Channel) -> None:
        if self._held:
            self._gates.append(Noisy(tuple(self._wires[qubit] for qubit in on), channel))
        else:
            self._add(Noisy(tuple(on), channel))

    def _add(self, step: Step) -> None:
        self.flush()
        self.steps.append(step)

    def _hole(self) -> int:
        """A step whose target is not known yet."""
        self._add(Jump(-1))
        return len(self.steps) - 1

    def _here(self) -> int:
        self.flush()
        return len(self.steps)

    def _fill(self, holes: Sequence[int], to: int, unless: Test | None = None) -> None:
        for hole in holes:
            self.steps[hole] = Jump(to, unless)

    def _control(self, step: CircuitInstruction, on: Sequence[int], clbit: Mapping[Clbit, int]) -> None:
        inner = [clbit[each] for each in step.clbits]
        match step.name:
            case "if_else":
                self._if(step.operation, on, inner, clbit)
            case "while_loop":
                self._while(step.operation, on, inner, clbit)
            case "for_loop":
                self._for(step.operation, on, inner)
            case "switch_case":
                self._switch(step.operation, on, inner, clbit)
            case _:
                raise Unsupported(f"control flow {step.name!r} is not supported by this engine")

    def _if(self, step: Any, on: Sequence[int], inner: Sequence[int], clbit: Mapping[Clbit, int]) -> None:
        skip = self._hole()
        self.block(step.blocks[0], on, inner)
        end = [self._hole()] if len(step.blocks) > 1 else []
        self._fill([skip], self._here(), partial(holds, step.condition, number=clbit))
        if end:
            self.block(step.blocks[1], on, inner)
            self._fill(end, self._here())

    def _while(self, step: Any, on: Sequence[int], inner: Sequence[int], clbit: Mapping[Clbit, int]) -> None:
        start = self._here()
        leave = self._hole()
        breaks, continues = self._body(step.blocks[0], on, inner)
        self._add(Jump(start))
        self._fill([leave], self._here(), partial(holds, step.condition, number=clbit))
        self._fill(breaks, self._here())
        self._fill(continues, start)

    def _for(self, step: Any, on: Sequence[int], inner: Sequence[int]) -> None:
        values, parameter, block = step.params
        left: list[int] = []
        for number in values:
            bound = block if parameter is None else block.assign_parameters({parameter: number})
            breaks, continues = self._body(bound, on, inner)
            left += breaks
            self._fill(continues, self._here())
        self._fill(left, self._here())

    def _body(
        self, block: QuantumCircuit, on: Sequence[int], inner: Sequence[int]
    ) -> tuple[list[int], list[int]]:
        """The jumps that break out of it, and those that continue."""
        self._loops.append(([], []))
        self.block(block, on, inner)
        self.flush()
        return self._loops.pop()

    def _switch(self, step: Any, on: Sequence[int], inner: Sequence[int], clbit: Mapping[Clbit, int]) -> None:
        ends: list[int] = []
        for labels, block in step.cases_specifier():
            skip = None if CASE_DEFAULT in labels else self._hole()
            self.block(block, on, inner)
            ends.append(self._hole())
            if skip is not None:
                test = partial(_is_one_of, step.target, tuple(labels), number=clbit)
                self._fill([skip], self._here(), test)
        self._fill(ends, self._here())


def _is_one_of(target: Any, labels: tuple[int, ...], bits: int, number: Mapping[Clbit, int]) -> bool:
    return value(target, bits, number) in labels

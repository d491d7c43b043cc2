"""Running a circuit on a decision diagram, gate by gate, within memory and time."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from statistics import median

import numpy as np
from mqt.core.dd import VectorDD
from numpy.typing import NDArray

from qvirt.errors import GaveUp, OutOfMemory
from qvirt.model.result import Expectation, Position
from qvirt.model.run import Limits
from qvirt.simulators.branching import Block, Branch, Branches, without_last_readings
from qvirt.simulators.checkpoint import Checkpoint, fill, pieces
from qvirt.simulators.contract import Outcome
from qvirt.simulators.decision_diagram.diagram import BASIS, LARGEST_UNITARY, Diagrams
from qvirt.simulators.decision_diagram.nodes import Nodes
from qvirt.simulators.lowering import lower
from qvirt.simulators.observables import parse_observable
from qvirt.simulators.sampling import Readings, clbit_probabilities, in_blocks, read_bits
from qvirt.simulators.workload import Workload
from qvirt.units import show_bytes, show_seconds

NODE_BYTES = 600
"""What a node costs at most, with its share of the tables."""

HOPELESS = 3.0
"""A run gives up when at its pace it would take this many times what is left of its budget.

Diagrams grow and shrink, and one gate may take a thousand times as long as the one before. On MQT Bench
at 12 to 18 qubits and random circuits to 24, with budgets of 3 ms to 1 s, hopeless runs spend 0.4 of
their budget (median; nine of ten up to 1.1). Of 26 runs that end, each with 1.2, 3 and 10 times the time
that it needs, five of 78 are given up.
"""

FAIR_CHANCE = 0.25
"""Share of its budget that a run has before it is judged: its first gates fill empty tables."""

_PACE_OVER = 5
_LOOK_EVERY = 0.02


class DecisionDiagramProgram:
    def __init__(self, work: Workload, limits: Limits, checkpoint: Checkpoint | None = None) -> None:
        self._started = time.perf_counter()
        self._work = work
        self._limits = limits
        self._terminal = work.facts.terminal_measurements
        circuit, self._clbit_of = work.terminal if self._terminal else without_last_readings(work.circuit)
        circuit = lower(circuit, BASIS, LARGEST_UNITARY)
        self._phase = float(circuit.global_phase)
        self._steps = len(circuit.data)
        self._generator = np.random.default_rng(work.seed)
        self._pace: deque[float] = deque(maxlen=_PACE_OVER)
        self._readings: list[Readings] = []
        self._final: Branch[VectorDD] | None = None
        self._diagrams = Diagrams(circuit.num_qubits)
        self.nodes = circuit.num_qubits
        """Of the branch that is being run, when last looked at."""
        wires = list(range(circuit.num_qubits))
        whole = Block.of(circuit, wires, range(circuit.num_clbits))
        if checkpoint is None:
            branches = [Branch(self._diagrams.zero(), wires, 0, work.options.shots, [whole])]
        else:
            branches = self._restored(whole, checkpoint)
        self._branches = Branches(self._diagrams, branches, work.options.noise, self._generator)

    @property
    def fraction(self) -> float:
        """The share of the gates that are done; of the shots, where there are branches."""
        if not self._branches.open:
            return 1.0
        if self._terminal:
            return 1.0 - self._left() / max(1, self._steps)
        return self._shots_done() / self._work.options.shots

    @property
    def position(self) -> Position:
        if not self._terminal:
            return Position(shots_done=self._shots_done(), shots=self._work.options.shots)
        left = self._left() if self._branches.open else 0
        return Position(operations_done=self._steps - left, operations=self._steps)

    def advance(self, seconds: float) -> bool:
        """Raises OutOfMemory where the diagram grows too large, GaveUp where the budget cannot suffice."""
        now = time.perf_counter()
        end, look = now + seconds, now + _LOOK_EVERY
        while self._branches.open and now < end:
            ended = self._branches.step()
            if ended is not None:
                self._end(ended)
            before, now = now, time.perf_counter()
            self._pace.append(now - before)
            self._check_budget(now)
            if now > look:
                self._check_memory()
                before, now = now, time.perf_counter()
                # Counting the nodes of a large diagram takes a tenth of what a gate does.
                look = now + max(_LOOK_EVERY, 20 * (now - before))
        return not self._branches.open

    def checkpoint(self) -> Checkpoint:
        branches = self._branches.open
        diagrams = [branch.state.to_bytes() for branch in branches]
        rows = [readings.rows for readings in self._readings]
        header = {
            "generator": self._generator.bit_generator.state,
            "rows": [row.shape for row in rows],
            "branches": [branch.described() for branch in branches],
            "octets": [len(diagram) for diagram in diagrams],
        }
        return Checkpoint(header, pieces(*rows, *diagrams))

    def result(self) -> Outcome:
        options = self._work.options
        if self._final is not None:
            return self._result(self._final)
        rows = np.concatenate([readings.rows for readings in self._readings])
        readings = Readings(self._generator.permutation(rows))
        return Outcome(readings.counts(), memory=readings.memory() if options.per_shot_memory else None)

    def _result(self, final: Branch[VectorDD]) -> Outcome:
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

    def _restored(self, whole: Block, checkpoint: Checkpoint) -> list[Branch[VectorDD]]:
        header, chunks = checkpoint.header, iter(checkpoint.chunks)
        self._generator.bit_generator.state = header["generator"]
        for shape in header["rows"]:
            rows = np.empty(shape, np.uint8)
            fill(chunks, rows)
            self._readings.append(Readings(rows))
        return [
            Branch.restored(self._diagram(octets, chunks), whole, found)
            for found, octets in zip(header["branches"], header["octets"], strict=True)
        ]

    def _diagram(self, octets: int, chunks: Iterator[bytes | memoryview]) -> VectorDD:
        data = bytearray(octets)
        fill(chunks, data)
        return self._diagrams.load(bytes(data))

    def _shots_done(self) -> int:
        return self._work.options.shots - sum(branch.shots for branch in self._branches.open)

    def _left(self) -> int:
        """Gates that are not yet done, where there is only one branch."""
        return self._steps - self._branches.current.rest[0].position

    def _end(self, branch: Branch[VectorDD]) -> None:
        if self._terminal:
            self._final = branch
            return
        self._readings.append(self._read(branch))
        self._diagrams.drop(branch.state)

    def _read(self, branch: Branch[VectorDD]) -> Readings:
        """The shots of a branch that has come to its end: the last measurements, and the bits read before."""
        num_qubits, num_clbits = self._diagrams.num_qubits, self._work.facts.num_clbits
        nodes = Nodes(branch.state.to_bytes(), num_qubits)
        wires = {clbit: branch.wire_of[qubit] for clbit, qubit in self._clbit_of.items()}

        def read(shots: int) -> Readings:
            return read_bits(nodes.sample(shots, self._generator), wires, num_clbits)

        readings = in_blocks(branch.shots, num_qubits, read)
        readings = readings.flipped(wires, self._work.options.noise, self._generator)
        return readings.over(branch.bits, wires)

    def _probabilities(self, final: Branch[VectorDD]) -> dict[int, float]:
        qubits = sorted(set(self._clbit_of.values()))
        nodes = Nodes(final.state.to_bytes(), self._diagrams.num_qubits)
        chances = nodes.chances([final.wire_of[qubit] for qubit in qubits])
        places = {clbit: qubits.index(qubit) for clbit, qubit in self._clbit_of.items()}
        return clbit_probabilities(chances, places, self._work.options.noise)

    def _state(self, final: Branch[VectorDD]) -> NDArray[np.complex128]:
        last = self._diagrams.num_qubits - 1
        vector = final.state.get_vector().reshape((2,) * (last + 1))
        # Axis 0 is the highest qubit.
        axes = [last - final.wire_of[last - axis] for axis in range(last + 1)]
        state: NDArray[np.complex128] = vector.transpose(axes).ravel() * np.exp(1j * self._phase)
        return state

    def _check_memory(self) -> None:
        self.nodes = self._branches.current.state.size() if self._branches.open else 0
        if self.nodes * NODE_BYTES > self._limits.memory:
            raise OutOfMemory(
                f"the decision diagram has grown to {self.nodes:,} nodes, too many for "
                f"{show_bytes(self._limits.memory)}",
                hint="the state has no structure that this method can use: try another, or fewer qubits",
            )

    def _check_budget(self, now: float) -> None:
        if self._limits.seconds is None or not self._terminal or not self._branches.open:
            return
        spent = now - self._started
        left = self._limits.seconds - spent
        if spent < FAIR_CHANCE * self._limits.seconds or self._left() * self._pace[-1] < HOPELESS * left:
            return
        needed = self._left() * median(self._pace)
        if needed > HOPELESS * left:
            raise GaveUp(
                f"after {self.fraction:.0%} of the gates it would take about {show_seconds(needed)} more "
                f"at its pace, and has {show_seconds(max(0.0, left))}"
            )

"""Running a Clifford circuit: sampled by Stim all shots at once, or branch by branch where it must be."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import stim
from numpy.typing import NDArray
from qiskit.circuit import CircuitInstruction

from qvirt.model.result import Expectation, Position
from qvirt.simulators import sampling
from qvirt.simulators.branching import Block, Branch, Branches, without_last_readings
from qvirt.simulators.checkpoint import Checkpoint, fill, pieces
from qvirt.simulators.contract import Outcome
from qvirt.simulators.observables import parse_observable
from qvirt.simulators.sampling import Readings
from qvirt.simulators.stim import tableaus
from qvirt.simulators.stim.stabilizers import amplitudes, means, outcomes
from qvirt.simulators.stim.translation import Gates, NotFeedback, Translation
from qvirt.simulators.workload import Workload


def prepare(work: Workload, checkpoint: Checkpoint | None = None) -> SampledProgram | BranchedProgram:
    """Conditions that Stim cannot take, and readings that may mislead them, need branches."""
    noise = work.options.noise
    if work.facts.conditionals and noise is not None:
        return BranchedProgram(work, checkpoint)
    try:
        return SampledProgram(work, Translation(work.circuit, noise), checkpoint)
    except NotFeedback:
        return BranchedProgram(work, checkpoint)


class SampledProgram:
    """Shots in blocks, each with a seed of its own, so that it can be watched, stopped and saved."""

    def __init__(self, work: Workload, translation: Translation, checkpoint: Checkpoint | None) -> None:
        self._work = work
        self._record_of = translation.record_of
        self._readings = translation.readings
        self._circuit = stim.Circuit(translation.program)
        self._reference = self._circuit.reference_sample()
        self._rows = _rows(checkpoint.header, iter(checkpoint.chunks)) if checkpoint else []
        self._done = sum(map(len, self._rows))

    @property
    def fraction(self) -> float:
        return self._done / self._work.options.shots

    @property
    def position(self) -> Position:
        return Position(shots_done=self._done, shots=self._work.options.shots)

    def advance(self, seconds: float) -> bool:
        end = time.perf_counter() + seconds
        shots = self._work.options.shots
        block = max(1, sampling.BLOCK_BITS // max(1, self._readings))
        while self._done < shots:
            size = min(block, shots - self._done)
            self._rows.append(self._sample(size))
            self._done += size
            if time.perf_counter() > end:
                break
        return self._done == shots

    def checkpoint(self) -> Checkpoint:
        return Checkpoint({"rows": _shape(self._rows)}, pieces(*self._rows))

    def result(self) -> Outcome:
        options, clbits = self._work.options, list(self._record_of)
        generator = np.random.default_rng(self._work.seed)
        readings = Readings(np.concatenate(self._rows)).flipped(clbits, options.noise, generator)
        return Outcome(
            readings.counts(),
            memory=readings.memory() if options.per_shot_memory else None,
            probabilities=self._probabilities() if options.probabilities else None,
            expectations=self._expectations() if options.observables else (),
            state=amplitudes(self._final()) if options.state else None,
        )

    def _sample(self, shots: int) -> NDArray[np.uint8]:
        seed = np.random.SeedSequence([self._work.seed, self._done]).generate_state(1, np.uint64)[0]
        sampler = self._circuit.compile_sampler(seed=int(seed) >> 1, reference_sample=self._reference)
        packed: NDArray[np.uint8] = sampler.sample_bit_packed(shots)
        num_clbits = self._work.facts.num_clbits
        if all(self._record_of.get(clbit) == clbit for clbit in range(max(num_clbits, self._readings))):
            return packed
        bits = np.unpackbits(packed, axis=1, bitorder="little")
        return sampling.read_bits(bits, self._record_of, num_clbits).rows

    def _final(self) -> stim.TableauSimulator:
        """The state before the last measurements, without noise."""
        state = stim.TableauSimulator(seed=0)
        state.set_num_qubits(self._work.facts.num_qubits)
        state.do(stim.Circuit(Translation(self._work.terminal.unitary, None).program))
        return state

    def _probabilities(self) -> dict[int, float]:
        clbit_of = self._work.terminal.clbit_of
        qubits = sorted(set(clbit_of.values()))
        places = {clbit: qubits.index(qubit) for clbit, qubit in clbit_of.items()}
        chances = outcomes(self._final(), qubits).chances()
        return sampling.clbit_probabilities(chances, places, self._work.options.noise)

    def _expectations(self) -> tuple[Expectation, ...]:
        options, num_qubits = self._work.options, self._work.facts.num_qubits
        program = Translation(self._work.terminal.unitary, options.noise).program
        return tuple(
            Expectation(text, means(program, parse_observable(text, num_qubits)), 0.0)
            for text in options.observables
        )


class Tableaus:
    """Stim's tableau simulators as branching.py wants states."""

    def __init__(self) -> None:
        self._gates = Gates()

    def apply(
        self, state: stim.TableauSimulator, step: CircuitInstruction, wires: Sequence[int]
    ) -> stim.TableauSimulator:
        state.do(stim.Circuit(self._gates.lines(step, wires)))
        return state

    def flip(self, state: stim.TableauSimulator, wire: int) -> stim.TableauSimulator:
        state.x(wire)
        return state

    def chance_of_one(self, state: stim.TableauSimulator, wire: int) -> float:
        return (1 - int(state.peek_z(wire))) / 2

    def collapse(
        self, state: stim.TableauSimulator, wire: int, outcome: int, chance: float
    ) -> stim.TableauSimulator:
        state.postselect_z(wire, desired_value=bool(outcome))
        return state

    def shared(self, state: stim.TableauSimulator) -> stim.TableauSimulator:
        return state.copy(seed=0)

    def drop(self, state: stim.TableauSimulator) -> None:
        """Nothing to do: Python counts the references."""


class BranchedProgram:
    def __init__(self, work: Workload, checkpoint: Checkpoint | None) -> None:
        self._work = work
        self._generator = np.random.default_rng(work.seed)
        self._rows: list[NDArray[np.uint8]] = []
        circuit, self._clbit_of = without_last_readings(work.circuit)
        wires = list(range(circuit.num_qubits))
        whole = Block.of(circuit, wires, range(circuit.num_clbits))
        if checkpoint is None:
            state = stim.TableauSimulator(seed=0)
            state.set_num_qubits(circuit.num_qubits)
            branches = [Branch(state, wires, 0, work.options.shots, [whole])]
        else:
            header, chunks = checkpoint.header, iter(checkpoint.chunks)
            self._generator.bit_generator.state = header["generator"]
            self._rows = _rows(header, chunks)
            branches = [
                Branch.restored(tableaus.read(circuit.num_qubits, chunks), whole, each)
                for each in header["branches"]
            ]
        self._branches = Branches(Tableaus(), branches, work.options.noise, self._generator)

    @property
    def fraction(self) -> float:
        return self._done / self._work.options.shots

    @property
    def position(self) -> Position:
        return Position(shots_done=self._done, shots=self._work.options.shots)

    @property
    def _done(self) -> int:
        return self._work.options.shots - sum(branch.shots for branch in self._branches.open)

    def advance(self, seconds: float) -> bool:
        end = time.perf_counter() + seconds
        while self._branches.open:
            ended = self._branches.step()
            if ended is not None:
                self._rows.append(self._read(ended))
            if time.perf_counter() > end:
                break
        return not self._branches.open

    def checkpoint(self) -> Checkpoint:
        branches = self._branches.open
        header = {
            "rows": _shape(self._rows),
            "generator": self._generator.bit_generator.state,
            "branches": [branch.described() for branch in branches],
        }
        states = (tableaus.octets(branch.state) for branch in branches)
        return Checkpoint(header, pieces(*self._rows, *states))

    def result(self) -> Outcome:
        readings = Readings(self._generator.permutation(np.concatenate(self._rows)))
        kept = self._work.options.per_shot_memory
        return Outcome(readings.counts(), memory=readings.memory() if kept else None)

    def _read(self, branch: Branch[stim.TableauSimulator]) -> NDArray[np.uint8]:
        wires = sorted({branch.wire_of[qubit] for qubit in self._clbit_of.values()})
        column_of = {clbit: wires.index(branch.wire_of[qubit]) for clbit, qubit in self._clbit_of.items()}
        found = outcomes(branch.state, wires)

        def read(shots: int) -> Readings:
            bits = found.sample(shots, self._generator)
            return sampling.read_bits(bits, column_of, self._work.facts.num_clbits)

        readings = sampling.in_blocks(branch.shots, len(wires), read)
        readings = readings.flipped(column_of, self._work.options.noise, self._generator)
        return readings.over(branch.bits, column_of).rows


def _shape(rows: Sequence[NDArray[np.uint8]]) -> list[int]:
    return [sum(map(len, rows)), rows[0].shape[1] if rows else 0]


def _rows(header: Mapping[str, Any], chunks: Iterator[bytes | memoryview]) -> list[NDArray[np.uint8]]:
    """The shots of a checkpoint, as one block."""
    if not header["rows"][0]:
        return []
    rows = np.empty(header["rows"], np.uint8)
    fill(chunks, rows)
    return [rows]

"""Running a circuit on the torch engine, sweep by sweep, with the loop over it in our hands.

One state where the circuit measures at its end; else the branches that its readings make, depth first, so
that there are few at a time. Where there is noise, or more branches than memory, shots go in batches.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import chain

import numpy as np
import torch

from qvirt.model.estimate import Candidate
from qvirt.model.result import Position
from qvirt.model.run import Limits, Method, Precision
from qvirt.simulators.active import active
from qvirt.simulators.branching import without_last_readings
from qvirt.simulators.channels import after_gate
from qvirt.simulators.checkpoint import Checkpoint, fill, pieces
from qvirt.simulators.contract import Outcome
from qvirt.simulators.lowering import lower, lower_to_two_qubit
from qvirt.simulators.torch_statevector import cost, devices, saved, sizes, trajectories
from qvirt.simulators.torch_statevector.density import DensityMatrix
from qvirt.simulators.torch_statevector.flow import Jump, Noisy, Read, Reset, Segment, Step, compiled
from qvirt.simulators.torch_statevector.operations import LARGEST_MATRIX, basis
from qvirt.simulators.torch_statevector.state import State
from qvirt.simulators.torch_statevector.tally import Tally
from qvirt.simulators.torch_statevector.trajectories import Branch
from qvirt.simulators.torch_statevector.unitary import Traits, Unitary, compile_unitary
from qvirt.simulators.workload import Workload

_MOST_COMPILED = 4096

_LEAST_WAITED = 24
"""log2 of the amplitudes whose sweep on a GPU takes about as long as waiting for it."""


class TorchProgram:
    """Qubits that nothing acts on are left out, unless the whole state is asked for."""

    def __init__(
        self,
        candidate: Candidate,
        work: Workload,
        limits: Limits,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        if candidate.device is not None:
            devices.require(candidate.device, cost.memory(candidate, work.facts, work.options, limits)[1])
        bits = cost.index_bits(candidate, work.facts, work.options)
        torch.set_num_threads(max(1, limits.threads) if bits >= sizes.SHARED_FROM else 1)
        self._work = work
        self._double: TorchProgram | None = None
        """The same in double precision, to be compared with; it goes first."""
        if cost.compares(candidate, work.facts, work.options, limits):
            self._double = TorchProgram(replace(candidate, precision=Precision.DOUBLE), work, limits)
        self._kind = DensityMatrix if candidate.method is Method.DENSITY_MATRIX else State
        self._traits = Traits(candidate.device or "cpu", candidate.precision, limits.threads)
        self._waits = candidate.device is not None and bits >= _LEAST_WAITED
        place = {qubit: number for number, qubit in enumerate(active(work.facts, work.options))}
        self._num_qubits = len(place)
        self._steps, clbit_of, phase = _read(work, place, held=self._kind is DensityMatrix)
        self._before = [0, *np.cumsum([_weight(step) for step in self._steps]).tolist()]
        self._one_state = cost.is_one_state(candidate, work.facts, work.options)
        self._tally = Tally(work, clbit_of, phase, candidate.precision, self._one_state)
        self._batch = cost.shots_at_once(candidate, work.facts, work.options, limits)
        self._unitaries: dict[tuple[int, tuple[int, ...]], Unitary] = {}
        self._generator = np.random.default_rng(work.seed)
        self._left = work.options.shots
        self._open: list[Branch] = []
        if checkpoint is None:
            self._begin()
        else:
            self._restore(checkpoint)

    @property
    def fraction(self) -> float:
        """The share of the shots that are done; those on their way count for how far they are."""
        waiting = self._left + sum(b.total * (1.0 - self._share(b)) for b in self._open)
        done = 1.0 - waiting / self._work.options.shots
        return done if self._double is None else (done + self._double.fraction) / 2

    @property
    def position(self) -> Position:
        shots = self._work.options.shots
        done = shots - self._left - sum(branch.total for branch in self._open)
        if not self._one_state:
            return Position(shots_done=done, shots=shots)
        total = self._before[-1]
        return Position(
            round(self._share(self._open[-1]) * total) if self._open else total, total, done, shots
        )

    def advance(self, seconds: float) -> bool:
        """At least one sweep. A GPU is waited for where its sweeps are long: it would be given all of them
        at once, and the clock would say nothing."""
        end = time.perf_counter() + seconds
        while self._open:
            if self._double is not None and not self._double.is_at_end:
                self._double._step()
            else:
                self._step()
            if not self._open and self._left:
                self._begin()
            if self._waits:
                devices.settle(self._traits.device)
            if time.perf_counter() > end:
                break
        return not self._open

    @property
    def is_at_end(self) -> bool:
        """Only the last readings are left."""
        return self._open[-1].step == len(self._steps)

    def checkpoint(self) -> Checkpoint:
        header = {
            "left": self._left,
            "generator": self._generator.bit_generator.state,
            "read": len(self._tally.rows),
            "sums": self._tally.sums,
            "branches": [saved.described(branch) for branch in self._open],
        }
        if self._double is None:
            return Checkpoint(header, self._chunks())
        other = self._double.checkpoint()
        return Checkpoint({**header, "double": other.header}, chain(self._chunks(), other.chunks))

    def result(self) -> Outcome:
        devices.release(self._traits.device)
        return self._tally.outcome(self._generator)

    def _begin(self) -> None:
        shots = min(self._batch, self._left)
        self._left -= shots
        state = self._kind.zero(1, self._num_qubits, self._traits)
        if self._work.start is not None:
            state.set(self._work.start)
        self._open.append(Branch(state, np.array([shots])))

    def _step(self) -> None:
        branch = self._open[-1]
        if branch.step == len(self._steps):
            double = None if self._double is None else self._double._open[0].state
            self._tally.add(self._open.pop(), self._generator, double)
            return
        step = self._steps[branch.step]
        if isinstance(step, Segment):
            self._sweep(branch, step)
            return
        match step:
            case Jump():
                stays = step.unless is not None and step.unless(branch.bits)
                branch.step = branch.step + 1 if stays else step.to
                return
            case Read():
                self._open.pop()
                noise = self._work.options.noise
                self._open += trajectories.read(branch, step.qubit, step.clbit, noise, self._generator)
                return
            case Reset():
                trajectories.reset(branch, step.qubit, self._generator)
            case Noisy():
                trajectories.draw(branch, step.qubits, step.channel, self._generator)
        branch.step += 1

    def _sweep(self, branch: Branch, segment: Segment) -> None:
        unitary = self._unitary(branch, segment)
        if branch.sweep < len(unitary):
            unitary.run(branch.state.amplitudes, branch.sweep)
            branch.sweep += 1
            branch.passes += 1
        if branch.sweep == len(unitary):
            branch.state.moved(unitary)
            branch.state.renamed(segment.renamed)
            branch.step, branch.sweep = branch.step + 1, 0

    def _unitary(self, branch: Branch, segment: Segment) -> Unitary:
        key = (branch.step, tuple(branch.state.layout))
        if key not in self._unitaries:
            if len(self._unitaries) >= _MOST_COMPILED:
                self._unitaries.clear()
            operations = list(branch.state.operations(segment.operations))
            bits = self._kind.bits(self._num_qubits)
            self._unitaries[key] = compile_unitary(operations, bits, self._traits)
        return self._unitaries[key]

    def _share(self, branch: Branch) -> float:
        """Of the steps, those that are behind it."""
        done = float(self._before[branch.step])
        if branch.sweep:
            step = self._steps[branch.step]
            assert isinstance(step, Segment)  # noqa: S101
            done += _weight(step) * branch.sweep / len(self._unitary(branch, step))
        return float(done / max(1, self._before[-1]))

    def _chunks(self) -> Iterator[memoryview]:
        if len(self._tally.rows):
            yield from pieces(np.ascontiguousarray(self._tally.rows))
        for branch in self._open:
            yield from saved.chunks(branch)

    def _restore(self, checkpoint: Checkpoint) -> None:
        header, chunks = checkpoint.header, iter(checkpoint.chunks)
        self._left = header["left"]
        self._generator.bit_generator.state = header["generator"]
        rows = np.empty((header["read"], self._tally.rows.shape[1]), np.uint8)
        if len(rows):
            fill(chunks, rows)
        self._tally.rows, self._tally.sums = rows, header["sums"]
        for found in header["branches"]:
            self._open.append(saved.restored(found, chunks, self._kind, self._num_qubits, self._traits))
        if self._double is not None:
            self._double._open.clear()
            self._double._restore(Checkpoint(header["double"], chunks))


def _read(
    work: Workload, place: Mapping[int, int], held: bool
) -> tuple[tuple[Step, ...], dict[int, int], float]:
    """The steps, the last readings as clbit -> qubit of the state, and the global phase."""
    noise = work.options.noise
    circuit, clbit_of = work.terminal if cost.is_terminal(work.facts) else without_last_readings(work.circuit)
    after = {}
    if noise is not None and noise.on_gates:
        circuit = lower_to_two_qubit(circuit)
        after = {width: tuple(after_gate(noise, width)) for width in (1, 2)}
    circuit = lower(circuit, basis(), LARGEST_MATRIX)
    steps = compiled(circuit, place, after, held)
    readings = {clbit: place[qubit] for clbit, qubit in clbit_of.items()}
    return steps, readings, float(circuit.global_phase)


def _weight(step: Step) -> int:
    return len(step.operations) if isinstance(step, Segment) else 1

"""A circuit that chance decides in its middle: Aer goes through it shot by shot, in batches of shots."""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from dataclasses import replace
from typing import Any

import numpy as np
import qiskit_aer  # noqa: F401  (gives circuits their save_... methods)
from qiskit import QuantumCircuit
from qiskit.circuit import CircuitInstruction, Clbit

from qvirt.errors import DoesNotFit, EngineFailed
from qvirt.model.estimate import Candidate
from qvirt.model.result import Expectation, Position
from qvirt.model.run import Limits, Method
from qvirt.simulators import sampling
from qvirt.simulators.aer.backend import execute
from qvirt.simulators.aer.cost import is_one_state, shot_policy
from qvirt.simulators.aer.gates import for_aer
from qvirt.simulators.aer.segments import beginning, setting
from qvirt.simulators.branching import without_last_readings
from qvirt.simulators.checkpoint import Checkpoint, pieces
from qvirt.simulators.contract import Outcome
from qvirt.simulators.observables import parse_observable
from qvirt.simulators.workload import Workload

_PROBABILITIES = "probabilities"


class ShotsProgram:
    def __init__(
        self, candidate: Candidate, work: Workload, limits: Limits, checkpoint: Checkpoint | None = None
    ) -> None:
        self._candidate = candidate
        self._work = work
        self._limits = limits
        self._policy = shot_policy(candidate, work.facts, work.options, limits)
        self._per_shot = not is_one_state(candidate, work.facts, work.options)
        rest, self._clbit_of = without_last_readings(work.circuit)
        self._circuit, self._noise = for_aer(rest, candidate.method, work.options.noise)
        if work.start is not None:
            state = beginning(self._circuit, work.start, candidate.precision)
            self._circuit = _preceded(self._circuit, setting(candidate.method, self._circuit, state))
        self._counts: Counter[int] = Counter()
        self._memory: list[int] = []
        self._values: defaultdict[str, list[float]] = defaultdict(list)
        self._probabilities: Any = None
        self._done = 0
        if checkpoint is not None:
            self._restore(checkpoint)
        self._add_readings()

    @property
    def fraction(self) -> float:
        return self._done / self._work.options.shots

    @property
    def position(self) -> Position:
        return Position(shots_done=self._done, shots=self._work.options.shots)

    def advance(self, seconds: float) -> bool:
        """At least one batch, however long it takes."""
        end = time.perf_counter() + seconds
        while self._done < self._work.options.shots:
            self._batch(min(self._policy.batch, self._work.options.shots - self._done))
            if time.perf_counter() > end:
                break
        return self._done == self._work.options.shots

    def checkpoint(self) -> Checkpoint:
        """Between two batches of shots: what was read in those that are done."""
        read = json.dumps([list(self._counts.items()), self._memory, self._values])
        header = {"done": self._done, "batch": self._policy.batch, "branched": self._policy.branched}
        return Checkpoint(header, pieces(read.encode()))

    def _restore(self, checkpoint: Checkpoint) -> None:
        """The shots left are run as they would have been: each batch has its own seed."""
        header = checkpoint.header
        fits = self._policy.branched and header["batch"] <= self._policy.batch
        if header["branched"] and not fits:
            raise DoesNotFit(
                "the checkpoint is of a run that had more memory for its branches",
                hint="resume it in a VM with as much memory as the first had",
            )
        self._policy = replace(self._policy, batch=header["batch"], branched=header["branched"])
        counts, self._memory, values = json.loads(b"".join(checkpoint.chunks))
        self._counts.update(dict(counts))
        self._values.update(values)
        self._done = header["done"]

    def result(self) -> Outcome:
        options = self._work.options
        return Outcome(
            self._counts,
            memory=tuple(self._memory) if options.per_shot_memory else None,
            probabilities=self._chances() if options.probabilities else None,
            expectations=tuple(self._mean(text) for text in options.observables),
        )

    def _add_readings(self) -> None:
        circuit, options = self._circuit, self._work.options
        for text in dict.fromkeys(options.observables):
            observable = parse_observable(text, circuit.num_qubits)
            circuit.save_expectation_value(observable, circuit.qubits, label=text, pershot=self._per_shot)
        if options.probabilities:
            circuit.save_probabilities(sorted(set(self._clbit_of.values())), label=_PROBABILITIES)
        for clbit, qubit in self._clbit_of.items():
            circuit.measure(qubit, clbit)
        if self._policy.branched and self._clbit_of:
            _pad(circuit, len(self._clbit_of))

    def _batch(self, shots: int) -> None:
        # Aer gives shot i the seed + i, so that seeds of one apart would give nearly the same counts.
        seeds = np.random.SeedSequence([self._work.seed, self._done])
        data = execute(
            self._circuit,
            self._candidate,
            self._limits,
            shots=shots,
            seed=int(seeds.generate_state(1, np.uint64)[0] >> 1),
            # The walk of the extended stabilizer is made of steps too short for threads to share.
            threads=1 if self._candidate.method is Method.EXTENDED_STABILIZER else self._limits.threads,
            noise=self._noise,
            memory=self._work.options.per_shot_memory,
            max_parallel_shots=self._policy.parallel,
            shot_branching_enable=self._policy.branched,
            shot_branching_sampling_enable=self._policy.branched,
        )
        self._keep(data, shots, np.random.default_rng(seeds))
        self._done += shots

    def _keep(self, data: dict[str, Any], shots: int, generator: np.random.Generator) -> None:
        mask = (1 << self._work.facts.num_clbits) - 1
        # A circuit whose measurements are all in bodies that are not entered has no counts.
        counts = data.get("counts", {"0x0": shots})
        if sum(counts.values()) != shots:
            raise EngineFailed(f"{self._candidate} gave {sum(counts.values())} of {shots} shots")
        for bits, count in counts.items():
            self._counts[int(bits, 16) & mask] += count
        if self._work.options.per_shot_memory:
            # Branches come one after another; shots are in no order.
            memory = data.get("memory", ["0x0"] * shots)
            self._memory += [int(memory[shot], 16) & mask for shot in generator.permutation(shots)]
        for text in set(self._work.options.observables):
            self._values[text] += np.atleast_1d(data[text]).tolist()
        self._probabilities = data.get(_PROBABILITIES)

    def _mean(self, text: str) -> Expectation:
        values = self._values[text]
        if not self._per_shot:
            return Expectation(text, values[0], 0.0)
        if len(values) > 1:
            error = float(np.std(values, ddof=1)) / len(values) ** 0.5
        else:
            error = float(np.abs(parse_observable(text, self._circuit.num_qubits).coeffs).sum())
        return Expectation(text, float(np.mean(values)), error)

    def _chances(self) -> dict[int, float]:
        qubits = sorted(set(self._clbit_of.values()))
        places = {clbit: qubits.index(qubit) for clbit, qubit in self._clbit_of.items()}
        return sampling.clbit_probabilities(self._probabilities, places, self._work.options.noise)


def _preceded(circuit: QuantumCircuit, first: CircuitInstruction) -> QuantumCircuit:
    longer = circuit.copy_empty_like()
    for step in (first, *circuit.data):
        longer._append(step)
    return longer


def _pad(circuit: QuantumCircuit, last_readings: int) -> None:
    """Aer samples what a branch reads last only where it measures as often as it has qubits.

    The same qubit is measured again, into a clbit that is thrown away.
    """
    scratch = Clbit()
    circuit.add_bits([scratch])
    for _ in range(circuit.num_qubits - last_readings):
        circuit.measure(circuit.data[-1].qubits[0], scratch)

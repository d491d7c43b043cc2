"""A circuit that ends with its measurements: gone through once, its final state read as often as asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from qiskit import QuantumCircuit

from qvirt.errors import Unsupported
from qvirt.model.estimate import Candidate
from qvirt.model.result import Expectation, Position
from qvirt.model.run import Limits, Method
from qvirt.simulators import sampling
from qvirt.simulators.active import active
from qvirt.simulators.aer import mps
from qvirt.simulators.aer.backend import execute
from qvirt.simulators.aer.cost import SHARED_FROM, segments
from qvirt.simulators.aer.gates import for_aer
from qvirt.simulators.aer.pieces import Pieces
from qvirt.simulators.aer.segments import Segments, beginning
from qvirt.simulators.checkpoint import Checkpoint
from qvirt.simulators.contract import Outcome
from qvirt.simulators.observables import parse_observable
from qvirt.simulators.sampling import Readings
from qvirt.simulators.workload import Workload

_STATE = "final state"
_PROBABILITIES = "probabilities"


class FinalStateProgram:
    """Qubits that nothing acts on are left out, unless all of the state is asked for.

    Aer's own sampling takes 17 s for a million shots of 24 qubits; ours a quarter of a second.
    """

    def __init__(
        self, candidate: Candidate, work: Workload, limits: Limits, checkpoint: Checkpoint | None = None
    ) -> None:
        self._candidate = candidate
        self._work = work
        self._limits = limits
        unitary, clbit_of = work.terminal
        qubits = active(work.facts, work.options)
        place = {qubit: number for number, qubit in enumerate(qubits)}
        self._clbit_of = {clbit: place[qubit] for clbit, qubit in clbit_of.items()}
        noise = work.options.noise
        # Misreadings are left to us, as the readings are.
        on_gates = replace(noise, readout_0to1=0.0, readout_1to0=0.0) if noise else None
        self._circuit, self._noise = for_aer(_on(unitary, qubits), candidate.method, on_gates)
        self._pieces: Pieces | None = None
        if candidate.method is Method.MPS and limits.seconds is not None:
            self._pieces = Pieces(self._circuit, self._execute, limits.seconds)
        number = segments(candidate, work.facts, work.options, limits)
        size = -(-len(self._circuit.data) // number)
        start = None
        if work.start is not None:
            start = beginning(self._circuit, work.start, candidate.precision)
        self._segments = Segments(self._circuit, candidate.method, self._execute, size, checkpoint, start)
        self._in_segments = number > 1 or checkpoint is not None
        self._data: dict[str, Any] | None = None

    @property
    def fraction(self) -> float | None:
        if self._data is not None:
            return 1.0
        if self._in_segments:
            return self._segments.done / self._segments.total
        return None if self._pieces is None else self._pieces.fraction

    @property
    def position(self) -> Position | None:
        fraction, total = self.fraction, self._segments.total
        return None if fraction is None else Position(round(fraction * total), total)

    def advance(self, seconds: float) -> bool:
        if self._pieces is not None:
            if not self._pieces.advance(seconds):
                return False
            circuit = QuantumCircuit(self._circuit.qubits)
            circuit.set_matrix_product_state(self._pieces.state)
        elif self._segments.advance(seconds):
            circuit = self._segments.last()
        else:
            return False
        self._data = self._execute(self._with_readings(circuit))
        return True

    def _execute(self, circuit: QuantumCircuit) -> dict[str, Any]:
        num_qubits = circuit.num_qubits * (2 if self._candidate.method is Method.DENSITY_MATRIX else 1)
        return execute(
            circuit,
            self._candidate,
            self._limits,
            shots=1,
            seed=0,
            threads=self._limits.threads if num_qubits >= SHARED_FROM else 1,
            noise=self._noise,
        )

    def checkpoint(self) -> Checkpoint:
        if not self._in_segments:
            raise Unsupported("Aer runs this circuit in one go, and stops nowhere in its middle")
        return self._segments.checkpoint()

    def result(self) -> Outcome:
        assert self._data is not None, "a result is asked for after the program has run"  # noqa: S101
        options, generator = self._work.options, np.random.default_rng(self._work.seed)
        state = self._data[_STATE]
        if self._candidate.method is Method.MPS:
            sites = mps.sites(state)
            readings = self._sampled(sites, generator)
            state = mps.amplitudes(sites) if options.state else None
        else:
            indices = sampling.draw(state, options.shots, generator)
            readings = sampling.read_indices(indices, self._clbit_of, self._work.facts.num_clbits)
        readings = readings.flipped(self._clbit_of, options.noise, generator)
        return Outcome(
            readings.counts(),
            memory=readings.memory() if options.per_shot_memory else None,
            probabilities=self._probabilities() if options.probabilities else None,
            expectations=tuple(
                Expectation(text, float(self._data[text]), 0.0) for text in options.observables
            ),
            state=np.asarray(state, np.complex128) if options.state else None,
        )

    def _with_readings(self, circuit: QuantumCircuit) -> QuantumCircuit:
        for text in dict.fromkeys(self._work.options.observables):
            observable = parse_observable(text, circuit.num_qubits)
            circuit.save_expectation_value(observable, circuit.qubits, label=text)
        if self._candidate.method is Method.STATEVECTOR:
            circuit.save_statevector(label=_STATE)
        elif self._candidate.method is Method.DENSITY_MATRIX:
            circuit.save_probabilities(label=_STATE)
        else:
            if self._work.options.probabilities:
                circuit.save_probabilities(sorted(set(self._clbit_of.values())), label=_PROBABILITIES)
            circuit.save_matrix_product_state(label=_STATE)
        return circuit

    def _sampled(self, sites: mps.Sites, generator: np.random.Generator) -> Readings:
        def read(shots: int) -> Readings:
            bits = mps.sample(sites, shots, generator)
            return sampling.read_bits(bits, self._clbit_of, self._work.facts.num_clbits)

        at_once = mps.shots_at_once(sites)
        shots = self._work.options.shots
        blocks = [read(min(at_once, shots - start)).rows for start in range(0, shots, at_once)]
        return Readings(np.concatenate(blocks))

    def _probabilities(self) -> dict[int, float]:
        assert self._data is not None  # noqa: S101
        chances, places = self._data[_STATE], self._clbit_of
        if self._candidate.method is Method.MPS:
            qubits = sorted(set(places.values()))
            chances = self._data[_PROBABILITIES]
            places = {clbit: qubits.index(qubit) for clbit, qubit in places.items()}
        return sampling.clbit_probabilities(chances, places, self._work.options.noise)


def _on(circuit: QuantumCircuit, qubits: Sequence[int]) -> QuantumCircuit:
    """``circuit``, which acts on no others, on these of its qubits alone."""
    if len(qubits) == circuit.num_qubits:
        return circuit
    chosen = [circuit.qubits[qubit] for qubit in qubits]
    smaller = QuantumCircuit(chosen, global_phase=circuit.global_phase)
    for step in circuit.data:
        smaller._append(step)
    return smaller

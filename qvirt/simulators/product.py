"""Circuits without entanglement: every qubit by itself, exact, for any number of qubits."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit.library import get_standard_gate_name_mapping
from qiskit.quantum_info import SparsePauliOp

from qvirt.errors import Unsupported
from qvirt.model.circuit import CircuitFacts
from qvirt.model.estimate import Candidate, Estimate
from qvirt.model.result import Expectation, Position
from qvirt.model.run import Limits, Method, Precision, RunOptions
from qvirt.simulators import sampling
from qvirt.simulators.checkpoint import Checkpoint
from qvirt.simulators.contract import Constants, Outcome, predicted
from qvirt.simulators.lowering import lower
from qvirt.simulators.observables import parse_observable
from qvirt.simulators.sampling import Readings
from qvirt.simulators.workload import Workload
from qvirt.version import __version__

CANDIDATE = Candidate("product", Method.PRODUCT, Precision.DOUBLE)

_BASIS = frozenset(
    {name for name, gate in get_standard_gate_name_mapping().items() if gate.num_qubits == 1} | {"unitary"}
)
_BASE_MEMORY = 96 << 20
_MOST_STATE_QUBITS = 40


class ProductSimulator:
    name = "product"
    stops_by_itself = frozenset({Method.PRODUCT})

    def version(self) -> str | None:
        return __version__

    def candidates(self) -> tuple[Candidate, ...]:
        return (CANDIDATE,)

    def supports(self, candidate: Candidate, facts: CircuitFacts, options: RunOptions) -> str | None:
        if facts.largest_component > 1:
            return f"gates join up to {facts.largest_component} qubits, and it treats each one by itself"
        if options.state and facts.num_qubits > _MOST_STATE_QUBITS:
            return f"the state of {facts.num_qubits} qubits is too large for any machine"
        return sampling.final_state_refusal(facts, options)

    def features(self, candidate: Candidate, facts: CircuitFacts, options: RunOptions) -> dict[str, float]:
        return {
            "run": 1,
            "gate": facts.gates,
            "bit": options.shots * facts.measurements,
            "amplitude": 2.0**facts.num_qubits if options.state else 0,
        }

    def constants(self, candidate: Candidate) -> Constants:
        return {"run": 5e-4, "gate": 5e-6, "bit": 8e-9, "amplitude": 1e-8}

    def estimate(
        self,
        candidate: Candidate,
        facts: CircuitFacts,
        options: RunOptions,
        limits: Limits,
        constants: Constants,
    ) -> Estimate:
        features = self.features(candidate, facts, options)
        state = 32 << facts.num_qubits if options.state else 0
        return Estimate(
            candidate,
            memory=_BASE_MEMORY + state + sampling.reading_memory(facts, options),
            seconds=predicted(features, constants),
            error=1.5,
            certain=True,
            reason="no gate joins two qubits, so each is simulated by itself",
        )

    def prepare(
        self, candidate: Candidate, work: Workload, limits: Limits, checkpoint: Checkpoint | None = None
    ) -> ProductProgram:
        return ProductProgram(work)


class ProductProgram:
    def __init__(self, work: Workload) -> None:
        self._work = work
        self._qubits = np.zeros((work.facts.num_qubits, 2), np.complex128)
        """One normalised state a row."""
        self._qubits[:, 0] = 1.0
        self._phase = 0.0
        self.fraction = 0.0

    def advance(self, seconds: float) -> bool:
        """All of it: the time is that of reading the circuit."""
        circuit = lower(self._work.terminal.unitary, _BASIS)
        place = {qubit: number for number, qubit in enumerate(circuit.qubits)}
        for step in circuit.data:
            if len(step.qubits) > 1:
                raise Unsupported(f"the gate {step.name} joins {len(step.qubits)} qubits")
            row = place[step.qubits[0]]
            self._qubits[row] = step.matrix @ self._qubits[row]
        self._phase = float(circuit.global_phase)
        self.fraction = 1.0
        return True

    @property
    def position(self) -> Position:
        gates = self._work.facts.gates
        return Position(operations_done=round(self.fraction * gates), operations=gates)

    def checkpoint(self) -> Checkpoint:
        """Nothing: it takes no longer to begin anew."""
        return Checkpoint({}, ())

    def result(self) -> Outcome:
        work, options = self._work, self._work.options
        clbit_of = work.terminal.clbit_of
        generator = np.random.default_rng(work.seed)
        readings = self._readings(generator).flipped(clbit_of, options.noise, generator)
        return Outcome(
            readings.counts(),
            memory=readings.memory() if options.per_shot_memory else None,
            probabilities=self._probabilities() if options.probabilities else None,
            expectations=tuple(
                Expectation(text, self._mean(parse_observable(text, len(self._qubits))), 0.0)
                for text in options.observables
            ),
            state=self._state() if options.state else None,
        )

    def _readings(self, generator: np.random.Generator) -> Readings:
        clbit_of = self._work.terminal.clbit_of
        qubits = sorted(set(clbit_of.values()))
        column = {qubit: number for number, qubit in enumerate(qubits)}
        one = abs(self._qubits[qubits, 1]) ** 2

        def read(shots: int) -> Readings:
            bits = generator.random((shots, len(qubits))) < one
            return sampling.read_bits(
                bits, {c: column[q] for c, q in clbit_of.items()}, self._work.facts.num_clbits
            )

        return sampling.in_blocks(self._work.options.shots, len(qubits), read)

    def _probabilities(self) -> dict[int, float]:
        clbit_of = self._work.terminal.clbit_of
        qubits = sorted(set(clbit_of.values()))
        chances = np.ones(1)
        for qubit in qubits:
            chances = np.kron(abs(self._qubits[qubit]) ** 2, chances)
        places = {clbit: qubits.index(qubit) for clbit, qubit in clbit_of.items()}
        return sampling.clbit_probabilities(chances, places, self._work.options.noise)

    def _mean(self, observable: SparsePauliOp) -> float:
        overlap = self._qubits[:, 0].conj() * self._qubits[:, 1]
        z = abs(self._qubits[:, 0]) ** 2 - abs(self._qubits[:, 1]) ** 2
        # By whether the letter has an X in it and a Z: I, Z, X, Y.
        letters = np.array([[np.ones_like(z), z], [2 * overlap.real, 2 * overlap.imag]])
        picked = letters[observable.paulis.x.astype(int), observable.paulis.z.astype(int), np.arange(len(z))]
        return math.fsum(observable.coeffs.real * picked.prod(axis=1))

    def _state(self) -> NDArray[np.complex128]:
        state = np.array([np.exp(1j * self._phase)])
        for qubit in self._qubits:
            state = np.kron(qubit, state)
        return state

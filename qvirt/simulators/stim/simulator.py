"""What Stim can do, and what it costs."""

from __future__ import annotations

from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from qvirt.model.circuit import CircuitFacts
from qvirt.model.estimate import Candidate, Estimate
from qvirt.model.run import Limits, Method, Precision, RunOptions
from qvirt.simulators.branching import CANNOT_RUN
from qvirt.simulators.checkpoint import Checkpoint
from qvirt.simulators.contract import Constants, Program, predicted
from qvirt.simulators.sampling import BLOCK_BITS, probabilities_refusal, reading_memory

if TYPE_CHECKING:
    from qvirt.simulators.workload import Workload

CANDIDATE = Candidate("stim", Method.STABILIZER, Precision.DOUBLE)

MOST_STATE_QUBITS = 20
"""Stim takes five seconds for them."""

_BASE_MEMORY = 24 << 20
_STEP_MEMORY = 300


class StimSimulator:
    name = "stim"
    stops_by_itself = frozenset({Method.STABILIZER})

    def version(self) -> str | None:
        with suppress(PackageNotFoundError):
            return version("stim")
        return None

    def candidates(self) -> tuple[Candidate, ...]:
        return (CANDIDATE,)

    def supports(self, candidate: Candidate, facts: CircuitFacts, options: RunOptions) -> str | None:
        noise = options.noise
        if not facts.is_clifford:
            return f"{facts.gates - facts.clifford_gates} of the {facts.gates} gates are no Clifford gates"
        if unknown := sorted(CANNOT_RUN & facts.operations.keys()):
            return f"it cannot run {unknown[0]}"
        if noise is not None and noise.beyond_paulis:
            return f"{noise.beyond_paulis} is no Pauli noise"
        if noise is not None and noise.on_gates and facts.conditionals:
            return "it has no noise on gates under conditions"
        if noise is not None and noise.on_gates and options.probabilities:
            return "exact probabilities of a noisy circuit are not known to it"
        if options.state and facts.num_qubits > MOST_STATE_QUBITS:
            return f"it writes out states of up to {MOST_STATE_QUBITS} qubits"
        if (options.state or options.observables) and not facts.terminal_measurements:
            return "it gives states and observables only for circuits that end with their measurements"
        return probabilities_refusal(facts, options)

    def features(self, candidate: Candidate, facts: CircuitFacts, options: RunOptions) -> dict[str, float]:
        noisy = options.noise is not None and options.noise.on_gates
        lines = facts.size * (3 if noisy else 1)
        branches = min(options.shots, 1 << min(facts.measurements, 30)) if facts.conditionals else 0
        return {
            "run": 1,
            "line": lines * (1 + len(options.observables)),
            "row": facts.size * facts.num_qubits,
            "frame": lines * options.shots,
            "shot": options.shots,
            "bit": options.shots * facts.measurements,
            "branch": branches * facts.size,
            "amplitude": 2.0**facts.num_qubits if options.state else 0,
        }

    def constants(self, candidate: Candidate) -> Constants:
        return {
            "run": 2.5e-4,
            "line": 2e-6,
            "row": 2e-9,
            "frame": 6e-11,
            "shot": 2e-7,
            "bit": 2e-9,
            "branch": 3e-6,
            "amplitude": 5e-6,
        }

    def estimate(
        self,
        candidate: Candidate,
        facts: CircuitFacts,
        options: RunOptions,
        limits: Limits,
        constants: Constants,
    ) -> Estimate:
        features = self.features(candidate, facts, options)
        # A tableau, its transpose while one is looked at, and the blocks of shots.
        tables = facts.num_qubits**2
        state = 48 << facts.num_qubits if options.state else 0
        return Estimate(
            candidate,
            memory=_BASE_MEMORY
            + BLOCK_BITS
            + tables
            + state
            + _STEP_MEMORY * facts.size
            + reading_memory(facts, options),
            seconds=predicted(features, constants),
            error=1.5,
            certain=True,
            reason="all gates are Clifford gates",
        )

    def prepare(
        self, candidate: Candidate, work: Workload, limits: Limits, checkpoint: Checkpoint | None = None
    ) -> Program:
        from qvirt.simulators.stim.program import prepare

        return prepare(work, checkpoint)

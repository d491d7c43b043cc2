"""What decision diagrams can do, and what is known of their cost before they are tried: the least."""

from __future__ import annotations

from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from qvirt.model.circuit import CircuitFacts
from qvirt.model.estimate import Candidate, Estimate
from qvirt.model.run import Limits, Method, Precision, RunOptions
from qvirt.simulators.branching import CANNOT_RUN
from qvirt.simulators.checkpoint import Checkpoint
from qvirt.simulators.contract import Constants, predicted
from qvirt.simulators.sampling import probabilities_refusal, reading_memory

if TYPE_CHECKING:
    from qvirt.simulators.decision_diagram.program import DecisionDiagramProgram
    from qvirt.simulators.workload import Workload

CANDIDATE = Candidate("ddsim", Method.DECISION_DIAGRAM, Precision.DOUBLE)

MOST_QUBITS = 4096
"""The package walks a diagram by recursion, a level a qubit: the stack holds some ten thousand."""

CERTAIN_SUPPORT_BITS = 6
"""Up to which a diagram of many more qubits surely stays small."""

MOST_STATE_QUBITS = 30
_BASE_MEMORY = 32 << 20


class DecisionDiagramSimulator:
    name = "ddsim"
    stops_by_itself = frozenset({Method.DECISION_DIAGRAM})

    def version(self) -> str | None:
        with suppress(PackageNotFoundError):
            return version("mqt-core")
        return None

    def candidates(self) -> tuple[Candidate, ...]:
        return (CANDIDATE,)

    def supports(self, candidate: Candidate, facts: CircuitFacts, options: RunOptions) -> str | None:
        if facts.num_qubits > MOST_QUBITS:
            return f"it holds up to {MOST_QUBITS} qubits"
        if options.noise is not None and options.noise.on_gates:
            return "it has no noise on gates"
        if unknown := sorted(CANNOT_RUN & facts.operations.keys()):
            return f"it cannot run {unknown[0]}"
        if options.state and facts.num_qubits > MOST_STATE_QUBITS:
            return f"the state of {facts.num_qubits} qubits is too large to be written out"
        if (options.state or options.observables) and not facts.terminal_measurements:
            return "it gives states and observables only for circuits that end with their measurements"
        return probabilities_refusal(facts, options)

    def features(self, candidate: Candidate, facts: CircuitFacts, options: RunOptions) -> dict[str, float]:
        return {
            "run": 1,
            "gate": facts.size,
            "level": facts.size * facts.num_qubits * 2 ** min(facts.support_bits, CERTAIN_SUPPORT_BITS),
            "bit": options.shots * facts.num_qubits,
            "amplitude": 2.0**facts.num_qubits if options.state else 0,
        }

    def constants(self, candidate: Candidate) -> Constants:
        return {"run": 1e-3, "gate": 5e-6, "level": 2e-8, "bit": 2e-8, "amplitude": 5e-8}

    def estimate(
        self,
        candidate: Candidate,
        facts: CircuitFacts,
        options: RunOptions,
        limits: Limits,
        constants: Constants,
    ) -> Estimate:
        features = self.features(candidate, facts, options)
        state = 48 << facts.num_qubits if options.state else 0
        sparse = facts.support_bits <= min(CERTAIN_SUPPORT_BITS, facts.num_qubits // 3)
        certain = sparse and facts.terminal_measurements and not facts.control_flow
        return Estimate(
            candidate,
            memory=_BASE_MEMORY + state + reading_memory(facts, options),
            seconds=predicted(features, constants),
            error=2.0,
            certain=certain,
            reason=f"at most {2**facts.support_bits} basis states have an amplitude at any time"
            if certain
            else "a decision diagram may be small: nobody can tell before it is tried",
        )

    def prepare(
        self, candidate: Candidate, work: Workload, limits: Limits, checkpoint: Checkpoint | None = None
    ) -> DecisionDiagramProgram:
        from qvirt.simulators.decision_diagram.program import DecisionDiagramProgram

        return DecisionDiagramProgram(work, limits, checkpoint)

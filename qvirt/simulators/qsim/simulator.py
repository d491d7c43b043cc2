"""What qsim can do, and what it costs."""

from __future__ import annotations

from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

from qvirt.model.circuit import CircuitFacts
from qvirt.model.estimate import Candidate, Estimate
from qvirt.model.run import Limits, Method, Precision, RunOptions
from qvirt.simulators.active import width
from qvirt.simulators.checkpoint import Checkpoint
from qvirt.simulators.contract import Constants, predicted
from qvirt.simulators.qsim.native import native
from qvirt.simulators.qsim.program import BASE_MEMORY, PIECE, QsimProgram, in_pieces
from qvirt.simulators.sampling import final_state_refusal, reading_memory
from qvirt.simulators.workload import Workload

CANDIDATE = Candidate("qsim", Method.STATEVECTOR, Precision.SINGLE)

_MOST_QUBITS = 40
_GATE_MEMORY = 1200


class QsimSimulator:
    name = "qsim"
    stops_by_itself: frozenset[Method] = frozenset()
    starts_from = frozenset({Method.STATEVECTOR})

    def version(self) -> str | None:
        with suppress(PackageNotFoundError):
            return version("qsimcirq")
        return None

    def candidates(self) -> tuple[Candidate, ...]:
        return (CANDIDATE,)

    def supports(self, candidate: Candidate, facts: CircuitFacts, options: RunOptions) -> str | None:
        if width(facts, options) > _MOST_QUBITS:
            return f"a state vector of {width(facts, options)} qubits is too large for any machine"
        return final_state_refusal(facts, options)

    def features(self, candidate: Candidate, facts: CircuitFacts, options: RunOptions) -> dict[str, float]:
        amplitudes = 2.0 ** width(facts, options)
        many = facts.operations.get("mcx", 0) + facts.operations.get("mcphase", 0)
        # Blocks of three qubits hold few gates on two, and hardly two on three.
        pairs = facts.two_qubit_gates + 2.5 * (facts.larger_gates - many)
        return {
            "run": 1,
            "gate": facts.gates,
            "pair": pairs * amplitudes,
            "sweep": (facts.passes + many) * amplitudes,
            "amplitude": amplitudes * (1 + facts.gates // PIECE),
            "shot": options.shots,
            "term": amplitudes * sum(1 + text.count("+") + text.count("-") for text in options.observables),
        }

    def constants(self, candidate: Candidate) -> Constants:
        """With two threads."""
        return {
            "run": 1e-4,
            "gate": 5.3e-6,
            "pair": 6.3e-11,
            "sweep": 3.9e-10,
            "amplitude": 6.7e-9,
            "shot": 2.9e-7,
            "term": 7e-9,
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
        qubits = width(facts, options)
        pieces = in_pieces(qubits, facts.gates, limits)
        gates = _GATE_MEMORY * min(facts.gates, PIECE if pieces else facts.gates)
        running = (8 << qubits) * (2 if pieces or options.start else 1)
        reading = (8 << qubits) * (3 if options.state or options.probabilities else 1)
        return Estimate(
            candidate,
            memory=BASE_MEMORY + gates + max(running, reading + reading_memory(facts, options)),
            seconds=predicted(features, constants),
            error=1.5,
            certain=True,
            reason=f"a dense state vector of {qubits} qubits by the fastest engine for it",
        )

    def prepare(
        self, candidate: Candidate, work: Workload, limits: Limits, checkpoint: Checkpoint | None = None
    ) -> QsimProgram:
        return QsimProgram(native(), work, limits, checkpoint)

"""What Aer can do and what it costs; nothing here loads it."""

from __future__ import annotations

import importlib.util
from importlib.metadata import version
from typing import TYPE_CHECKING

from qvirt.model.circuit import CircuitFacts
from qvirt.model.estimate import Candidate, Estimate
from qvirt.model.run import Limits, Method, Precision, RunOptions
from qvirt.simulators.active import width
from qvirt.simulators.aer import cost
from qvirt.simulators.checkpoint import Checkpoint
from qvirt.simulators.contract import Constants, Program, predicted
from qvirt.simulators.sampling import probabilities_refusal

if TYPE_CHECKING:
    from qvirt.simulators.workload import Workload

# On a CPU single precision halves the memory and takes a sixth longer; only dense states have it.
CANDIDATES = (
    Candidate("aer", Method.STATEVECTOR, Precision.DOUBLE),
    Candidate("aer", Method.STATEVECTOR, Precision.SINGLE),
    Candidate("aer", Method.DENSITY_MATRIX, Precision.DOUBLE),
    Candidate("aer", Method.DENSITY_MATRIX, Precision.SINGLE),
    Candidate("aer", Method.MPS, Precision.DOUBLE),
    Candidate("aer", Method.STABILIZER, Precision.DOUBLE),
    Candidate("aer", Method.EXTENDED_STABILIZER, Precision.DOUBLE),
)
_MOST_STATE_QUBITS = 32
_FINAL_STATE = (Method.STATEVECTOR, Method.DENSITY_MATRIX, Method.MPS)
_ERROR = {Method.STATEVECTOR: 1.5, Method.DENSITY_MATRIX: 1.5, Method.MPS: 4.0, Method.STABILIZER: 2.0}


class AerSimulator:
    name = "aer"
    stops_by_itself = frozenset({Method.MPS})
    starts_from = frozenset({Method.STATEVECTOR})

    def version(self) -> str | None:
        return version("qiskit-aer") if importlib.util.find_spec("qiskit_aer") else None

    def candidates(self) -> tuple[Candidate, ...]:
        return CANDIDATES

    def supports(self, candidate: Candidate, facts: CircuitFacts, options: RunOptions) -> str | None:
        method, qubits = candidate.method, width(facts, options)
        if qubits > cost.MOST_QUBITS.get(method, qubits):
            return f"{qubits} qubits are too many for any machine (up to {cost.MOST_QUBITS[method]})"
        if method is Method.STABILIZER:
            reason = _not_stabilizer(facts, options)
        elif method is Method.EXTENDED_STABILIZER:
            reason = _not_extended_stabilizer(facts, options)
        else:
            reason = None
        return reason or _no_exact_answer(candidate, facts, options)

    def features(self, candidate: Candidate, facts: CircuitFacts, options: RunOptions) -> dict[str, float]:
        return cost.features(candidate, facts, options)

    def constants(self, candidate: Candidate) -> Constants:
        return cost.CONSTANTS[candidate.method]

    def estimate(
        self,
        candidate: Candidate,
        facts: CircuitFacts,
        options: RunOptions,
        limits: Limits,
        constants: Constants,
    ) -> Estimate:
        # A calibration may know nothing of noise and of circuits with measurements in the middle.
        constants = {**cost.CONSTANTS[candidate.method], **constants}
        features = cost.features(candidate, facts, options, limits)
        certain = candidate.method is not Method.EXTENDED_STABILIZER
        if candidate.method is Method.MPS and facts.bond_bits > cost.CERTAIN_BOND_BITS:
            certain = False
            features |= {"bond": 0.0, "row": 0.0, "read": 0.0}
        once = cost.is_one_state(candidate, facts, options)
        return Estimate(
            candidate,
            memory=cost.memory(candidate, facts, options, limits),
            seconds=predicted(features, constants),
            error=_ERROR.get(candidate.method, 10.0) * (1.0 if once else 2.0),
            certain=certain,
            reason=_reason(candidate, facts, options) + ("" if once else ", for every history of chance"),
        )

    def prepare(
        self, candidate: Candidate, work: Workload, limits: Limits, checkpoint: Checkpoint | None = None
    ) -> Program:
        if candidate.method in _FINAL_STATE and cost.is_one_state(candidate, work.facts, work.options):
            from qvirt.simulators.aer.final_state import FinalStateProgram

            return FinalStateProgram(candidate, work, limits, checkpoint)
        from qvirt.simulators.aer.shots import ShotsProgram

        return ShotsProgram(candidate, work, limits, checkpoint)


def _not_stabilizer(facts: CircuitFacts, options: RunOptions) -> str | None:
    if not facts.is_clifford:
        return f"{facts.gates - facts.clifford_gates} of the {facts.gates} gates are no Clifford gates"
    if options.noise is not None and options.noise.beyond_paulis:
        return f"{options.noise.beyond_paulis} is no mixture of Paulis"
    return None


def _not_extended_stabilizer(facts: CircuitFacts, options: RunOptions) -> str | None:
    if options.noise is not None:
        return "it is used without noise only"
    if facts.control_flow or not facts.terminal_measurements:
        return "it cannot measure, reset or branch in the middle of a circuit"
    if options.observables or options.probabilities:
        return "it gives counts only"
    return None


def _no_exact_answer(candidate: Candidate, facts: CircuitFacts, options: RunOptions) -> str | None:
    once = cost.is_one_state(candidate, facts, options)
    if options.state:
        if candidate.method not in (Method.STATEVECTOR, Method.MPS):
            return f"{candidate.method.value} has no state vector to give"
        if not once:
            return "there is a state before the last measurements only where nothing is measured earlier"
        if facts.num_qubits > _MOST_STATE_QUBITS:
            return f"the state of {facts.num_qubits} qubits is too large to be written out"
    if options.probabilities and not once:
        return "exact probabilities need one final state, not one for every history of chance"
    return probabilities_refusal(facts, options)


def _reason(candidate: Candidate, facts: CircuitFacts, options: RunOptions) -> str:
    qubits = width(facts, options)
    match candidate.method:
        case Method.STATEVECTOR:
            return f"a dense state vector of {qubits} qubits"
        case Method.DENSITY_MATRIX:
            return f"a dense density matrix of {qubits} qubits, which holds noise exactly"
        case Method.MPS:
            return f"a matrix product state, its bond dimension at most 2^{facts.bond_bits:.0f}"
        case Method.STABILIZER:
            return f"a stabilizer state of {qubits} qubits: all gates are Clifford gates"
        case _:
            return "a sum of stabilizer states, one for every few gates that are not Clifford: approximate"

"""What the torch engine can do and what it costs; nothing here loads torch."""

from __future__ import annotations

from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from qvirt.model.circuit import CircuitFacts
from qvirt.model.estimate import Candidate, Estimate
from qvirt.model.run import Device, Limits, Method, Precision, RunOptions
from qvirt.simulators.active import width
from qvirt.simulators.contract import Constants, Program, predicted
from qvirt.simulators.sampling import probabilities_refusal
from qvirt.simulators.torch_statevector import cost, devices

if TYPE_CHECKING:
    from qvirt.simulators.checkpoint import Checkpoint
    from qvirt.simulators.workload import Workload

CANDIDATES = (
    *(
        Candidate("torch", Method.STATEVECTOR, precision)
        for precision in (Precision.DOUBLE, Precision.SINGLE)
    ),
    *(Candidate("torch", Method.STATEVECTOR, precision) for precision in cost.LOSS),
    Candidate("torch", Method.DENSITY_MATRIX, Precision.DOUBLE),
    Candidate("torch", Method.DENSITY_MATRIX, Precision.SINGLE),
)
CANNOT_RUN = frozenset({"store", "box"})

_MOST_BITS = 44
_MOST_STATE_QUBITS = 30

_UNSURE = 2.0
"""A factor of the error of what a GPU takes: the constants are assumed until a calibration."""


class TorchSimulator:
    name = "torch"
    stops_by_itself: frozenset[Method] = frozenset()
    starts_from = frozenset({Method.STATEVECTOR})
    load_seconds = cost.LOAD_SECONDS

    def version(self) -> str | None:
        with suppress(PackageNotFoundError):
            return version("torch")
        return None

    def candidates(self) -> tuple[Candidate, ...]:
        return CANDIDATES

    def supports(self, candidate: Candidate, facts: CircuitFacts, options: RunOptions) -> str | None:
        if cost.index_bits(candidate, facts, options) > _MOST_BITS:
            return f"a dense state of {width(facts, options)} qubits is too large for any machine"
        if candidate.device_kind == "mps" and candidate.precision in (Precision.DOUBLE, Precision.FLOAT8):
            return f"Apple's GPUs have no {candidate.precision.value} precision"
        if unknown := sorted(CANNOT_RUN & facts.operations.keys()):
            return f"it cannot run {unknown[0]}"
        once = cost.is_one_state(candidate, facts, options)
        if options.state:
            if candidate.method is Method.DENSITY_MATRIX:
                return "density_matrix has no state vector to give"
            if not once:
                return "there is a state before the last measurements only where nothing is measured earlier"
            if facts.num_qubits > _MOST_STATE_QUBITS:
                return f"the state of {facts.num_qubits} qubits is too large to be written out"
        if options.probabilities and not once:
            return "exact probabilities need one final state, not one for every history of chance"
        return probabilities_refusal(facts, options)

    def features(self, candidate: Candidate, facts: CircuitFacts, options: RunOptions) -> dict[str, float]:
        return cost.features(candidate, facts, options)

    def constants(self, candidate: Candidate) -> Constants:
        return cost.constants(candidate)

    def estimate(
        self,
        candidate: Candidate,
        facts: CircuitFacts,
        options: RunOptions,
        limits: Limits,
        constants: Constants,
    ) -> Estimate:
        # A calibration may know nothing of noise and of circuits with measurements in the middle.
        constants = {**cost.constants(candidate), **constants}
        device = limits.device(candidate.device)
        once = cost.is_one_state(candidate, facts, options)
        host, inside = cost.memory(candidate, facts, options, limits)
        return Estimate(
            candidate,
            memory=host,
            seconds=_start(device) + predicted(cost.features(candidate, facts, options), constants),
            error=(2.0 if once else 4.0) * (1.0 if device is None else _UNSURE),
            certain=True,
            reason=_reason(candidate, facts, options) + ("" if once else ", for every history of chance"),
            device_memory=inside,
        )

    def device_constants(self, candidate: Candidate, device: Device) -> Constants:
        return cost.device_constants(candidate, device)

    def sweeps(self, candidate: Candidate, facts: CircuitFacts, options: RunOptions) -> bool:
        return cost.sweeps(candidate, facts, options)

    def estimate_sweep(
        self, candidate: Candidate, facts: CircuitFacts, options: RunOptions, limits: Limits, rows: int
    ) -> Estimate:
        return Estimate(
            candidate,
            memory=cost.sweep_memory(candidate, facts, limits, rows),
            seconds=_start(None) + cost.sweep_seconds(facts, options, rows),
            error=2.0,
            certain=True,
            reason=f"compiled once; many dense state vectors of {facts.num_qubits} qubits at a time",
        )

    def prepare_sweep(self, candidate: Candidate, work: Workload, limits: Limits) -> Program:
        from qvirt.simulators.torch_statevector.parameters import ParameterSweep

        return ParameterSweep(work, limits, candidate.precision)

    def prepare(
        self, candidate: Candidate, work: Workload, limits: Limits, checkpoint: Checkpoint | None = None
    ) -> Program:
        from qvirt.simulators.torch_statevector.program import TorchProgram

        return TorchProgram(candidate, work, limits, checkpoint)


def _start(device: Device | None) -> float:
    """Seconds until the first operation of this process."""
    load = 0.0 if cost.is_loaded() else cost.LOAD_SECONDS
    return load if device is None or devices.is_started(device.name) else load + device.startup


def _reason(candidate: Candidate, facts: CircuitFacts, options: RunOptions) -> str:
    qubits = width(facts, options)
    if candidate.method is Method.DENSITY_MATRIX:
        return f"a dense density matrix of {qubits} qubits, which holds noise exactly"
    kept = f", kept in {candidate.precision.value}" if candidate.precision.is_reduced else ""
    on = f" on {candidate.device}" if candidate.device else ""
    return f"a dense state vector of {qubits} qubits that can be watched, saved and moved{kept}{on}"

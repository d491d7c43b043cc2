"""One circuit with free parameters, run for many sets of them.

An engine that can compiles it once and takes many sets at a time (``Sweeps``); by any other method each
set is bound and run in its turn. Which of these is the fastest is told by predicted time. What a method
would do is judged by the circuit with its parameters free, so that it holds for every set.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace

from qiskit import QuantumCircuit
from qiskit.exceptions import QiskitError

from qvirt.errors import DoesNotFit, UsageError
from qvirt.model.calibration import Calibration
from qvirt.model.circuit import CircuitFacts
from qvirt.model.estimate import Candidate, Estimate, Plan, Rejection, Stage
from qvirt.model.result import Position
from qvirt.model.run import Limits, RunOptions
from qvirt.simulators import choice
from qvirt.simulators.checkpoint import Checkpoint, of_no_sweep
from qvirt.simulators.contract import LoadsLate, Outcome, Program, Sweeps
from qvirt.simulators.registry import simulator
from qvirt.simulators.workload import Workload
from qvirt.units import show_bytes, show_seconds

OUTCOME_BYTES = 310
BIT_BYTES = 8
"""Of one outcome of one set with its count, and of each of its bits: as a number and as text in the worker,
on its way, and as text and JSON in the guest. Measured as the peaks of both processes for 6 to 60 bits:
361 bytes at 10 bits, 502 at 30, 680 at 60."""

ROW_BYTES = 1400
EXPECTATION_BYTES = 850
"""The same of one set beside its outcomes, and of each of its expectation values."""

BIND_SECONDS = 2e-4
BIND_GATE_SECONDS = 1e-6

SEEDS = 2**63


def plan(
    facts: CircuitFacts, options: RunOptions, limits: Limits, calibration: Calibration | None, rows: int
) -> Plan:
    """The choice for all sets together; there are no races, because one try costs as much as many runs."""
    if options.state or options.probabilities or options.per_shot_memory or options.start:
        raise UsageError(
            "a sweep begins in |0...0> and gives counts and expectation values only",
            hint="leave out --state, --probabilities, --per-shot, --keep and --from, or --params",
        )
    single = choice.plan(facts, options, limits, calibration)
    kept = result_bytes(rows, facts.num_clbits, options)
    estimates, rejected = [], list(single.rejected)
    for one in (*(e for stage in single.stages for e in stage.attempts), *single.runners_up):
        whole = _of_all(one, facts, options, limits, rows)
        whole = replace(whole, memory=whole.memory + kept)
        if whole.memory <= limits.memory or (not whole.certain and kept <= limits.memory):
            estimates.append(whole)
        else:
            needs = f"needs {show_bytes(whole.memory)}, the limit is {show_bytes(limits.memory)}"
            rejected.append(Rejection(one.candidate, needs))
    if not single.stages:
        return single
    ranked = sorted(estimates, key=lambda e: (not e.certain, e.cost))
    if not ranked:
        return replace(
            single,
            stages=(),
            runners_up=(),
            rejected=tuple(rejected),
            reason="nothing fits",
            refusal=_too_large(rows, kept, limits).info(),
        )
    best = ranked[0]
    return replace(
        single,
        stages=(Stage((best,), limits.threads, None),),
        runners_up=tuple(ranked[1:]),
        rejected=tuple(rejected),
        reason=f"{rows:,} parameter sets × {show_seconds(best.seconds / rows)}, {best.reason}",
    )


def result_bytes(rows: int, bits: int, options: RunOptions) -> int:
    """What the results of all sets take at most, from the engine to the answer."""
    outcomes = min(options.shots, 1 << min(bits, 30)) * (OUTCOME_BYTES + BIT_BYTES * bits)
    return rows * (outcomes + ROW_BYTES + EXPECTATION_BYTES * len(options.observables))


def prepare(
    candidate: Candidate, work: Workload, limits: Limits, calibration: Calibration | None = None
) -> Program:
    engine = simulator(candidate.engine)
    if isinstance(engine, Sweeps) and engine.sweeps(candidate, work.facts, work.options):
        return engine.prepare_sweep(candidate, work, limits)
    return RowByRow(candidate, work, limits, calibration)


class RowByRow:
    """Row r, from 0, is what a run of the bound circuit with the seed and r more gives."""

    def __init__(
        self, candidate: Candidate, work: Workload, limits: Limits, calibration: Calibration | None
    ) -> None:
        assert work.sweep is not None  # noqa: S101
        self._candidate = candidate
        self._work = work
        self._limits = limits
        self._calibration = calibration
        self._names = work.sweep.names
        self._rows = work.sweep.rows
        self._outcomes: list[Outcome] = []
        self._running: Program | None = None

    @property
    def fraction(self) -> float:
        running = self._running.fraction if self._running else None
        return (len(self._outcomes) + (running or 0.0)) / len(self._rows)

    @property
    def position(self) -> Position:
        return Position(rows_done=len(self._outcomes), rows=len(self._rows))

    def advance(self, seconds: float) -> bool:
        end = time.perf_counter() + seconds
        while len(self._outcomes) < len(self._rows):
            if self._running is None:
                self._running = self._prepared(len(self._outcomes))
            if not self._running.advance(max(0.0, end - time.perf_counter())):
                return False
            self._outcomes.append(self._running.result())
            self._running = None
            if time.perf_counter() > end:
                break
        return len(self._outcomes) == len(self._rows)

    def checkpoint(self) -> Checkpoint:
        raise of_no_sweep()

    def result(self) -> Outcome:
        warnings = dict.fromkeys(warning for outcome in self._outcomes for warning in outcome.warnings)
        return Outcome({}, warnings=tuple(warnings), rows=tuple(self._outcomes))

    def _prepared(self, row: int) -> Program:
        circuit = bound(self._work.circuit, self._names, self._rows[row], row)
        options = replace(self._work.options, seed=(self._work.seed + row) % SEEDS)
        work = Workload(circuit, self._work.facts, options)
        return choice.prepare(self._candidate, work, self._limits, self._calibration)


def bound(circuit: QuantumCircuit, names: Sequence[str], values: Sequence[float], row: int) -> QuantumCircuit:
    """Raises UsageError where an expression of the parameters has no finite value."""
    free = {parameter.name: parameter for parameter in circuit.parameters}
    try:
        found = circuit.assign_parameters(
            {free[name]: value for name, value in zip(names, values, strict=True)}
        )
    except (QiskitError, ArithmeticError) as error:
        raise UsageError(f"row {row + 1} of the sweep: {error}") from error
    for step in found.data:
        if any(isinstance(value, float) and not math.isfinite(value) for value in step.params):
            raise UsageError(f"row {row + 1} of the sweep: an angle of gate {step.name!r} is not finite")
    return found


def _of_all(one: Estimate, facts: CircuitFacts, options: RunOptions, limits: Limits, rows: int) -> Estimate:
    engine = simulator(one.candidate.engine)
    if isinstance(engine, Sweeps) and engine.sweeps(one.candidate, facts, options):
        return engine.estimate_sweep(one.candidate, facts, options, limits, rows)
    load = engine.load_seconds if isinstance(engine, LoadsLate) else 0.0
    load = min(load, one.seconds)
    each = one.seconds - load + BIND_SECONDS + BIND_GATE_SECONDS * facts.size
    return replace(one, seconds=load + rows * each, reason=f"one after another; {one.reason}")


def _too_large(rows: int, kept: int, limits: Limits) -> DoesNotFit:
    return DoesNotFit(
        f"a sweep of {rows:,} rows does not fit: its results alone may take {show_bytes(kept)}, "
        f"the limit is {show_bytes(limits.memory)}",
        hint="ask for fewer --shots, or split the rows into several files",
    )

"""Which engine, method and precision a circuit is run with, and in which order they are tried.

What is certain is decided by rule and by predicted time: an engine that cannot do what is asked says
so, one that does not fit is refused, and of the rest the fastest wins. What nobody can predict (decision
diagrams; matrix product states of unknown entanglement) is a gamble: it is tried first, under a budget
that is a share of the time of the best certain candidate, the safe one, which comes last. Gambles that
come back when asked take turns in one process. Where there is no safe one the gambles are all there is:
in turns for a moment, then side by side, for a stated time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING

from qvirt.errors import DoesNotFit, QvirtError, Unavailable, Unsupported
from qvirt.model.calibration import Calibration
from qvirt.model.circuit import CircuitFacts
from qvirt.model.estimate import Candidate, Estimate, Plan, Rejection, Stage
from qvirt.model.run import Limits, Method, Precision, RunOptions
from qvirt.simulators import split
from qvirt.simulators.checkpoint import Checkpoint
from qvirt.simulators.contract import Constants, LoadsLate, Program, Simulator, StartsFrom, UsesDevices
from qvirt.simulators.registry import installed, simulator, simulators
from qvirt.units import show_bytes, show_seconds

if TYPE_CHECKING:
    from qvirt.simulators.workload import Workload

RACE_FLOOR = 0.02
"""Seconds: a safe candidate faster than this is not worth racing against."""

RACE_SHARE = 0.27
"""Share that all gambles together may cost of the least time that the safe candidate takes."""

LEAST = 0.78
"""Nine of ten runs take at least the predicted time over this power of its error. That is what nine of ten
lie within on both sides: 1.64 standard deviations of its logarithm, where one side takes 1.28."""

KILLED_SHARE = 0.05
"""Of races, two in forty, that end in another worker, which has to load an engine that loads late."""

HOPELESS_SHARE = 0.5
"""Share of the time limit that they get where the safe candidate will hardly end within it."""

FIRST_LOOK = 0.3
"""Seconds in which gambles take turns before each gets a process of its own, where there is no safe one."""

LAST_RESORT_SECONDS = 10.0
"""How long gambles are tried where no method surely fits and no time limit was given."""


def plan(
    facts: CircuitFacts,
    options: RunOptions,
    limits: Limits,
    calibration: Calibration | None = None,
    parts: Sequence[CircuitFacts] = (),
) -> Plan:
    """Choose for one circuit; ``parts`` are the facts of its independent parts, where it has several.

    Raises Unsupported for an engine that there is not, UsageError for what is no observable of the circuit.
    """
    _check(facts, options)
    estimates, rejected = survey(facts, options, limits, calibration)
    surveys = [survey(part, split.part_options(options), limits, calibration)[0] for part in parts]
    divided = split.estimate(facts, surveys, options)
    if divided is not None:
        reason = lacking(divided, limits)
        if reason is None:
            estimates.append(divided)
        else:
            rejected.append(Rejection(divided.candidate, reason))
    gambles = [e for e in estimates if not e.certain]
    share = KILLED_SHARE if gambles else 0.0
    certain = (e for e in estimates if e.certain)
    safe = min(certain, key=lambda e: e.cost + share * _load_seconds(e), default=None)
    stages = _stages(safe, gambles, options, limits)
    chosen = {e.candidate for stage in stages for e in stage.attempts}
    return Plan(
        facts=facts,
        stages=stages,
        runners_up=tuple(
            sorted((e for e in estimates if e.candidate not in chosen), key=lambda e: e.seconds)
        ),
        rejected=tuple(rejected),
        memory_limit=limits.memory,
        threads=limits.threads,
        reason=_reason(safe, stages),
        refusal=None if stages else _refusal(facts, options, limits, rejected).info(),
    )


def _check(facts: CircuitFacts, options: RunOptions) -> None:
    if options.engine not in (None, split.CANDIDATE.engine):
        simulator(options.engine)
    if options.observables:
        from qvirt.simulators.observables import parse_observable

        for text in options.observables:
            parse_observable(text, facts.num_qubits)


def survey(
    facts: CircuitFacts, options: RunOptions, limits: Limits, calibration: Calibration | None
) -> tuple[list[Estimate], list[Rejection]]:
    """Every candidate that was asked for: what it would cost, or why it cannot be used."""
    estimates: list[Estimate] = []
    rejected: list[Rejection] = []
    for engine in simulators().values():
        for candidate in candidates(engine, limits):
            if not _asked_for(candidate, options):
                continue
            if not installed(engine.name):
                reason: str | None = f"{engine.name} is not installed"
            else:
                reason = _cannot_begin(engine, candidate, options) or _unasked(candidate, options)
                reason = reason or engine.supports(candidate, facts, options)
            if reason is None:
                estimate = _estimate(engine, candidate, facts, options, limits, calibration)
                reason = lacking(estimate, limits)
                if reason is None:
                    estimates.append(estimate)
                    continue
            rejected.append(Rejection(candidate, reason))
    return estimates, rejected


def prepare(
    candidate: Candidate,
    work: Workload,
    limits: Limits,
    calibration: Calibration | None = None,
    checkpoint: Checkpoint | None = None,
) -> Program:
    """The program of a candidate that ``plan`` named; ``checkpoint`` is where it is to go on."""
    if candidate != split.CANDIDATE:
        return simulator(candidate.engine).prepare(candidate, work, limits, checkpoint)
    from qvirt.simulators.split_program import Part, SplitProgram

    before = checkpoint.header["candidates"] if checkpoint else [None] * len(work.parts)
    parts = []
    for number, (part, named) in enumerate(zip(work.parts, before, strict=True)):
        options = replace(split.part_options(work.options), seed=work.seed + number)
        estimates, _ = survey(part.facts, options, limits, calibration)
        fits = [e.candidate for e in sorted(estimates, key=lambda e: e.cost) if e.certain]
        chosen = next((c for c in fits if named in (None, calibration_key(c))), None)
        if chosen is None:
            raise Unsupported(f"a part of the circuit was run with {named}, which does not fit here")
        make = partial(simulator(chosen.engine).prepare, chosen, replace(part, options=options), limits)
        clbits = tuple(work.circuit.find_bit(clbit).index for clbit in part.circuit.clbits)
        parts.append(Part(calibration_key(chosen), part.facts.gates, clbits, make))
    return SplitProgram(work, parts, checkpoint)


def engine_version(candidate: Candidate) -> str | None:
    """Of all that a checkpoint of the candidate depends on."""
    if candidate.engine == split.CANDIDATE.engine:
        found = {name: engine.version() for name, engine in simulators().items()}
        return ", ".join(f"{name} {version}" for name, version in found.items() if version)
    return simulator(candidate.engine).version()


def _estimate(
    engine: Simulator,
    candidate: Candidate,
    facts: CircuitFacts,
    options: RunOptions,
    limits: Limits,
    calibration: Calibration | None,
) -> Estimate:
    key = calibration_key(candidate)
    if calibration is None or key not in calibration.constants:
        constants = shipped_constants(engine, candidate, limits)
        estimate = engine.estimate(candidate, facts, options, limits, constants)
        return replace(estimate, seconds=estimate.seconds * limits.slowdown)
    estimate = engine.estimate(candidate, facts, options, limits, calibration.constants[key])
    return replace(estimate, error=calibration.error[key])


def calibration_key(candidate: Candidate) -> str:
    key = f"{candidate.engine}/{candidate.method.value}/{candidate.precision.value}"
    return f"{key}/{candidate.device}" if candidate.device else key


def candidates(engine: Simulator, limits: Limits) -> Iterable[Candidate]:
    """On the CPU, and on every GPU that there is for those that can use one."""
    yield from engine.candidates()
    if limits.devices and isinstance(engine, UsesDevices):
        for device in limits.devices:
            for candidate in engine.candidates():
                yield replace(candidate, device=device.name)


def shipped_constants(engine: Simulator, candidate: Candidate, limits: Limits) -> Constants:
    """Those to use where nothing was measured by calibration."""
    device = limits.device(candidate.device)
    if device is None or not isinstance(engine, UsesDevices):
        return engine.constants(candidate)
    return engine.device_constants(candidate, device)


def lacking(estimate: Estimate, limits: Limits) -> str | None:
    """The memory that it surely needs, and that there is not."""
    if estimate.certain and estimate.memory > limits.memory:
        return f"needs {show_bytes(estimate.memory)}, the limit is {show_bytes(limits.memory)}"
    device = limits.device(estimate.candidate.device)
    if device is None or estimate.device_memory <= device.memory:
        return None
    return (
        f"needs {show_bytes(estimate.device_memory)} of {device.name}, "
        f"where {show_bytes(device.memory)} were free"
    )


def _asked_for(candidate: Candidate, options: RunOptions) -> bool:
    return (
        options.engine in (None, candidate.engine)
        and options.method in (None, candidate.method)
        and options.precision in (None, candidate.precision)
        and options.device in (None, candidate.device_kind, "gpu" if candidate.device else "cpu")
    )


def _unasked(candidate: Candidate, options: RunOptions) -> str | None:
    """What qvirt does not choose by itself."""
    if candidate.method is Method.EXTENDED_STABILIZER and options.method is None:
        return "its answer is approximate: used only when asked for (--method extended_stabilizer)"
    if candidate.precision.is_reduced and options.precision is None:
        return f"it loses precision: used only when asked for (--precision {candidate.precision.value})"
    exact = options.observables or options.state or options.probabilities
    if exact and candidate.precision is Precision.SINGLE and options.precision is None:
        return "exact values are computed in double precision unless --precision single is given"
    return None


def _cannot_begin(engine: Simulator, candidate: Candidate, options: RunOptions) -> str | None:
    if options.start is None or (isinstance(engine, StartsFrom) and candidate.method in engine.starts_from):
        return None
    return "it cannot begin in a given state"


def _stages(
    safe: Estimate | None, gambles: list[Estimate], options: RunOptions, limits: Limits
) -> tuple[Stage, ...]:
    best = _best_per_method(gambles)
    if safe is None:
        return _last_resort(best, options, limits)
    if safe.seconds <= RACE_FLOOR:
        return (Stage((safe,), limits.threads, None),)
    budget = RACE_SHARE * safe.seconds / safe.error**LEAST
    if options.time_limit is not None and safe.seconds > options.time_limit:
        budget = HOPELESS_SHARE * options.time_limit
    # One that only a kill ends would cost a new worker as well.
    scouts = _within([e for e in best if _stops_by_itself(e)], budget)
    last = Stage((safe,), limits.threads, None)
    if not scouts:
        return (last,)
    return Stage(scouts, limits.threads, budget, in_turns=True, reload=_load_seconds(safe)), last


def _load_seconds(estimate: Estimate) -> float:
    """What a worker that has not used the engine yet needs for it, beside the run."""
    engine = simulators().get(estimate.candidate.engine)
    return engine.load_seconds if isinstance(engine, LoadsLate) else 0.0


def _within(gambles: list[Estimate], budget: float) -> tuple[Estimate, ...]:
    """The first of them, as many as the budget holds even where each takes only the least that it can."""
    least = list(accumulate(e.seconds for e in gambles))
    return tuple(e for e, seconds in zip(gambles, least, strict=True) if seconds < budget)


def _last_resort(gambles: list[Estimate], options: RunOptions, limits: Limits) -> tuple[Stage, ...]:
    """In turns for a moment, then side by side."""
    budget = options.time_limit or LAST_RESORT_SECONDS
    scouts = tuple(e for e in gambles if _stops_by_itself(e) and e.seconds < FIRST_LOOK)
    look = Stage(scouts, limits.threads, min(FIRST_LOOK, budget / 4), in_turns=True)
    side_by_side = max(1, limits.threads)
    groups = [tuple(gambles[i : i + side_by_side]) for i in range(0, len(gambles), side_by_side)]
    stages = [Stage(group, max(1, limits.threads // len(group)), budget) for group in groups]
    return (look, *stages) if len(scouts) > 1 else tuple(stages)


def _stops_by_itself(estimate: Estimate) -> bool:
    return estimate.candidate.method in simulators()[estimate.candidate.engine].stops_by_itself


def _best_per_method(gambles: Iterable[Estimate]) -> list[Estimate]:
    best: dict[Method, Estimate] = {}
    for gamble in sorted(gambles, key=lambda e: e.seconds):
        best.setdefault(gamble.candidate.method, gamble)
    return list(best.values())


def _reason(safe: Estimate | None, stages: tuple[Stage, ...]) -> str:
    if not stages:
        return "nothing fits"
    if safe is None:
        names = " and ".join(dict.fromkeys(str(e.candidate) for stage in stages for e in stage.attempts))
        return f"no method surely fits: {names} may, tried for {show_seconds(stages[-1].budget or 0)}"
    if len(stages) == 1:
        return safe.reason
    names = " and ".join(str(e.candidate) for stage in stages[:-1] for e in stage.attempts)
    budget = sum(stage.budget or 0 for stage in stages)
    return (
        f"{names} may be much faster than {safe.candidate}: {show_seconds(budget)} to show it, of the "
        f"{show_seconds(safe.seconds)} that the other takes"
    )


def _refusal(
    facts: CircuitFacts, options: RunOptions, limits: Limits, rejected: list[Rejection]
) -> QvirtError:
    if options.device not in (None, "cpu") and not limits.devices:
        return Unavailable(
            f"there is no {options.device} for it: this VM was given no GPU, or no kernel runs on one",
            hint="`qvirt doctor` says what runs here, `qvirt vm create NAME --gpu` makes a VM with a GPU",
        )
    reasons = "; ".join(f"{r.candidate}: {r.reason}" for r in rejected if "needs" in r.reason)
    if not reasons:
        asked = f" in {options.precision.value} precision" if options.precision else ""
        reasons = "; ".join(f"{r.candidate}: {r.reason}" for r in rejected)
        reasons = reasons or f"the engine has no such method{asked}"
        return Unsupported(
            f"no method can do this: {reasons}", hint="leave out --engine, --method or --precision"
        )
    if options.device not in (None, "cpu"):
        return DoesNotFit(
            f"{facts.num_qubits} qubits do not fit: {reasons}",
            hint="leave out --device, use fewer qubits, or take fewer bytes an amplitude: --precision half",
        )
    nearest = _nearest(facts, options, limits)
    fits = f"one like it of up to {nearest} qubits fits" if nearest else "none like it fits"
    return DoesNotFit(
        f"{facts.num_qubits} qubits do not fit: {reasons}",
        hint=f"{fits} in {show_bytes(limits.memory)}; give more with --memory-limit, or use fewer qubits",
    )


def _nearest(facts: CircuitFacts, options: RunOptions, limits: Limits) -> int:
    """The most qubits with which a circuit like it surely fits, beside all that its engine takes; or 0."""
    amplitude = (options.precision or Precision.SINGLE).amplitude_bytes
    for qubits in range(min(facts.num_qubits, (limits.memory // amplitude).bit_length()) - 1, 0, -1):
        fewer = replace(facts, num_qubits=qubits, components=(tuple(range(qubits)),))
        if any(estimate.certain for estimate in survey(fewer, options, limits, None)[0]):
            return qubits
    return 0

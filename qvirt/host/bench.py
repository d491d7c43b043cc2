"""Benchmarks of the engines on this machine: the answer is checked first, then the time is taken."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from secrets import token_hex

from qvirt.errors import EngineFailed, QvirtError
from qvirt.host.host import Host
from qvirt.methods.families import circuit, known_outcomes
from qvirt.model.circuit import CircuitFacts, CircuitSource
from qvirt.model.estimate import Candidate, Plan
from qvirt.model.order import Order, OrderKind
from qvirt.model.result import Result
from qvirt.model.run import Method, Precision, RunOptions
from qvirt.model.vm import VM

AUTO = "auto"
ENGINES = (AUTO, "aer", "qsim", "torch", "ddsim", "stim", "product")
TOLERANCE = {
    Precision.DOUBLE: 1e-7,
    Precision.SINGLE: 1e-4,
    Precision.HALF: 0.02,
    Precision.BFLOAT16: 0.1,
    Precision.FLOAT8: 0.4,
}
OBSERVABLES = 6
WITNESSES = ("aer", "qsim")
"""Asked for their answers too, so that each engine is checked by another."""

UNCHECKED = "no other engine could check it"
KNOWN = "the known answer"
DEVIATIONS = 6.0
"""Standard deviations by which a frequency may differ from its probability."""


@dataclass(frozen=True, slots=True)
class Request:
    families: tuple[str, ...]
    qubits: tuple[int, ...]
    engines: tuple[str, ...]
    repeats: int
    shots: int
    seed: int
    time_limit: float


@dataclass(frozen=True, slots=True)
class Row:
    """One circuit on one engine. Seconds are of the simulation, without reading and choosing.

    ``check`` names the engine that gave the same expectation values, or says why there is none;
    ``bandwidth_share`` is the time that the state's sweeps need at the measured memory bandwidth, over
    the time they took; None where the method is not a dense one.
    """

    family: str
    qubits: int
    engine: str
    candidate: Candidate | None
    median: float | None
    fastest: float | None
    slowest: float | None
    gates_per_second: float | None
    bandwidth_share: float | None
    check: str
    error: str | None = None
    device: str | None = None


def bench(
    host: Host, vm: VM, request: Request, bandwidth: float | None, tell: Callable[[str], None]
) -> Iterator[Row]:
    """One row for each circuit and engine, as they are measured."""
    request = replace(request, engines=tuple(_with_devices(request.engines, vm)))
    for family in request.families:
        for qubits in request.qubits:
            source = CircuitSource(f"{family}-{qubits}", circuit(family, qubits, request.seed).encode())
            yield from _group(host, vm, request, family, qubits, source, bandwidth, tell)


def _group(
    host: Host,
    vm: VM,
    request: Request,
    family: str,
    qubits: int,
    source: CircuitSource,
    bandwidth: float | None,
    tell: Callable[[str], None],
) -> Iterator[Row]:
    options = RunOptions(shots=request.shots, seed=request.seed, time_limit=request.time_limit)
    observables = _observables(qubits, request.seed)
    tell(f"{source.name}: checking")
    exact = {
        engine: _values(host, vm, source, replace(options, observables=observables), engine)
        for engine in dict.fromkeys([*request.engines, *WITNESSES])
    }
    for engine in request.engines:
        empty = Row(family, qubits, engine, None, None, None, None, None, None, "")
        answer = exact[engine]
        if isinstance(answer, QvirtError):
            refused = _plan(host, vm, source, _forced(options, engine)).refusal
            yield replace(empty, check="not run", error=refused.message if refused else answer.message)
            continue
        try:
            check = _agreement(engine, exact)
            tell(f"{source.name}: timing {engine}")
            runs = [_run(host, vm, source, _forced(options, engine)) for _ in range(1 + request.repeats)][1:]
            ran = runs[0].candidate.engine
            if engine == AUTO and isinstance(exact.get(ran), Result):  # exact values may be another's
                check = _agreement(ran, exact)
            if check == UNCHECKED and (known := known_outcomes(family, qubits, request.seed)):
                check = _check_known(runs[0], known)
        except QvirtError as error:
            yield replace(empty, check="failed", error=error.message)
            continue
        facts = _plan(host, vm, source, options).facts
        yield _timed(replace(empty, check=check), runs, facts, bandwidth)


def _observables(qubits: int, seed: int) -> tuple[str, ...]:
    """Random Pauli strings of weight one to three: they see phases as well as probabilities."""
    generator = random.Random(seed)  # noqa: S311
    chosen = []
    for _ in range(OBSERVABLES):
        letters = ["I"] * qubits
        for place in generator.sample(range(qubits), min(qubits, generator.randint(1, 3))):
            letters[place] = generator.choice("XYZ")
        chosen.append("".join(letters))
    return tuple(dict.fromkeys(chosen))


def _forced(options: RunOptions, engine: str) -> RunOptions:
    name, _, device = engine.partition(":")
    return options if engine == AUTO else replace(options, engine=name, device=device or None)


def _with_devices(engines: Sequence[str], vm: VM) -> Iterator[str]:
    """The torch engine on the CPU and on the GPU where the VM has one, or there would be no crossover."""
    for engine in engines:
        yield from ("torch:cpu", "torch:gpu") if engine == "torch" and vm.spec.gpu else (engine,)


def _run(host: Host, vm: VM, source: CircuitSource, options: RunOptions) -> Result:
    result = host.ask(Order(token_hex(5), source=source, options=options), vm).result
    if result is None:
        raise EngineFailed("the VM gave no result")
    return result


def _values(
    host: Host, vm: VM, source: CircuitSource, options: RunOptions, engine: str
) -> Result | QvirtError:
    """Exact expectation values; an engine that has only single precision gives them in that."""
    forced = _forced(options, engine)
    try:
        return _run(host, vm, source, forced)
    except QvirtError:
        try:
            return _run(host, vm, source, replace(forced, precision=Precision.SINGLE))
        except QvirtError as error:
            return error


def _agreement(engine: str, exact: dict[str, Result | QvirtError]) -> str:
    """The first other engine with the same values. Raises EngineFailed where one has others."""
    mine = exact[engine]
    assert isinstance(mine, Result)  # noqa: S101
    witness = UNCHECKED
    for other, theirs in exact.items():
        if isinstance(theirs, QvirtError) or _is_same(theirs, mine):
            continue
        tolerance = max(TOLERANCE[r.candidate.precision] for r in (mine, theirs))
        for a, b in zip(mine.expectations, theirs.expectations, strict=True):
            if abs(a.value - b.value) > tolerance + 6 * (a.standard_error + b.standard_error):
                raise EngineFailed(
                    f"{mine.candidate} and {theirs.candidate} disagree: "
                    f"<{a.observable}> = {a.value} and {b.value}"
                )
        if witness == UNCHECKED:
            witness = theirs.candidate.engine if other == AUTO else other
    return witness


def _is_same(one: Result, other: Result) -> bool:
    """Code: the same on another device is a check too."""
    a, b = one.candidate, other.candidate
    return (a.engine, a.device_kind) == (b.engine, b.device_kind)


def _check_known(run: Result, known: dict[str, float]) -> str:
    """Raises EngineFailed where outcomes are not as often as they must be."""
    for outcome, chance in known.items():
        found = run.counts.get(outcome, 0) / run.shots
        deviation = (chance * (1 - chance) / run.shots) ** 0.5
        if abs(found - chance) > DEVIATIONS * deviation + 1e-9:
            raise EngineFailed(
                f"{run.candidate} gave {outcome} in {found:.1%} of the shots, not {chance:.1%}"
            )
    return KNOWN


def _plan(host: Host, vm: VM, source: CircuitSource, options: RunOptions) -> Plan:
    plan = host.ask(Order(token_hex(5), OrderKind.PLAN, source, options), vm).plan
    if plan is None:
        raise EngineFailed("the VM gave no plan")
    return plan


def _timed(row: Row, runs: Sequence[Result], facts: CircuitFacts, bandwidth: float | None) -> Row:
    seconds = [run.timings.simulate for run in runs]
    median = statistics.median(seconds)
    candidate = runs[0].candidate
    share = None
    if bandwidth and candidate.device is None and candidate.method is Method.STATEVECTOR:
        moved = 2 * facts.passes * candidate.precision.amplitude_bytes * 2**facts.num_qubits
        share = moved / bandwidth / median
    return replace(
        row,
        candidate=candidate,
        median=median,
        fastest=min(seconds),
        slowest=max(seconds),
        gates_per_second=facts.gates / median,
        bandwidth_share=share,
        device=candidate.device,
    )


@dataclass(frozen=True, slots=True)
class Crossover:
    """``device`` is faster than every engine on the CPU at ``qubits`` and at each larger size that both ran;
    None where it is not at the largest."""

    family: str
    device: str
    qubits: int | None
    largest: int


def crossovers(rows: Sequence[Row]) -> list[Crossover]:
    """For each family and GPU that ran a size which the CPU ran too."""
    fastest: dict[tuple[str, str | None], dict[int, float]] = {}
    for row in rows:
        if row.median is not None:
            sizes = fastest.setdefault((row.family, row.device), {})
            sizes[row.qubits] = min(row.median, sizes.get(row.qubits, row.median))
    found = []
    for (family, device), seconds in fastest.items():
        on_cpu = fastest.get((family, None), {})
        shared = sorted(seconds.keys() & on_cpu.keys())
        if device is not None and shared:
            slower = [qubits for qubits in shared if seconds[qubits] >= on_cpu[qubits]]
            above = [qubits for qubits in shared if not slower or qubits > slower[-1]]
            found.append(Crossover(family, device, above[0] if above else None, shared[-1]))
    return found

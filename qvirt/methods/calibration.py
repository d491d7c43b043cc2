"""Fit each engine's cost constants to this machine, in half a minute to a minute.

An engine says which amounts of work its time is a sum of (``Simulator.features``); small circuits of
several families are timed, and the constants are the least-squares solution in relative error (each row
over its own time), so that a millisecond counts as much as a second. A constant stays within a factor of
the shipped one, and is that one where no sample depends on it: a few dozen samples must not decide what a
circuit unlike all of them costs.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache

from qvirt.circuits import Loaded, load
from qvirt.methods.families import circuit
from qvirt.model.calibration import Calibration
from qvirt.model.circuit import CircuitSource
from qvirt.model.estimate import Candidate
from qvirt.model.run import Limits, RunOptions
from qvirt.simulators.choice import calibration_key, candidates, lacking, shipped_constants
from qvirt.simulators.contract import Constants, Simulator
from qvirt.simulators.registry import installed, simulators
from qvirt.simulators.workload import Workload

SEED = 7
LONGEST_RUN = 0.5
"""Seconds by the shipped constants: what would take longer is left out."""

ENOUGH = 2.5
"""Seconds for each candidate: it is fitted to what was measured by then."""

DENSE = ("qft", "qv", "random")
SIZES: dict[int, Sequence[str]] = {
    4: ("ghz", "qft", "qv", "random", "clifford"),
    21: DENSE,
    12: ("ghz", "qft", "qv", "random", "clifford"),
    19: DENSE,
    8: ("qft", "qv", "qaoa"),
    100: ("ghz", "clifford"),
    16: ("qv", "random", "qaoa"),
    20: ("ghz", "clifford", "qv"),
    22: ("random",),
    400: ("clifford",),
}
"""Large and small in turn, so that a slow machine that runs out of time has seen some of each."""

SHOTS = (1, 1024, 20_000)


FEWEST_SAMPLES = 8
FREEDOM = 5.0
"""How far a constant may be from the shipped one, as a factor."""


@dataclass(frozen=True, slots=True)
class Sample:
    features: dict[str, float]
    seconds: float


def calibrate(limits: Limits, tell: Callable[[float], None] = lambda fraction: None) -> Calibration:
    """Measure every installed engine with ``limits.threads`` threads; ``tell`` hears the share done."""
    constants: dict[str, dict[str, float]] = {}
    error: dict[str, float] = {}
    work = list(_candidates(limits))
    for number, (engine, candidate) in enumerate(work):
        samples = list(_samples(engine, candidate, limits))
        if len(samples) >= FEWEST_SAMPLES:
            key = calibration_key(candidate)
            constants[key], error[key] = fit(samples, shipped_constants(engine, candidate, limits))
        tell((number + 1) / len(work))
    versions = {name: engine.version() or "" for name, engine in simulators().items() if installed(name)}
    return Calibration(platform.node(), versions, limits.threads, time.time(), constants, error)


def fit(samples: Sequence[Sample], shipped: Constants) -> tuple[dict[str, float], float]:
    """The constants, and the factor within which nine of ten samples are predicted."""
    import numpy as np
    from scipy.optimize import lsq_linear

    names = [name for name in shipped if any(sample.features.get(name) for sample in samples)]
    seconds = np.array([sample.seconds for sample in samples])
    rows = np.array([[sample.features.get(name, 0.0) for name in names] for sample in samples])
    start = np.array([shipped[name] for name in names])
    # In units of the shipped constants, whose sizes differ by many powers of ten.
    scaled = rows * start / seconds[:, None]
    solution = start * lsq_linear(scaled, np.ones(len(samples)), bounds=(1 / FREEDOM, FREEDOM)).x
    factor = np.exp(np.abs(np.log(rows @ solution / seconds)))
    fitted = dict(zip(names, map(float, solution), strict=True))
    return {**shipped, **fitted}, float(np.quantile(factor, 0.9))


def _candidates(limits: Limits) -> Iterator[tuple[Simulator, Candidate]]:
    """Without those that are used only when asked for."""
    for name, engine in simulators().items():
        if installed(name):
            chosen = (each for each in candidates(engine, limits) if not each.precision.is_reduced)
            yield from ((engine, candidate) for candidate in chosen)


def _samples(engine: Simulator, candidate: Candidate, limits: Limits) -> Iterator[Sample]:
    _load_engine(engine, candidate, limits)
    deadline = time.perf_counter() + ENOUGH
    for qubits, families in SIZES.items():
        for family in families:
            loaded = _loaded(family, qubits)
            for shots in SHOTS:
                options = RunOptions(shots=shots, seed=SEED)
                if time.perf_counter() > deadline:
                    return
                if engine.supports(candidate, loaded.facts, options) is not None:
                    continue
                shipped = shipped_constants(engine, candidate, limits)
                estimate = engine.estimate(candidate, loaded.facts, options, limits, shipped)
                too_much = estimate.seconds > LONGEST_RUN or lacking(estimate, limits) is not None
                if too_much or not estimate.certain:
                    continue
                work = Workload(loaded.circuit, loaded.facts, replace(options, precision=candidate.precision))
                features = engine.features(candidate, loaded.facts, options)
                yield Sample(features, _seconds(engine, candidate, work, limits))


def _load_engine(engine: Simulator, candidate: Candidate, limits: Limits) -> None:
    """One run that does not count: an engine that is loaded for its first circuit would look too slow to be
    measured at all."""
    loaded, options = _loaded("ghz", 4), RunOptions(shots=1, seed=SEED, precision=candidate.precision)
    if engine.supports(candidate, loaded.facts, options) is None:
        _once(engine, candidate, Workload(loaded.circuit, loaded.facts, options), limits)


@cache
def _loaded(family: str, qubits: int) -> Loaded:
    return load(CircuitSource(f"{family}-{qubits}", circuit(family, qubits, SEED).encode()))


def _seconds(engine: Simulator, candidate: Candidate, work: Workload, limits: Limits) -> float:
    """The better of two runs: what else the machine does only ever adds."""
    return min(_once(engine, candidate, work, limits) for _ in range(2))


def _once(engine: Simulator, candidate: Candidate, work: Workload, limits: Limits) -> float:
    fresh = Workload(work.circuit, work.facts, work.options)
    start = time.perf_counter()
    program = engine.prepare(candidate, fresh, limits)
    while not program.advance(1.0):
        pass
    program.result()
    return time.perf_counter() - start

"""Fit each engine's cost constants to this machine, in about a minute.

An engine says which amounts of work its time is a sum of (``Simulator.features``). Small circuits of
several families are timed, each once, as a user's circuit is: an engine keeps much of one that it has run.
The constants bring the logarithms of predicted times nearest to the measured ones. What all of them change
alike is free, for machines differ in speed; that one changes against the others must be paid for, because
a few dozen samples must not decide what a circuit unlike all of them costs. The error is that of families
that a fit has not seen.
"""

from __future__ import annotations

import math
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
from qvirt.simulators.contract import Constants, Simulator, predicted
from qvirt.simulators.registry import installed, simulators
from qvirt.simulators.workload import Workload

SEED = 7
LONGEST_RUN = 1.5
"""Seconds by the shipped constants: what would take longer is left out."""

ENOUGH = 5.0
"""Seconds for each candidate: it is fitted to what was measured by then."""

UNKNOWN = 2.0
"""The error where no run was long enough to tell."""

SIZES: dict[int, Sequence[str]] = {
    4: ("ghz", "qft", "qv", "random", "clifford"),
    20: ("ghz", "qft", "qaoa"),
    12: ("ghz", "qft", "qv", "random", "clifford", "grover"),
    19: ("qft", "qv", "random", "grover"),
    100: ("ghz", "clifford"),
    24: ("ghz", "qft"),
    8: ("qft", "qv", "qaoa"),
    21: ("qv", "random", "hidden_shift"),
    16: ("qv", "random", "qaoa", "hidden_shift"),
    22: ("random", "clifford"),
    400: ("clifford",),
}
"""Large and small in turn, so that a slow machine that runs out of time has seen some of each."""

SHOTS = (1, 1024, 20_000)
MOST_SHOT_QUBITS = 16
"""Beyond them the shots are a small part, and one number of them will do."""

FEWEST_SAMPLES = 8
LONG = 0.005
"""Seconds: below it what is predicted decides little, and the error is that of longer runs."""

STIFFNESS = 1.0
"""What it costs that a constant changes against the others by a factor of e, in samples that are as wrong."""

OUTLIER = 0.5
"""From this error in logarithm on, a sample counts less: it was disturbed, or is unlike the others."""


@dataclass(frozen=True, slots=True)
class Sample:
    family: str
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
    """The constants, and the factor within which nine of ten samples of an unseen family are predicted."""
    import numpy as np

    wrong: list[float] = []
    for family in {sample.family for sample in samples}:
        constants = _nearest([sample for sample in samples if sample.family != family], shipped)
        unseen = [each for each in samples if each.family == family and each.seconds >= LONG]
        wrong += (abs(math.log(predicted(each.features, constants) / each.seconds)) for each in unseen)
    return _nearest(samples, shipped), float(np.exp(np.quantile(wrong, 0.9))) if wrong else UNKNOWN


def _nearest(samples: Sequence[Sample], shipped: Constants) -> dict[str, float]:
    import numpy as np
    from numpy.typing import NDArray
    from scipy.optimize import least_squares

    if not samples:
        return dict(shipped)
    names = [name for name in shipped if any(shipped[name] * each.features.get(name, 0) for each in samples)]
    rows = np.array([[shipped[name] * each.features.get(name, 0.0) for name in names] for each in samples])
    measured = np.log([each.seconds for each in samples])
    stiffness = STIFFNESS * np.eye(len(names))

    def residuals(changes: NDArray[np.float64]) -> NDArray[np.float64]:
        """``changes`` of logarithms: that of all constants, then of each."""
        errors = np.log(rows @ np.exp(changes[0] + changes[1:])) - measured
        return np.concatenate([errors, stiffness @ changes[1:]])

    found = least_squares(residuals, np.zeros(1 + len(names)), loss="soft_l1", f_scale=OUTLIER).x
    changed = dict(zip(names, np.exp(found[0] + found[1:]), strict=True))
    return {name: number * float(changed.get(name, 1.0)) for name, number in shipped.items()}


def _candidates(limits: Limits) -> Iterator[tuple[Simulator, Candidate]]:
    """Without those that are used only when asked for."""
    for name, engine in simulators().items():
        if installed(name):
            chosen = (each for each in candidates(engine, limits) if not each.precision.is_reduced)
            yield from ((engine, candidate) for candidate in chosen)


def _samples(engine: Simulator, candidate: Candidate, limits: Limits) -> Iterator[Sample]:
    _load_engine(engine, candidate, limits)
    spent = 0.0
    for qubits, families in SIZES.items():
        for family in families:
            for shots in SHOTS if qubits <= MOST_SHOT_QUBITS else (1024,):
                loaded = _loaded(family, qubits, shots)
                options = RunOptions(shots=shots, seed=SEED)
                if spent > ENOUGH:
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
                spent += (seconds := _seconds(engine, candidate, work, limits))
                yield Sample(family, features, seconds)


def _load_engine(engine: Simulator, candidate: Candidate, limits: Limits) -> None:
    """One run that does not count: an engine that is loaded for its first circuit would look too slow to be
    measured at all."""
    loaded, options = _loaded("ghz", 4, SEED), RunOptions(shots=1, seed=SEED, precision=candidate.precision)
    if engine.supports(candidate, loaded.facts, options) is None:
        _seconds(engine, candidate, Workload(loaded.circuit, loaded.facts, options), limits)


@cache
def _loaded(family: str, qubits: int, seed: int) -> Loaded:
    return load(CircuitSource(f"{family}-{qubits}", circuit(family, qubits, seed).encode()))


def _seconds(engine: Simulator, candidate: Candidate, work: Workload, limits: Limits) -> float:
    start = time.perf_counter()
    program = engine.prepare(candidate, work, limits)
    while not program.advance(1.0):
        pass
    program.result()
    return time.perf_counter() - start

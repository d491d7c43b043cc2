"""Fit each engine's cost constants to this machine, in about half a minute.

An engine says which amounts of work its time is a sum of (``Simulator.features``); small circuits of
several families are timed, and the constants are the non-negative least-squares solution in relative
error (each row over its own time), so that a millisecond counts as much as a second.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from qvirt.circuits import load
from qvirt.methods.families import circuit
from qvirt.model.calibration import Calibration
from qvirt.model.circuit import CircuitSource
from qvirt.model.estimate import Candidate
from qvirt.model.run import Limits, RunOptions
from qvirt.simulators.choice import calibration_key
from qvirt.simulators.contract import Simulator
from qvirt.simulators.registry import installed, simulators
from qvirt.simulators.workload import Workload

SEED = 7
LONGEST_RUN = 0.6
"""Seconds by the shipped constants: what would take longer is left out."""

SIZES: dict[str, Sequence[int]] = {
    "ghz": (4, 12, 20, 100),
    "qft": (4, 8, 12, 16, 19, 21),
    "qv": (4, 8, 12, 16, 18, 20, 21),
    "random": (4, 8, 12, 16, 19, 21, 22),
    "qaoa": (8, 14, 18, 21),
    "clifford": (4, 12, 20, 100, 400),
}
SHOTS = (1, 1024, 20_000)


@dataclass(frozen=True, slots=True)
class Sample:
    features: dict[str, float]
    seconds: float


def calibrate(limits: Limits, tell: Callable[[float], None] = lambda fraction: None) -> Calibration:
    """Measure every installed engine with ``limits.threads`` threads; ``tell`` hears the share done."""
    constants: dict[str, dict[str, float]] = {}
    error: dict[str, float] = {}
    work = list(_candidates())
    for number, (engine, candidate) in enumerate(work):
        samples = list(_samples(engine, candidate, limits))
        names = sorted({name for sample in samples for name in sample.features})
        if len(samples) >= 2 * len(names) > 0:
            key = calibration_key(candidate)
            constants[key], error[key] = fit(samples, names)
        tell((number + 1) / len(work))
    versions = {name: engine.version() or "" for name, engine in simulators().items() if installed(name)}
    return Calibration(platform.node(), versions, limits.threads, time.time(), constants, error)


def fit(samples: Sequence[Sample], names: Sequence[str]) -> tuple[dict[str, float], float]:
    """The constants, and the factor within which nine of ten samples are predicted."""
    import numpy as np
    from scipy.optimize import nnls

    seconds = np.array([sample.seconds for sample in samples])
    rows = np.array([[sample.features.get(name, 0.0) for name in names] for sample in samples])
    solution, _ = nnls(rows / seconds[:, None], np.ones(len(samples)))
    predicted = np.maximum(rows @ solution, 1e-9)
    factor = np.exp(np.abs(np.log(predicted / seconds)))
    return dict(zip(names, map(float, solution), strict=True)), float(np.quantile(factor, 0.9))


def _candidates() -> Iterator[tuple[Simulator, Candidate]]:
    for name, engine in simulators().items():
        if installed(name):
            yield from ((engine, candidate) for candidate in engine.candidates())


def _samples(engine: Simulator, candidate: Candidate, limits: Limits) -> Iterator[Sample]:
    for family, sizes in SIZES.items():
        for qubits in sizes:
            source = CircuitSource(f"{family}-{qubits}", circuit(family, qubits, SEED).encode())
            loaded = load(source)
            for shots in SHOTS:
                options = RunOptions(shots=shots, seed=SEED)
                if engine.supports(candidate, loaded.facts, options) is not None:
                    continue
                shipped = engine.constants(candidate)
                estimate = engine.estimate(candidate, loaded.facts, options, limits, shipped)
                if estimate.seconds > LONGEST_RUN or estimate.memory > limits.memory:
                    continue
                work = Workload(loaded.circuit, loaded.facts, replace(options, precision=candidate.precision))
                features = engine.features(candidate, loaded.facts, options)
                yield Sample(features, _seconds(engine, candidate, work, limits))


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

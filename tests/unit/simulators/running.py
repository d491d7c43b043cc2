"""Running one engine on one circuit, as the tests of the engines do."""

from __future__ import annotations

from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from scipy.stats import chisquare

from qvirt.circuits import ParseLimits, analyse
from qvirt.circuits.flatten import flatten
from qvirt.model.circuit import Format
from qvirt.model.run import Limits, RunOptions
from qvirt.simulators.contract import Outcome, Program, Simulator
from qvirt.simulators.workload import Workload

LIMITS = Limits(memory=1 << 30, threads=2)


def workload(circuit: QuantumCircuit, **options: Any) -> Workload:
    """``circuit`` as it comes from a file."""
    flat = flatten(circuit, ParseLimits())
    return Workload(flat, analyse(flat, Format.QPY), RunOptions(**({"seed": 1} | options)))


def finish(program: Program) -> Outcome:
    while not program.advance(1.0):
        pass
    assert program.fraction == 1.0
    return program.result()


def run(engine: Simulator, circuit: QuantumCircuit, limits: Limits = LIMITS, **options: Any) -> Outcome:
    (candidate,) = engine.candidates()
    work = workload(circuit, **options)
    assert engine.supports(candidate, work.facts, work.options) is None
    return finish(engine.prepare(candidate, work, limits))


def refusal(engine: Simulator, circuit: QuantumCircuit, **options: Any) -> str:
    (candidate,) = engine.candidates()
    work = workload(circuit, **options)
    reason = engine.supports(candidate, work.facts, work.options)
    assert reason is not None
    return reason


def measured(circuit: QuantumCircuit) -> QuantumCircuit:
    circuit = circuit.copy()
    circuit.measure_all()
    return circuit


def agree(counts: dict[int, int], chances: np.ndarray) -> bool:
    """Whether counts may have been drawn from ``chances``, by chi-squared; rare outcomes taken together."""
    shots = sum(counts.values())
    assert all(chances[key] > 1e-12 for key in counts), "an outcome that cannot be"
    order = np.argsort(chances)[::-1]
    found = np.array([counts.get(int(key), 0) for key in order], float)
    expected = shots * chances[order]
    many = expected >= 5
    if expected[~many].sum() > 0:
        found = np.append(found[many], found[~many].sum())
        expected = np.append(expected[many], expected[~many].sum())
    else:
        found, expected = found[many], expected[many]
    expected *= found.sum() / expected.sum()
    return bool(len(found) < 2 or chisquare(found, expected).pvalue > 1e-4)

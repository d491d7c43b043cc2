"""Fitting cost constants to times, on machines whose true constants are known."""

from __future__ import annotations

import math
import random

import pytest

from qvirt.methods.calibration import Sample, fit
from qvirt.simulators.contract import predicted

SHIPPED = {"run": 1e-4, "gate": 1e-5, "sweep": 1e-9, "term": 1e-9}


def on_a_machine(true: dict[str, float], noise: float = 0.0) -> list[Sample]:
    rng = random.Random(5)
    found = []
    for family, gates_a_qubit in (("chain", 1), ("layers", 4), ("dense", 20), ("pairs", 9)):
        for qubits in (4, 8, 12, 16, 20, 22):
            gates = gates_a_qubit * qubits
            features = {"run": 1.0, "gate": float(gates), "sweep": gates / 4 * 2.0**qubits}
            found.append(Sample(family, features, predicted(features, true) * math.exp(rng.gauss(0, noise))))
    return found


def worst(constants: dict[str, float], samples: list[Sample]) -> float:
    return max(abs(math.log(predicted(each.features, constants) / each.seconds)) for each in samples)


def test_a_faster_machine_is_the_same_one_but_faster() -> None:
    samples = on_a_machine({name: number / 7 for name, number in SHIPPED.items()})
    constants, error = fit(samples, SHIPPED)
    for name in SHIPPED.keys() - {"term"}:
        assert constants[name] == pytest.approx(SHIPPED[name] / 7, rel=1e-3)
    assert error == pytest.approx(1.0, abs=1e-3)


def test_a_machine_with_many_cores_has_other_proportions() -> None:
    samples = on_a_machine({**SHIPPED, "sweep": SHIPPED["sweep"] / 12})
    constants, _ = fit(samples, SHIPPED)
    assert worst(SHIPPED, samples) > math.log(8)
    assert worst(constants, samples) < math.log(1.5)


def test_what_no_sample_depends_on_stays_as_it_was() -> None:
    constants, _ = fit(on_a_machine({name: 3 * number for name, number in SHIPPED.items()}), SHIPPED)
    assert constants["term"] == SHIPPED["term"]
    assert constants["gate"] == pytest.approx(3 * SHIPPED["gate"], rel=0.05)


def test_a_few_disturbed_samples_decide_nothing() -> None:
    samples = on_a_machine(SHIPPED)
    disturbed = [Sample(e.family, e.features, 20 * e.seconds) for e in samples[5::8]] + samples
    constants, _ = fit(disturbed, SHIPPED)
    assert worst(constants, samples) < math.log(1.4)


def test_the_error_is_that_of_families_the_fit_has_not_seen() -> None:
    _, small = fit(on_a_machine(SHIPPED, noise=0.1), SHIPPED)
    _, large = fit(on_a_machine(SHIPPED, noise=0.6), SHIPPED)
    assert 1.05 < small < 1.4 < 1.8 < large
    unlike = [
        Sample(e.family, e.features, e.seconds * (5 if e.family == "pairs" else 1))
        for e in on_a_machine(SHIPPED)
    ]
    assert fit(unlike, SHIPPED)[1] > 3

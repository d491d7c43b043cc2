from __future__ import annotations

import pytest

from qvirt.errors import UsageError
from qvirt.model.run import Noise
from qvirt.model.wire import from_json, to_json

FLIP = (((1.0, 0.0), (0.0, 0.0)), ((0.0, 0.0), (1.0, 0.0)))


def test_what_a_stabilizer_cannot_hold_is_named() -> None:
    assert Noise(depolarizing_1q=0.1, phase_damping=0.2, readout_0to1=0.1).is_pauli
    assert Noise(amplitude_damping=0.1).beyond_paulis == "amplitude damping"
    assert Noise(t1=1e-5, gate_time_1q=1e-7).beyond_paulis == "relaxation"
    assert not Noise(kraus_1q=(FLIP,)).is_pauli


def test_noise_on_gates() -> None:
    assert not Noise(readout_0to1=0.1).on_gates
    assert Noise(t2=1e-5, gate_time_2q=1e-7).on_gates
    assert Noise(kraus_1q=(FLIP,)).on_gates


def test_the_temperature_gives_the_excited_population() -> None:
    noise = Noise(t1=1e-5, gate_time_1q=1e-7, temperature=0.05, frequency=5e9)
    # 1 / (1 + exp(h f / k T)), h f / k = 0.23996 K
    assert noise.population == pytest.approx(0.008167, rel=1e-3)
    assert Noise(excited_population=0.1).population == 0.1


def test_matrices_survive_json() -> None:
    noise = Noise(kraus_1q=(FLIP,))
    assert from_json(to_json(noise), Noise) == noise


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"t1": 0.0, "gate_time_1q": 1e-7}, "above zero"),
        ({"t1": -1.0, "gate_time_1q": 1e-7}, "t1"),
        ({"t1": float("nan"), "gate_time_1q": 1e-7}, "t1"),
        ({"t1": 1e-5}, "gate times"),
        ({"t1": 1e-5, "t2": 3e-5, "gate_time_1q": 1e-7}, "twice"),
        ({"temperature": 0.1}, "frequency"),
        ({"excited_population": 1.5}, "between 0 and 1"),
        ({"kraus_2q": (FLIP,)}, "4 by 4"),
        ({"kraus_1q": (FLIP, FLIP)}, "trace"),
    ],
)
def test_what_cannot_be_is_refused(values: dict[str, object], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        Noise(**values)  # type: ignore[arg-type]

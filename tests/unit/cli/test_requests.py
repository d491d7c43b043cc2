from __future__ import annotations

from pathlib import Path

import pytest

from qvirt.cli.requests import parse_noise
from qvirt.errors import UsageError
from qvirt.model.run import Noise


def test_rates_by_name_and_both_at_once() -> None:
    found = parse_noise("depolarizing=0.01, readout=0.02,phase_damping=0.1")
    assert found == Noise(0.01, 0.01, 0.0, 0.1, 0.02, 0.02)


def test_times_and_temperature_by_name() -> None:
    found = parse_noise("t1=5e-5,t2=7e-5,gate_time=1e-7,temperature=0.02,frequency=5e9")
    assert (found.t1, found.t2, found.gate_time_1q, found.gate_time_2q) == (5e-5, 7e-5, 1e-7, 1e-7)
    assert 0 < found.population < 1e-4


def test_rates_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "noise.json"
    file.write_text('{"readout_1to0": 0.3}')
    assert parse_noise(str(file)) == Noise(readout_1to0=0.3)


@pytest.mark.parametrize(
    "text", ["depolarising=0.1", "readout=x", "readout=1.1", "readout=-1", "nofile", "readout=nan"]
)
def test_wrong_rates_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_noise(text)

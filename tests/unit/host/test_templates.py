from __future__ import annotations

from pathlib import Path

import pytest

from qvirt.errors import NotFound, UsageError
from qvirt.host.templates import template, templates
from qvirt.model.run import Method, Precision


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the user's own templates."""
    monkeypatch.delenv("QVIRT_CONFIG", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    folder = tmp_path / "qvirt" / "templates"
    folder.mkdir(parents=True)
    return folder


def test_those_that_come_with_qvirt(own: Path) -> None:
    found = {each.name: each for each in templates()}
    assert set(found) == {"ideal", "laptop", "server-28q", "stabilizer-1000q", "gpu", "noisy-27q"}
    assert all(each.description and each.qubits for each in found.values())
    assert found["stabilizer-1000q"].method is Method.STABILIZER
    assert found["laptop"].idle_stop == 1800.0
    assert found["noisy-27q"].noise is not None


def test_ones_own_go_before_them(own: Path) -> None:
    (own / "laptop.toml").write_text(
        'description = "mine"\nqubits = 10\nmemory = "1g"\nprecision = "single"\n'
    )
    found = template("laptop")
    assert (found.description, found.memory, found.precision) == ("mine", 1 << 30, Precision.SINGLE)
    assert len(templates()) == 6


def test_one_that_there_is_not(own: Path) -> None:
    with pytest.raises(NotFound) as raised:
        template("huge")
    assert "server-28q" in (raised.value.hint or "")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("qubits = ", "cannot be read"),
        ("qbits = 3", "no setting 'qbits'"),
        ('qubits = "many"', "qubits"),
        ('memory = "much"', "'much' is not an amount of memory"),
        ('method = "magic"', "method"),
        ("[noise]\nreadout_0to1 = 2.0", "not between 0 and 1"),
    ],
)
def test_a_wrong_one_is_named_with_what_is_wrong(own: Path, text: str, told: str) -> None:
    (own / "mine.toml").write_text(text)
    with pytest.raises(UsageError, match=told) as raised:
        template("mine")
    assert raised.value.file == str(own / "mine.toml")

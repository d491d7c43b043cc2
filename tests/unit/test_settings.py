from __future__ import annotations

from pathlib import Path

import pytest

from qvirt import settings
from qvirt.errors import UsageError


def environment(tmp_path: Path, text: str, **more: str) -> dict[str, str]:
    file = tmp_path / "qvirt.toml"
    file.write_text(text)
    return {"QVIRT_CONFIG": str(file), **more}


def test_file_and_environment_over_it(tmp_path: Path) -> None:
    found = settings.load(environment(tmp_path, 'memory = "2g"\nshots = 10\n', QVIRT_SHOTS="20"))
    assert (found.memory, found.shots, found.cpus) == (2 << 30, 20, None)


def test_no_file_gives_the_defaults(tmp_path: Path) -> None:
    assert settings.load({"QVIRT_CONFIG": str(tmp_path / "none.toml")}) == settings.Settings()


@pytest.mark.parametrize(
    ("text", "names"),
    [('memmory = "2g"', "memmory"), ('memory = "lots"', "memory"), ("cpus = 0", "cpus"), ("cpus =", "TOML")],
)
def test_a_wrong_setting_names_its_file(tmp_path: Path, text: str, names: str) -> None:
    with pytest.raises(UsageError) as caught:
        settings.load(environment(tmp_path, text))
    assert names in str(caught.value)
    assert "qvirt.toml" in str(caught.value)


def test_a_wrong_variable_is_named() -> None:
    with pytest.raises(UsageError, match="QVIRT_MEMORY"):
        settings.load({"QVIRT_MEMORY": "x"})

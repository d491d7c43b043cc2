from __future__ import annotations

import os
from pathlib import Path

import pytest

import qvirt
from qvirt.runtimes.environment import guest_environment


def test_python_is_not_told_to_behave_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONINSPECT", "1")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("LANG", "C.UTF-8")
    environment = guest_environment()
    assert "PYTHONINSPECT" not in environment
    assert environment["PYTHONDONTWRITEBYTECODE"] == "1"
    assert environment["LANG"] == "C.UTF-8"


def test_the_path_of_modules_holds_from_any_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["some/where", "", "/else"]))
    parts = guest_environment()["PYTHONPATH"].split(os.pathsep)
    assert parts[:2] == [str(Path.cwd() / "some/where"), "/else"]
    assert all(Path(part).is_absolute() for part in parts)


def test_a_guest_finds_this_very_qvirt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    root = Path(qvirt.__file__).resolve().parents[1]
    path = guest_environment().get("PYTHONPATH", "")
    assert root.name == "site-packages" or str(root) in path.split(os.pathsep)

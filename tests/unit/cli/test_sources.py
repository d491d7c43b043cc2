from __future__ import annotations

import io
from pathlib import Path

import pytest

from qvirt.cli import sources
from qvirt.errors import UsageError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("b.qasm", "a.json", "notes.txt"):
        (tmp_path / name).write_text(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(*asked: str) -> list[str]:
    return [Path(source.name).name for source in sources.read(asked)]


def test_files_come_in_the_order_named_and_folders_by_name(folder: Path) -> None:
    assert names("b.qasm", "a.json") == ["b.qasm", "a.json"]
    assert names(".") == ["a.json", "b.qasm"]
    assert names("*.qasm", "notes.txt") == ["b.qasm", "notes.txt"]


def test_standard_input_is_read_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stdin:
        buffer = io.BytesIO(b"OPENQASM")

        @staticmethod
        def isatty() -> bool:
            return False

    monkeypatch.setattr("sys.stdin", Stdin)
    (source,) = sources.read(["-"])
    assert (source.name, source.data) == ("<stdin>", b"OPENQASM")
    with pytest.raises(UsageError, match="only once"):
        sources.read(["-", "-"])


def test_what_is_not_there_or_empty_or_huge_is_refused(folder: Path) -> None:
    (folder / "empty").mkdir()
    (folder / "huge.qasm").write_bytes(b" " * (sources.MAX_BYTES + 1))
    for asked, says in (
        ("none.qasm", "no file"),
        ("empty", "no circuits"),
        ("huge.qasm", "larger than 32.0 MiB"),
    ):
        with pytest.raises(UsageError, match=says):
            sources.read([asked])

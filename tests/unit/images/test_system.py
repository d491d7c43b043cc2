from __future__ import annotations

import platform
from pathlib import Path

import pytest

from qvirt.errors import Unavailable
from qvirt.images.system import sources, system


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    (tmp_path / "etc").mkdir()
    return tmp_path


def release(root: Path, text: str) -> None:
    (root / "etc/os-release").write_text(text)


def test_debian(root: Path) -> None:
    release(root, 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_CODENAME=bookworm\n')
    found = system(root)
    assert (found.family, found.suite, found.architecture) == ("debian", "bookworm", "amd64")
    assert found.machine == "x86_64"


def test_what_is_made_of_ubuntu_is_ubuntu(root: Path) -> None:
    release(root, 'ID=linuxmint\nID_LIKE="ubuntu debian"\nVERSION_CODENAME=wilma\nUBUNTU_CODENAME=noble\n')
    found = system(root)
    assert (found.family, found.suite) == ("ubuntu", "noble")


@pytest.mark.parametrize("text", ["ID=fedora\nVERSION_ID=41\n", "", None])
def test_elsewhere_it_says_what_to_do(root: Path, text: str | None) -> None:
    if text is not None:
        release(root, text)
    with pytest.raises(Unavailable) as caught:
        system(root)
    assert "qvirt image import" in (caught.value.hint or "")


def test_only_sources_of_the_release_are_taken(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text(
        "# a comment\ndeb [arch=amd64] http://mirror.example/debian bookworm main\n"
        "deb-src http://mirror.example/debian bookworm main\ndeb http://other.example/apt stable main\n"
    )
    (tmp_path / "sources.list.d/debian.sources").write_text(
        "Types: deb\nURIs: http://mirror.example\nSuites: bookworm bookworm-updates\nComponents: main\n\n"
        "Types: deb\nURIs: http://other.example\nSuites: nodistro\nComponents: main\n\n"
        "Enabled: no\nTypes: deb\nURIs: http://off.example\nSuites: bookworm\nComponents: main\n"
    )
    (tmp_path / "sources.list.d/other.list").write_text("deb http://other.example/apt sdk-bookworm main\n")
    found = sources("bookworm", tmp_path)
    assert set(found) == {"sources.list", "debian.sources"}
    assert found["sources.list"] == "deb [arch=amd64] http://mirror.example/debian bookworm main\n"
    assert "other.example" not in found["debian.sources"]
    assert "off.example" not in found["debian.sources"]
    assert "bookworm-updates" in found["debian.sources"]

from __future__ import annotations

from pathlib import Path

import pytest

from qvirt.errors import UsageError
from qvirt.runtimes.docker.volumes import mounts


def test_a_folder_is_bound_read_only_with_nothing_mounted_below_it(tmp_path: Path) -> None:
    (mount,) = mounts([f"{tmp_path}:/data/in"], ())
    assert (mount["Source"], mount["Target"], mount["ReadOnly"]) == (str(tmp_path), "/data/in", True)
    assert mount["BindOptions"]["NonRecursive"]


@pytest.mark.parametrize(
    "volume",
    [
        *("/nowhere/at/all:/data", "relative:/data", "{file}:/data", "/:/data", "/etc:/data", "{link}:/data"),
        *("{folder}", "{folder}:/data:rw", "{folder}:data", "{folder}:/", "{folder}:/a/../etc"),
        *("{folder}:/run/qvirt", "{folder}:/usr/lib/x"),
    ],
)
def test_what_is_refused(tmp_path: Path, volume: str) -> None:
    file, link = tmp_path / "file", tmp_path / "link"
    file.touch()
    link.symlink_to("/etc")
    with pytest.raises(UsageError):
        mounts([volume.format(folder=tmp_path, file=file, link=link)], ())


def test_what_must_stay_secret_is_not_shared(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "inside").mkdir(parents=True)
    with pytest.raises(UsageError, match="is in it"):
        mounts([f"{tmp_path}:/data"], (home,))
    assert mounts([f"{home / 'inside'}:/data"], (tmp_path / "elsewhere",))


def test_two_at_one_place(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="two volumes"):
        mounts([f"{tmp_path}:/data", f"{tmp_path}:/data/"], ())

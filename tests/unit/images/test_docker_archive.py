from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from qvirt.images.docker_archive import LAYER, write_archive, write_layer

LABELS = {"qvirt.image": "ab", "qvirt.version": "0.1.0"}
TIMESTAMP = 1_767_225_600


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "bin").mkdir(parents=True)
    (root / "bin/busybox").write_bytes(b"box")
    (root / "bin/sh").symlink_to("busybox")
    return root


def archive(root: Path, target: Path) -> bytes:
    layer = write_layer(root, target.with_suffix(".layer"), TIMESTAMP)
    write_archive(layer, target, "qvirt-guest:ab", LABELS, "amd64", TIMESTAMP)
    return target.read_bytes()


def parts(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {entry.name: file.read() for entry in tar if (file := tar.extractfile(entry))}


def test_an_engine_finds_the_layer_and_what_to_run(root: Path, tmp_path: Path) -> None:
    found = parts(archive(root, tmp_path / "a.tar"))
    (described,) = json.loads(found["manifest.json"])
    assert described["RepoTags"] == ["qvirt-guest:ab"]
    config: dict[str, Any] = json.loads(found[described["Config"]])
    assert described["Config"] == f"{hashlib.sha256(found[described['Config']]).hexdigest()}.json"
    assert config["config"]["User"] == "65534:65534"
    assert config["config"]["Labels"] == LABELS
    layer = gzip.decompress(found[LAYER])
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}"]
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        entries = {entry.name: entry for entry in tar}
    assert entries["./bin/sh"].linkname == "busybox"
    assert all((entry.uid, entry.gid, entry.mtime) == (0, 0, TIMESTAMP) for entry in entries.values())


def test_the_same_root_gives_the_same_bytes(root: Path, tmp_path: Path) -> None:
    first = archive(root, tmp_path / "a.tar")
    os.utime(root / "bin/busybox", (1, 1))
    assert archive(root, tmp_path / "b.tar") == first
    (root / "bin/busybox").write_bytes(b"bax")
    assert archive(root, tmp_path / "c.tar") != first

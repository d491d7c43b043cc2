"""The image for Docker and Podman: one file that `docker load` reads, the same for the same root."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import subprocess
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qvirt.images.external import failure, require
from qvirt.images.manifest import CHUNK
from qvirt.images.root import NOBODY

IMAGE_LABEL = "qvirt.image"
VERSION_LABEL = "qvirt.version"

LAYER = "layer.tar.gz"
COMMAND = [
    *("/usr/bin/python3", "-m", "qvirt.guest", "--socket", "/run/qvirt/guest.sock"),
    *("--token-file", "/run/qvirt/token", "--directory", "/run/qvirt", "--memory", str(1 << 30)),
]
ENVIRONMENT = ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "PYTHONDONTWRITEBYTECODE=1"]


@dataclass(frozen=True, slots=True)
class Layer:
    """``digest`` is of its ``size`` bytes before compression."""

    path: Path
    digest: str
    size: int


def write_layer(root: Path, target: Path, timestamp: int) -> Layer:
    """The root as a compressed tar archive, everything root's."""
    sha256, size = hashlib.sha256(), 0
    tar = subprocess.Popen(
        [
            *(require("tar"), "-c", "-C", str(root), "--sort=name", "--format=gnu", f"--mtime=@{timestamp}"),
            *("--owner=0", "--group=0", "--numeric-owner", "."),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with tar, target.open("wb") as raw, gzip.GzipFile("", "wb", 1, raw, mtime=0) as file:
        assert tar.stdout is not None and tar.stderr is not None  # noqa: S101
        while chunk := tar.stdout.read(CHUNK):
            sha256.update(chunk)
            size += file.write(chunk)
        said = tar.stderr.read().decode("utf-8", "replace")
    if tar.returncode:
        raise failure("tar", tar.returncode, said, target)
    return Layer(target, sha256.hexdigest(), size)


def write_archive(
    layer: Layer, target: Path, reference: str, labels: dict[str, str], architecture: str, timestamp: int
) -> None:
    made = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(timestamp))
    config = _json(
        {
            "architecture": architecture,
            "os": "linux",
            "created": made,
            "config": {
                "User": f"{NOBODY}:{NOBODY}",
                "Env": ENVIRONMENT,
                "Cmd": COMMAND,
                "WorkingDir": "/",
                "Labels": labels,
            },
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer.digest}"]},
            "history": [{"created": made, "created_by": "qvirt image build"}],
        }
    )
    name = f"{hashlib.sha256(config).hexdigest()}.json"
    contents = _json([{"Config": name, "RepoTags": [reference], "Layers": [LAYER]}])
    with tarfile.open(target, "w", format=tarfile.GNU_FORMAT) as tar:
        _add(tar, "manifest.json", len(contents), io.BytesIO(contents), timestamp)
        _add(tar, name, len(config), io.BytesIO(config), timestamp)
        with layer.path.open("rb") as file:
            _add(tar, LAYER, layer.path.stat().st_size, file, timestamp)


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _add(tar: tarfile.TarFile, name: str, size: int, file: Any, timestamp: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mtime, entry.mode = size, timestamp, 0o644
    tar.addfile(entry, file)

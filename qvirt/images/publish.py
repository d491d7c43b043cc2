"""The last step: finished files go into the image's folder, and its manifest says so."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from qvirt.errors import QvirtError
from qvirt.images import manifest
from qvirt.images.catalogue import SHORT, Image, image_of
from qvirt.images.manifest import Manifest
from qvirt.paths import Paths
from qvirt.store.files import state_errors


def publish(paths: Paths, made: Manifest, work: Path) -> Image:
    """Moves the files of ``made`` out of ``work``, which is removed; forms that the image had are kept."""
    folder = paths.images / made.id[:SHORT]
    with state_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name in made.files:
            (work / name).chmod(0o644)
            (work / name).replace(folder / name)
    whole = _with_forms_of(folder, made)
    manifest.write(folder, whole)
    shutil.rmtree(work, ignore_errors=True)
    return image_of(whole, folder)


def _with_forms_of(folder: Path, made: Manifest) -> Manifest:
    try:
        before = manifest.read(folder)
    except QvirtError:
        return made
    if before.id != made.id:
        return made
    forms = tuple(sorted({*before.forms, *made.forms}, key=lambda form: form.value))
    return replace(
        made,
        forms=forms,
        sizes=before.sizes | made.sizes,
        files=before.files | made.files,
        kernel=made.kernel or before.kernel,
    )

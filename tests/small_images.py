"""Images of a few bytes, for tests of what is done with images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from qvirt.images import manifest
from qvirt.images.catalogue import Image
from qvirt.images.manifest import Manifest
from qvirt.images.publish import publish
from qvirt.model.vm import ImageForm
from qvirt.paths import Paths


def put(
    paths: Paths,
    image_id: str,
    *forms: ImageForm,
    created: float = 1.0,
    content: bytes = b"some",
    extras: Mapping[str, str] | None = None,
) -> Image:
    """An image whose files hold ``content`` and their name."""
    work = paths.building / "test"
    work.mkdir(parents=True)
    names = [name for form in forms for name in manifest.FILES[form]]
    for name in names:
        (work / name).write_bytes(content + name.encode())
    files = {name: manifest.stored(work / name) for name in names}
    sizes = {form.value: 10 for form in forms}
    made = Manifest(image_id, "0.1.0", created, "3.11", "amd64", "Debian", tuple(forms), sizes, files)
    return publish(paths, replace(made, extras=dict(extras or {})), work)

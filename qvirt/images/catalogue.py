"""The guest images of a state directory."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from qvirt.errors import Conflict, NotFound, QvirtError
from qvirt.images import manifest as manifests
from qvirt.images.definition import content_hash
from qvirt.images.extras import GPU
from qvirt.images.manifest import Manifest
from qvirt.model.vm import ImageForm
from qvirt.paths import Paths

REPOSITORY = "qvirt-guest"
SHORT = 12
"""Digits of an id that people see, and that name its folder and its tag."""


@dataclass(frozen=True, slots=True)
class Image:
    """``sizes`` are bytes by form; ``docker`` is the reference that the form has in a container engine;
    ``folder`` is where the files of all forms lie; ``extras`` is what it has beside what every image has."""

    id: str
    qvirt: str
    created: float
    python: str
    forms: tuple[ImageForm, ...]
    sizes: dict[str, int]
    docker: str | None
    folder: str
    architecture: str = "amd64"
    extras: dict[str, str] = field(default_factory=dict)

    @property
    def short(self) -> str:
        return self.id[:SHORT]

    @property
    def disk(self) -> Path:
        return Path(self.folder) / manifests.DISK

    @property
    def kernel(self) -> Path:
        return Path(self.folder) / manifests.KERNEL

    @property
    def initrd(self) -> Path:
        return Path(self.folder) / manifests.INITRD

    @property
    def archive(self) -> Path:
        """What `docker load` reads."""
        return Path(self.folder) / manifests.ARCHIVE


class Catalogue:
    """Only whole images are in it: what is half built has no manifest."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths

    def images(self) -> list[Image]:
        """The newest first; one that cannot be read is left out."""
        found = []
        for path in self._paths.images.glob(f"*/{manifests.NAME}"):
            try:
                found.append(image_of(manifests.read(path.parent), path.parent))
            except QvirtError:
                continue
        return sorted(found, key=lambda image: (image.created, image.id), reverse=True)

    def find(self, reference: str | None, form: ImageForm, gpu: bool = False) -> Image:
        """By id, its beginning or its tag; where None, the newest that this qvirt would build, with no more
        in it than is needed. For a ``gpu`` that is an engine that can use one.

        Raises NotFound, and Conflict where files of it are missing or have another size.
        """
        build = f"qvirt image build --for {form.value}{f' --with {GPU}' if gpu else ''}"
        if reference is None:
            image = self._newest(form, gpu, build)
        else:
            image = self.named(reference)
            if form not in image.forms:
                has = " and ".join(each.value for each in image.forms)
                raise NotFound(f"image {image.short} is for {has} VMs, not for {form.value}", hint=build)
            if gpu and GPU not in image.extras:
                raise NotFound(f"a VM with a GPU needs {GPU}, and image {image.short} has none", hint=build)
        self._check_sizes(image, form)
        return image

    def current(self, images: Iterable[Image]) -> Image | None:
        """The newest that this qvirt would build, of those with the least in them."""
        return min(filter(self.is_current, images), key=lambda image: len(image.extras), default=None)

    def named(self, reference: str) -> Image:
        """Raises NotFound where none has this id, beginning of an id or tag; Conflict where several have."""
        wanted = reference.removeprefix(f"{REPOSITORY}:")
        known = self.images()
        found = [image for image in known if wanted and image.id.startswith(wanted)]
        if len(found) > 1:
            raise Conflict(f"{len(found)} images begin with {reference!r}", hint="give more of the id")
        if not found:
            ids = ", ".join(image.short for image in known)
            raise NotFound(
                f"there is no image {reference!r}",
                hint=f"images are: {ids}" if ids else "qvirt image build",
            )
        return found[0]

    def is_current(self, image: Image) -> bool:
        """Whether this qvirt would build the same."""
        return image.id == content_hash(*image.extras.values())

    def is_outdated(self, image_id: str) -> bool:
        """Whether this qvirt would build another, as far as the image is still there to tell."""
        if image_id == content_hash():
            return False
        try:
            return not self.is_current(self.named(image_id))
        except QvirtError:
            return True

    def manifest(self, image: Image) -> Manifest:
        return manifests.read(Path(image.folder))

    def verify(self, image: Image, forms: Iterable[ImageForm] | None = None) -> None:
        """Read every file, or those of some forms, and compare. Raises Conflict naming a changed one."""
        names = {name for form in forms or image.forms for name in manifests.FILES[form]}
        for name, expected in self.manifest(image).files.items():
            if name not in names:
                continue
            path = Path(image.folder) / name
            if not path.is_file() or manifests.stored(path) != expected:
                raise _damaged(image, f"{name} is not what was built")

    def remove(self, image: Image) -> None:
        """First its manifest, so that half of one is never listed."""
        folder = Path(image.folder)
        (folder / manifests.NAME).unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)

    def _newest(self, form: ImageForm, gpu: bool, build: str) -> Image:
        known = [image for image in self.images() if form in image.forms and (not gpu or GPU in image.extras)]
        image = self.current(known)
        if image is None:
            older = f"; {known[0].short} was made from other files than this qvirt has" if known else ""
            lacks = f"no image with {GPU}, which a VM with a GPU needs," if gpu else "no image"
            raise NotFound(f"there is {lacks} for {form.value} VMs yet{older}", hint=build)
        return image

    def _check_sizes(self, image: Image, form: ImageForm) -> None:
        recorded = self.manifest(image).files
        for name in manifests.FILES[form]:
            path = Path(image.folder) / name
            size = path.stat().st_size if path.is_file() else None
            if name not in recorded or size != recorded[name].size:
                seen = "is missing" if size is None else f"has {size} bytes"
                raise _damaged(image, f"{name} {seen}")


def image_of(manifest: Manifest, folder: Path) -> Image:
    docker = f"{REPOSITORY}:{manifest.id[:SHORT]}" if ImageForm.DOCKER in manifest.forms else None
    return Image(
        manifest.id,
        manifest.qvirt,
        manifest.created,
        manifest.python,
        manifest.forms,
        manifest.sizes,
        docker,
        str(folder),
        manifest.architecture,
        manifest.extras,
    )


def _damaged(image: Image, what: str) -> Conflict:
    again = " ".join(["qvirt image build", *(f"--with {name}" for name in image.extras)])
    current = image.id == content_hash(*image.extras.values())
    mend = again if current else f"qvirt image rm --force {image.short}"
    return Conflict(f"image {image.short} is damaged: {what}", hint=mend)

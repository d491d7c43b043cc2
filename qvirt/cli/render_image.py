"""Images as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from qvirt.cli.columns import columns, csv_text
from qvirt.cli.options import OutputFormat
from qvirt.cli.render_job import when
from qvirt.images.catalogue import Image
from qvirt.images.manifest import Manifest
from qvirt.units import show_bytes

OLDER = "older than this qvirt"


def images_text(images: Sequence[Image], current: Mapping[str, bool], format: OutputFormat) -> str:
    if format is OutputFormat.CSV:
        rows = [
            (
                each.id,
                each.qvirt,
                each.python,
                " ".join(each.extras.values()),
                form.value,
                each.sizes[form.value],
                each.created,
                current[each.id],
            )
            for each in images
            for form in each.forms
        ]
        header = ("id", "qvirt", "python", "with", "form", "size_bytes", "created", "current")
        return csv_text(header, rows)
    if not images:
        return "no images: `qvirt image build` makes one"
    lines = [
        (
            each.short,
            each.qvirt,
            each.python,
            " ".join(each.extras.values()),
            " ".join(f"{form.value} ({show_bytes(each.sizes[form.value])})" for form in each.forms),
            when(each.created),
            "" if current[each.id] else OLDER,
        )
        for each in images
    ]
    return columns(("id", "qvirt", "python", "with", "for", "built", "note"), lines)


def image_text(image: Image, manifest: Manifest, current: bool) -> str:
    return "\n".join(f"{name:<10}{value}" for name, value in _facts(image, manifest, current))


def _facts(image: Image, manifest: Manifest, current: bool) -> Iterator[tuple[str, str]]:
    yield "image", image.id
    yield "qvirt", image.qvirt + ("" if current else f", {OLDER}")
    yield "built", f"{when(image.created)} from {manifest.system}, {manifest.architecture}"
    yield (
        "holds",
        f"Python {image.python}, {len(manifest.wheels)} wheels, {len(manifest.packages)} Debian packages",
    )
    if image.extras:
        yield "with", ", ".join(image.extras.values())
    if manifest.kernel:
        yield "kernel", manifest.kernel
    for form in image.forms:
        reference = f" as {image.docker}" if form.value == "docker" else ""
        yield form.value, show_bytes(image.sizes[form.value]) + reference
    yield "files", image.folder
    for name, file in manifest.files.items():
        yield "", f"{name:<12} {show_bytes(file.size)}"

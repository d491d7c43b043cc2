"""qvirt image: build, list, inspect, export, import, rm, prune"""

from __future__ import annotations

import os
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qvirt.cli import options as option
from qvirt.cli import output
from qvirt.errors import Conflict, QvirtError, Unavailable, UsageError
from qvirt.model.vm import ImageForm
from qvirt.units import show_bytes

if TYPE_CHECKING:
    from qvirt.images.catalogue import Catalogue, Image
    from qvirt.paths import Paths
    from qvirt.runtimes.docker.engine import Engine

app = typer.Typer(no_args_is_help=True, help="Images: what Docker, QEMU and libvirt VMs start from.")


class Purpose(str, Enum):
    DOCKER = "docker"
    QEMU = "qemu"
    ALL = "all"


class Extra(str, Enum):
    TORCH = "torch"


FORMS = {
    Purpose.DOCKER: (ImageForm.DOCKER,),
    Purpose.QEMU: (ImageForm.QEMU,),
    Purpose.ALL: (ImageForm.DOCKER, ImageForm.QEMU),
}

ImageArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[IMAGE]", help="Its id or the beginning of it. [default: the one that VMs are made of]"
    ),
]


@app.command()
def build(
    purpose: Annotated[Purpose, typer.Option("--for", help="What it is to be used with.")] = Purpose.ALL,
    extras: Annotated[
        list[Extra] | None,
        typer.Option("--with", help="Build one that has this too; a VM with a GPU needs torch. Repeatable."),
    ] = None,
    wheelhouse: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Take all wheels from this folder; the network is not used for them."
        ),
    ] = None,
    format: option.FormatOption = option.OutputFormat.TABLE,
    quiet: option.QuietOption = False,
) -> None:
    """Build the guest image of this version of qvirt, as far as it is not there yet.

    What was broken off goes on where it was. What comes from the network is kept and used again.
    """
    from qvirt.cli.stages import stages
    from qvirt.images.build import build as make
    from qvirt.images.extras import chosen
    from qvirt.probe.gpu import gpus

    if wheelhouse is not None and not wheelhouse.is_dir():
        raise UsageError(f"--wheelhouse: {wheelhouse} is no folder")
    nvidia = bool(extras) and any(gpu.vendor == "NVIDIA" for gpu in gpus()[0])
    added = chosen([extra.value for extra in extras or ()], os.environ, nvidia)
    paths = _paths()
    with stages(quiet) as tell:
        image = make(paths, FORMS[purpose], tell, wheelhouse and wheelhouse.absolute(), added)
    if ImageForm.DOCKER in FORMS[purpose]:
        _load(image, quiet)
    _print(image, paths, format)


@app.command("list")
def list_images(format: option.FormatOption = option.OutputFormat.TABLE) -> None:
    """List the images, the newest first."""
    from qvirt.cli.render_image import images_text
    from qvirt.images.build import half_built

    paths = _paths()
    catalogue = _catalogue(paths)
    found = catalogue.images()
    current = {image.id: catalogue.is_current(image) for image in found}
    if format is option.OutputFormat.JSON:
        output.document("qvirt.images/1", images=found, current=[each for each in current if current[each]])
        return
    output.result(images_text(found, current, format))
    if half_built(paths):
        output.note("one is half built: `qvirt image build` goes on, `qvirt image prune` removes it")


@app.command()
def inspect(
    image: ImageArgument = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read all of it and check that it is whole.")
    ] = False,
    format: option.FormatOption = option.OutputFormat.TABLE,
) -> None:
    """Show what is in an image and how large it is."""
    paths = _paths()
    found = _find(_catalogue(paths), image)
    if verify:
        _catalogue(paths).verify(found)
    _print(found, paths, format)


@app.command()
def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Usually NAME.tar.zst.")],
    image: Annotated[
        str | None,
        typer.Option("--image", metavar="IMAGE", help="Which one. [default: the one that VMs are made of]"),
    ] = None,
    quiet: option.QuietOption = False,
) -> None:
    """Write an image into one file, to take it to another machine."""
    from qvirt.images.transfer import export_image

    if file.is_dir() or not file.absolute().parent.is_dir():
        raise UsageError(f"{file} is no file in a folder that there is", hint="name a file: guest.tar.zst")
    catalogue = _catalogue(_paths())
    found = _find(catalogue, image)
    size = export_image(catalogue, found, file.absolute())
    if not quiet:
        output.note(f"exported {found.short} to {file}: {show_bytes(size)}")


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `qvirt image export` has written.")],
    format: option.FormatOption = option.OutputFormat.TABLE,
    quiet: option.QuietOption = False,
) -> None:
    """Read an image from a file; nothing of it is used before all of it was checked."""
    from qvirt.images.transfer import import_image

    paths = _paths()
    found = import_image(paths, file)
    if ImageForm.DOCKER in found.forms:
        _load(found, quiet)
    _print(found, paths, format)


@app.command()
def rm(
    images: Annotated[list[str], typer.Argument(metavar="IMAGE...", help="Ids or beginnings of ids.")],
    force: Annotated[bool, typer.Option("--force", help="Also where a VM is made of it.")] = False,
    quiet: option.QuietOption = False,
) -> None:
    """Remove images, also from the container engine."""
    catalogue = _catalogue(_paths())
    for reference in images:
        image = catalogue.named(reference)
        users = _users(image)
        if users and not force:
            raise Conflict(
                f"VMs are made of image {image.short}: {', '.join(users)}",
                hint=f"qvirt vm destroy {' '.join(users)}, or --force",
            )
        gone = _remove(catalogue, image, quiet)
        if not quiet:
            output.note(f"removed {', '.join(gone)}")


@app.command()
def prune(
    everything: Annotated[
        bool, typer.Option("--all", help="Also what was fetched, so that the next build takes the newest.")
    ] = False,
    quiet: option.QuietOption = False,
) -> None:
    """Remove half-built images, and those that this qvirt would not build and no VM is made of."""
    import shutil

    from qvirt.images.build import discard_half_built

    paths = _paths()
    catalogue = _catalogue(paths)
    removed = [f"half-built {name}" for name in discard_half_built(paths)]
    for image in catalogue.images():
        if not catalogue.is_current(image) and not _users(image):
            removed += _remove(catalogue, image, quiet=True)
    if everything and paths.fetched.is_dir():
        shutil.rmtree(paths.fetched)
        removed.append("what was fetched")
    if not quiet:
        output.note(f"removed {', '.join(removed)}" if removed else "there was nothing to remove")


def _paths() -> Paths:
    from qvirt.paths import Paths, default_home

    return Paths(default_home())


def _catalogue(paths: Paths) -> Catalogue:
    from qvirt.images.catalogue import Catalogue

    return Catalogue(paths)


def _find(catalogue: Catalogue, reference: str | None) -> Image:
    if reference is None:
        known = catalogue.images()
        if known:
            return catalogue.current(known) or known[0]
    return catalogue.named(reference or "")


def _print(image: Image, paths: Paths, format: option.OutputFormat) -> None:
    from qvirt.cli.render_image import image_text

    catalogue = _catalogue(paths)
    current = catalogue.is_current(image)
    described = catalogue.manifest(image)
    if format is option.OutputFormat.JSON:
        output.document("qvirt.image/1", image=image, current=current, manifest=described)
    else:
        output.result(image_text(image, described, current))


def _load(image: Image, quiet: bool) -> None:
    """Into the container engine, where there is one."""
    from qvirt.runtimes.docker.engine import Engine, address

    try:
        engine = Engine(address(os.environ))
        if not _is_loaded(image, engine):
            engine.load(image.archive)
    except QvirtError as error:
        if not quiet:
            output.note(f"not loaded into a container engine: {error.message}\n  hint: {error.hint}")


def _is_loaded(image: Image, engine: Engine) -> bool:
    with engine.asked(f"look for {image.docker}"):
        found = engine.api.images(name=image.docker)
        return any((each.get("Labels") or {}).get("qvirt.image") == image.id for each in found)


def _remove(catalogue: Catalogue, image: Image, quiet: bool) -> list[str]:
    """With all that was made of it for nobody yet; what went."""
    from qvirt.cli.session import opened_host

    def remove() -> None:
        _remove_from_engine(image, quiet)
        catalogue.remove(image)

    with opened_host() as host:
        return [image.short, *host.forget_image(image.id, remove)]


def _remove_from_engine(image: Image, quiet: bool) -> None:
    from qvirt.runtimes.docker.engine import Engine, address

    if ImageForm.DOCKER in image.forms:
        try:
            engine = Engine(address(os.environ))
            if _is_loaded(image, engine):
                with engine.asked(f"remove {image.docker}"):
                    engine.api.remove_image(image.docker)
        except (Unavailable, Conflict) as error:  # a VM of another state directory may use it
            if not quiet:
                output.note(f"not removed from a container engine: {error.message}")


def _users(image: Image) -> list[str]:
    """Names of the VMs that were made of an image."""
    from qvirt.cli.session import opened_host

    with opened_host() as host:
        return [vm.spec.name for vm in host.vms.stored() if vm.spec.image == image.id]

from __future__ import annotations

from pathlib import Path

import pytest
from small_images import put

from qvirt.errors import Conflict, NotFound
from qvirt.images import manifest
from qvirt.images.catalogue import Catalogue
from qvirt.images.definition import content_hash
from qvirt.model.vm import ImageForm
from qvirt.paths import Paths

OLD = "ab" * 32


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path)


def test_nothing_is_there_at_first(paths: Paths) -> None:
    catalogue = Catalogue(paths)
    assert catalogue.images() == []
    with pytest.raises(NotFound) as caught:
        catalogue.find(None, ImageForm.DOCKER)
    assert caught.value.hint == "qvirt image build --for docker"


def test_the_newest_is_first_and_the_current_one_is_found(paths: Paths) -> None:
    current = put(paths, content_hash(), ImageForm.DOCKER, created=1)
    old = put(paths, OLD, ImageForm.DOCKER, created=2)
    catalogue = Catalogue(paths)
    assert catalogue.images() == [old, current]
    assert catalogue.find(None, ImageForm.DOCKER) == current
    assert catalogue.is_current(current)
    assert not catalogue.is_current(old)


def test_an_older_image_is_only_taken_by_its_name(paths: Paths) -> None:
    old = put(paths, OLD, ImageForm.QEMU)
    catalogue = Catalogue(paths)
    with pytest.raises(NotFound, match=f"{old.short} was made from other files"):
        catalogue.find(None, ImageForm.QEMU)
    for reference in (OLD, "abab", f"qvirt-guest:{old.short}"):
        assert catalogue.find(reference, ImageForm.QEMU) == old


def test_an_image_without_the_form_is_refused(paths: Paths) -> None:
    put(paths, OLD, ImageForm.QEMU)
    with pytest.raises(NotFound, match="is for qemu VMs, not for docker"):
        Catalogue(paths).find(OLD, ImageForm.DOCKER)


def test_a_beginning_that_two_have_is_refused(paths: Paths) -> None:
    put(paths, "ab" * 32, ImageForm.QEMU)
    put(paths, "ac" * 32, ImageForm.QEMU)
    with pytest.raises(Conflict):
        Catalogue(paths).named("a")
    with pytest.raises(NotFound):
        Catalogue(paths).named("")


def test_files_without_a_manifest_are_no_image(paths: Paths) -> None:
    image = put(paths, OLD, ImageForm.DOCKER)
    (Path(image.folder) / manifest.NAME).unlink()
    assert Catalogue(paths).images() == []


@pytest.mark.parametrize("harm", ["missing", "shorter"])
def test_a_damaged_image_is_not_given_to_a_runtime(paths: Paths, harm: str) -> None:
    image = put(paths, OLD, ImageForm.QEMU)
    if harm == "missing":
        image.initrd.unlink()
    else:
        image.initrd.write_bytes(b"")
    with pytest.raises(Conflict, match="initrd"):
        Catalogue(paths).find(OLD, ImageForm.QEMU)


def test_verify_finds_changed_bytes(paths: Paths) -> None:
    image = put(paths, OLD, ImageForm.QEMU)
    catalogue = Catalogue(paths)
    catalogue.verify(image)
    image.kernel.write_bytes(image.kernel.read_bytes()[::-1])
    catalogue.find(OLD, ImageForm.QEMU)
    with pytest.raises(Conflict, match="vmlinuz"):
        catalogue.verify(image)


def test_verify_looks_at_the_forms_that_are_asked_for(paths: Paths) -> None:
    image = put(paths, OLD, ImageForm.DOCKER, ImageForm.QEMU)
    image.disk.write_bytes(b"x")
    Catalogue(paths).verify(image, [ImageForm.DOCKER])
    with pytest.raises(Conflict, match=r"disk\.erofs"):
        Catalogue(paths).verify(image, [ImageForm.QEMU])


def test_a_second_form_joins_the_first(paths: Paths) -> None:
    put(paths, OLD, ImageForm.QEMU)
    image = put(paths, OLD, ImageForm.DOCKER)
    assert image.forms == (ImageForm.DOCKER, ImageForm.QEMU)
    assert image.docker == f"qvirt-guest:{image.short}"
    Catalogue(paths).verify(image)
    assert [path.name for path in paths.building.iterdir()] == []


def test_a_removed_image_leaves_nothing(paths: Paths) -> None:
    image = put(paths, OLD, ImageForm.QEMU)
    Catalogue(paths).remove(image)
    assert list(paths.images.iterdir()) == []

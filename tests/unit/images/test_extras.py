"""Images that have more in them than every image has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from small_images import put

from qvirt.cli.image import Extra
from qvirt.cli.options import OutputFormat
from qvirt.cli.render_image import images_text
from qvirt.errors import NotFound, Unavailable
from qvirt.host.vms import VMs
from qvirt.images.catalogue import Catalogue, Image
from qvirt.images.definition import content_hash, definition, lock
from qvirt.images.extras import GPU, chosen
from qvirt.images.wheels import requirements
from qvirt.model.vm import VM, ImageForm, VMSpec, VMState
from qvirt.paths import Paths
from qvirt.runtimes.registry import runtime
from qvirt.store import Store

TORCH = {"torch": "torch==2.13.0"}
BUILD = "qvirt image build --for docker --with torch"


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path)


def put_current(paths: Paths, extras: Mapping[str, str], created: float = 1.0) -> Image:
    return put(paths, content_hash(*extras.values()), ImageForm.DOCKER, created=created, extras=extras)


def image_for(paths: Paths, *, gpu: bool, image: str | None = None) -> str | None:
    vms = VMs(Store(paths), paths, lambda name: runtime(name, paths))
    return vms.with_image(VMSpec("lab", "docker", gpu=gpu, image=image)).image


def test_the_command_line_and_the_definition_know_the_same() -> None:
    assert {extra.value for extra in Extra} == set(definition().extras)
    assert GPU in definition().extras


def test_a_build_is_named_by_the_environment_or_the_definition() -> None:
    assert chosen([], {}, nvidia=False) == {}
    assert chosen(["torch", "torch"], {"QVIRT_TORCH_SPEC": "torch==2.13.0"}, nvidia=False) == TORCH
    assert chosen(["torch"], {}, nvidia=True) == {"torch": definition().extras["torch"]}
    with pytest.raises(Unavailable, match="gigabytes of CUDA packages") as raised:
        chosen(["torch"], {"QVIRT_TORCH_SPEC": ""}, nvidia=False)
    assert "QVIRT_TORCH_SPEC=" in (raised.value.hint or "")


def test_another_build_is_another_image() -> None:
    ids = {content_hash(), content_hash("torch==2.13.0"), content_hash("torch==2.14.0")}
    assert len(ids) == 3
    assert content_hash("a", "b") == content_hash("b", "a") != content_hash("a\0with\0b")


def test_pip_is_asked_for_it_within_what_is_pinned() -> None:
    wanted = replace(definition(), extras=TORCH)
    assert requirements(replace(wanted, extras={}), "3.11") == requirements(wanted, "3.11")[:1]
    assert requirements(wanted, "3.11")[1] == ["--constraint", str(lock("3.11")), "torch==2.13.0"]
    together, bare = requirements(wanted, "3.99")
    assert together == [*wanted.requirements, "torch==2.13.0"]
    assert bare == ["--no-deps", *wanted.bare_requirements]


def test_a_vm_with_a_gpu_takes_the_image_that_has_torch(paths: Paths) -> None:
    torch = put_current(paths, TORCH, created=1)
    assert image_for(paths, gpu=True) == image_for(paths, gpu=False) == torch.id
    plain = put_current(paths, {}, created=2)
    newer = put_current(paths, {"torch": "torch==2.14.0"}, created=3)
    assert image_for(paths, gpu=False) == plain.id
    assert image_for(paths, gpu=True) == newer.id
    assert image_for(paths, gpu=True, image=torch.short) == image_for(paths, gpu=False, image=torch.short)


def test_without_one_that_has_torch_the_command_is_named(paths: Paths) -> None:
    with pytest.raises(NotFound, match="no image with torch, which a VM with a GPU needs") as raised:
        image_for(paths, gpu=True)
    assert raised.value.hint == BUILD
    plain = put_current(paths, {})
    for image, says in ((None, "no image with torch"), (plain.short, f"image {plain.short} has none")):
        with pytest.raises(NotFound, match=says) as raised:
            image_for(paths, gpu=True, image=image)
        assert raised.value.hint == BUILD


def test_it_is_current_whatever_the_environment_says(paths: Paths) -> None:
    torch, old = put_current(paths, TORCH), put(paths, "ab" * 32, ImageForm.DOCKER, extras=TORCH)
    catalogue = Catalogue(paths)
    assert (catalogue.is_current(torch), catalogue.is_current(old)) == (True, False)
    vms = VMs(Store(paths), paths, lambda name: runtime(name, paths))
    outdated = [
        vms.is_outdated(VM("1", VMSpec("lab", image=each), VMState.RUNNING, 0.0))
        for each in (torch.id, old.id, "cd" * 32)
    ]
    assert outdated == [False, True, True]


def test_a_damaged_one_is_mended_by_the_same_build(paths: Paths) -> None:
    torch = put_current(paths, TORCH)
    torch.archive.write_bytes(b"x")
    with pytest.raises(Exception, match="is damaged") as raised:
        Catalogue(paths).find(None, ImageForm.DOCKER)
    assert getattr(raised.value, "hint", None) == "qvirt image build --with torch"


def test_the_list_tells_what_each_has(paths: Paths) -> None:
    images = [put_current(paths, TORCH), put_current(paths, {})]
    current = dict.fromkeys((image.id for image in images), True)
    header, torch, plain = images_text(images, current, OutputFormat.TABLE).splitlines()
    assert "WITH" in header
    assert ("torch==2.13.0" in torch, "torch" in plain) == (True, False)
    rows = images_text(images, current, OutputFormat.CSV).splitlines()
    assert rows[1].split(",")[3] == "torch==2.13.0"

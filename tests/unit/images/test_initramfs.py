from __future__ import annotations

import io
import lzma
import stat
from pathlib import Path

import pytest

from qvirt.errors import Unavailable
from qvirt.images.initramfs import SIGNATURE, Cpio, load_order, unsigned, write_initramfs


def members(data: bytes) -> dict[str, tuple[int, bytes, tuple[int, int]]]:
    """Mode, contents and device by name: a reader of the format, by the kernel's description of it."""
    found = {}
    at = 0
    while True:
        assert data[at : at + 6] == b"070701"
        numbers = [int(data[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        name_end = at + 110 + numbers[11]
        name = data[at + 110 : name_end - 1].decode()
        begin = name_end + -name_end % 4
        end = begin + numbers[6]
        if name == "TRAILER!!!":
            assert end + -end % 4 == len(data)
            return found
        found[name] = (numbers[1], data[begin:end], (numbers[9], numbers[10]))
        at = end + -end % 4


def module(*needs: str) -> bytes:
    return b"ELF\0license=GPL\0depends=" + ",".join(needs).encode() + b"\0name=x\0"


def signed(data: bytes) -> bytes:
    signature = b"s" * 40
    return data + signature + b"\0" * 8 + len(signature).to_bytes(4, "big") + SIGNATURE


@pytest.fixture
def modules(tmp_path: Path) -> Path:
    folder = tmp_path / "6.1.0"
    drivers = folder / "kernel/drivers"
    drivers.mkdir(parents=True)
    (drivers / "virtio_net.ko").write_bytes(signed(module("net_failover", "virtio")))
    (drivers / "net_failover.ko").write_bytes(module("failover"))
    (drivers / "failover.ko.xz").write_bytes(lzma.compress(module()))
    (drivers / "virtio-rng.ko").write_bytes(module())
    (folder / "modules.builtin").write_text("kernel/drivers/virtio/virtio.ko\n")
    return folder


def test_archive_is_what_the_kernel_reads() -> None:
    file = io.BytesIO()
    archive = Cpio(file)
    archive.folder("dev")
    archive.add("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    archive.add("init", stat.S_IFREG | 0o755, b"12345")
    archive.close()
    assert members(file.getvalue()) == {
        "dev": (stat.S_IFDIR | 0o755, b"", (0, 0)),
        "dev/console": (stat.S_IFCHR | 0o600, b"", (5, 1)),
        "init": (stat.S_IFREG | 0o755, b"12345", (0, 0)),
    }


def test_modules_come_after_what_they_depend_on(modules: Path) -> None:
    found = dict(load_order(modules, ["virtio_net", "virtio-rng", "net_failover"]))
    assert list(found) == ["failover", "net_failover", "virtio_net", "virtio_rng"]
    assert found["virtio_net"] == module("net_failover", "virtio")


def test_a_module_that_is_not_there_is_named(modules: Path) -> None:
    with pytest.raises(Unavailable, match="no module erofs"):
        list(load_order(modules, ["erofs"]))


def test_signatures_are_taken_off() -> None:
    assert unsigned(signed(b"driver")) == b"driver"
    assert unsigned(b"driver") == b"driver"


def test_initramfs_holds_init_busybox_and_the_drivers_in_order(modules: Path, tmp_path: Path) -> None:
    busybox = tmp_path / "busybox"
    busybox.write_bytes(b"box")
    write_initramfs(tmp_path / "initrd", busybox, modules, ["virtio_net"])
    found = members((tmp_path / "initrd").read_bytes())
    assert found["init"][1].startswith(b"#!/bin/busybox sh\n")
    assert found["bin/busybox"][:2] == (stat.S_IFREG | 0o755, b"box")
    order = found["modules/order"][1].decode().split()
    assert order == ["failover", "net_failover", "virtio_net"]
    assert all(f"modules/{name}.ko" in found for name in order)
    assert list(found).index("modules") < list(found).index("modules/order")

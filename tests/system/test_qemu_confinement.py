"""What a guest of QEMU is held to, with a real guest: no privileges, and no way out."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from guest_images import lend, usable
from guests import make_vm, running, until

from qvirt.model.vm import ImageForm
from qvirt.paths import Paths
from qvirt.runtimes.qemu.records import Records
from qvirt.runtimes.qemu.runtime import QemuRuntime

pytestmark = pytest.mark.machines

MEMORY = 640 << 20


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return lend(ImageForm.QEMU, tmp_path / "home")


@pytest.fixture
def runtime(paths: Paths) -> QemuRuntime:
    return usable(QemuRuntime(paths))


def test_the_process_has_no_privileges_and_says_so(runtime: QemuRuntime) -> None:
    with running(runtime, make_vm("qemu", memory=MEMORY)) as guest:
        status = Path(f"/proc/{guest.pid}/status").read_text()
        assert "Seccomp:\t2" in status
        assert "NoNewPrivs:\t1" in status
        assert re.search(r"CapEff:\t0+$", status, re.MULTILINE)
        assert len(os.sched_getaffinity(guest.pid)) == 1
        limits = " ".join(runtime.inspect(guest.handle).limits)
        for word in (
            "memory: 640 MiB",
            "cpus: 1",
            "no way out",
            "filtered",
            "none can be gained",
            "accelerator",
        ):
            assert word in limits
        listening = {
            connection.laddr
            for connection in psutil.Process(guest.pid).net_connections()
            if connection.status == psutil.CONN_LISTEN
        }
        assert [address.ip for address in listening] == ["127.0.0.1"]


PROBE = """#!/bin/busybox sh
B=/bin/busybox
$B mount -t devtmpfs dev /dev; $B mkdir -p /proc /sys; $B mount -t proc proc /proc
for module in $($B cat /modules/order); do $B insmod /modules/$module.ko; done
$B ip link set eth0 up; $B ip addr add 10.0.2.15/24 dev eth0; $B ip route add default via 10.0.2.2
echo "probe: begins"
for target in 10.0.2.2:PORT 127.0.0.1:PORT 10.0.2.3:53 HOST:PORT 192.0.2.1:80; do
    echo x | $B timeout 4 $B nc -w 2 ${target%:*} ${target#*:} >/dev/null 2>&1 &&
        echo "probe: reached $target"
done
echo "probe: ended"
$B poweroff -f
"""


def test_there_is_no_way_out_of_the_guest(runtime: QemuRuntime, paths: Paths, tmp_path: Path) -> None:
    """A first process of our own tries, in the same machine, to reach what listens on the host."""
    with socket.create_server(("0.0.0.0", 0)) as listener, _address() as host:
        program = PROBE.replace("PORT", str(listener.getsockname()[1])).replace("HOST", host)
        vm = make_vm("qemu", memory=MEMORY, warm=False)
        handle = runtime.create(vm)
        try:
            records = Records(paths, "qemu", vm.id)
            initrd = tmp_path / "initrd"
            with initrd.open("wb") as file:
                file.write(Path(records.machine.initrd).read_bytes())
                file.write(cpio("init", program.encode()))
            records.change(replace(records.machine, initrd=str(initrd)))
            runtime.start(handle)
            until(lambda: "probe: ended" in runtime.logs(handle))
            assert "probe: begins" in runtime.logs(handle)
            assert "reached" not in runtime.logs(handle)
            listener.settimeout(0.1)
            with pytest.raises(TimeoutError):
                listener.accept()
        finally:
            runtime.destroy(handle)


@contextmanager
def _address() -> Iterator[str]:
    """This machine's own on its first network, for what is not sent by it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            yield probe.getsockname()[0]
        except OSError:
            yield "127.0.0.1"


def cpio(name: str, data: bytes) -> bytes:
    """An archive of one executable file, as the kernel unpacks it over what the image's own has."""

    def entry(name: str, mode: int, data: bytes) -> bytes:
        fields = (0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
        return head + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4)

    return entry(name, 0o100755, data) + entry("TRAILER!!!", 0, b"")

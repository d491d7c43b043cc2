"""Engines of the tests' own, which can be killed while nobody else is harmed: a Docker, and a libvirt.

Both need root. The Docker has its folders, socket and containers to itself. The libvirt runs in a mount
namespace in which the folders that libvirt writes to are its own.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from guests import lives, until

from qvirt.errors import QvirtError
from qvirt.runtimes.docker.engine import Engine, silence

LIBVIRT_FOLDERS = ("/etc/libvirt", "/run/libvirt", "/var/lib/libvirt", "/var/cache/libvirt")


class PrivateEngine:
    """``folder`` takes all that it writes; ``variable`` is how qvirt is told of it."""

    def __init__(self, folder: Path, command: list[str], socket: Path, variable: tuple[str, str]) -> None:
        self.folder = folder
        self.socket = socket
        self.environment = dict([variable])
        self._command = command
        self._daemon: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it answers."""
        with (self.folder / "log").open("ab") as log:
            self._daemon = subprocess.Popen(self._command, stdout=log, stderr=log, start_new_session=True)
        until(lambda: self._daemon is None or self._daemon.poll() is not None or self._answers())
        assert self._daemon.poll() is None, (self.folder / "log").read_text()

    def stop(self) -> None:
        """Politely: what it runs ends with it, as far as it does that."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """As a machine that runs out of memory does."""
        self._end(signal.SIGKILL)

    def processes(self) -> list[psutil.Process]:
        """Whatever has the folder in its command line: daemons, and what holds their containers."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if any(str(self.folder) in word for word in process.cmdline()) and lives(process):
                    found.append(process)
        return found

    def _answers(self) -> bool:
        """Not only takes a connection: a Docker that cannot start listens, too."""
        if self.socket.suffix != ".sock":
            return silence(str(self.socket)) is None
        try:
            return bool(Engine(str(self.socket)).facts)
        except QvirtError:
            return False

    def _end(self, number: signal.Signals) -> None:
        if self._daemon is not None:
            self._daemon.send_signal(number)
            self._daemon.wait(timeout=60)
            self._daemon = None


@contextmanager
def private_docker(folder: Path) -> Iterator[PrivateEngine]:
    """Started. It knows no image; it makes no network, for VMs have none."""
    _require_root()
    if shutil.which("dockerd") is None or shutil.which("containerd") is None:
        pytest.skip("docker: dockerd is not installed")
    socket, holder = folder / "docker.sock", folder / "containerd.sock"
    command = [
        *("dockerd", "--host", f"unix://{socket}", "--pidfile", str(folder / "pid")),
        *("--data-root", str(folder / "data"), "--exec-root", str(folder / "run")),
        *("--bridge", "none", "--iptables=false", "--ip6tables=false", "--containerd", str(holder)),
    ]
    engine = PrivateEngine(folder, command, socket, ("DOCKER_HOST", f"unix://{socket}"))
    # One that Docker starts by itself dies with it, and a Docker that is started again waits for its end.
    with _containerd(folder, holder), _running(engine):
        yield engine


@contextmanager
def private_libvirt(folder: Path) -> Iterator[PrivateEngine]:
    """Started. QEMU runs as root, as it does where the set-up has configured libvirt."""
    _require_root()
    if shutil.which("libvirtd") is None or shutil.which("unshare") is None:
        pytest.skip("libvirt: libvirtd is not installed")
    mounts = []
    for place in LIBVIRT_FOLDERS:
        own = folder / place.strip("/").replace("/", "-")
        own.mkdir()
        mounts.append(f"mkdir -p {place} && mount --bind {own} {place}")
    (folder / "etc-libvirt" / "qemu.conf").write_text(
        'stdio_handler = "file"\nuser = "root"\ngroup = "root"\ndynamic_ownership = 0\n'
    )
    script = " && ".join([*mounts, f"exec libvirtd --pid-file {folder}/pid"])
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script]
    socket = folder / "run-libvirt" / "libvirt-sock"
    uri = f"qemu+unix:///system?socket={socket}"
    engine = PrivateEngine(folder, command, socket, ("LIBVIRT_DEFAULT_URI", uri))
    with _running(engine):
        yield engine


@contextmanager
def _containerd(folder: Path, socket: Path) -> Iterator[None]:
    config = folder / "containerd.toml"
    config.write_text('version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n')
    command = ["containerd", "--config", config, "--address", socket]
    command += ["--root", folder / "containerd", "--state", folder / "containerd-run"]
    with (folder / "containerd.log").open("wb") as log, subprocess.Popen(command, stderr=log) as daemon:
        try:
            until(lambda: daemon.poll() is not None or silence(str(socket)) is None)
            yield
        finally:
            daemon.terminate()


@contextmanager
def _running(engine: PrivateEngine) -> Iterator[None]:
    try:
        engine.start()
        yield
    finally:
        engine.stop()
        for process in engine.processes():  # those that hold the containers
            if "shim" in process.name():
                process.kill()
        _unmount(engine.folder)


def _unmount(folder: Path) -> None:
    """What an engine that was killed has left mounted, the innermost first."""
    mounted = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for place in reversed(mounted):
        if Path(place).is_relative_to(folder) and place != str(folder):
            subprocess.run(["umount", "--lazy", place], check=False)


def _require_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("an engine of one's own needs root")

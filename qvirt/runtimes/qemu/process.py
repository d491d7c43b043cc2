"""The QEMU process of a VM: started so that it survives us or dies with us, found again, ended.

One that has an owner gets SIGKILL from the kernel when the thread that started it ends (Linux); elsewhere
the next command removes it as an orphan. What QEMU itself says goes to a log of its own.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path

from qvirt.errors import VMFailed
from qvirt.model.wire import to_json
from qvirt.paths import Paths
from qvirt.runtimes.confinement import free_cpus
from qvirt.runtimes.pids import birth
from qvirt.runtimes.qemu.qmp import Monitor, connect
from qvirt.runtimes.running import Running, read_running, taken_cpus, write
from qvirt.store.files import state_errors

PREFIX = "qvirt-"
"""Of QEMU's ``-name``, by which a process is found whose folder is gone."""

PORT_IS_TAKEN = "Could not set up host forwarding rule"
PORTS_TRIED = 5
PAUSE = 0.003
KILL_SECONDS = 5.0

_children: dict[Path, subprocess.Popen[bytes]] = {}
"""Those that this process has started, by VM folder: they must be waited for."""


class QemuProcess:
    def __init__(self, paths: Paths, vm_id: str) -> None:
        self._paths = paths
        self._vm_id = vm_id
        self._folder = paths.vm(vm_id)
        self._record = paths.vm_process(vm_id)

    @property
    def running(self) -> Running | None:
        child = _children.get(self._folder)
        if child is not None:
            child.poll()
        return read_running(self._record)

    @property
    def was_started(self) -> bool:
        """Since it was last ended by us."""
        return self._record.exists()

    def start(
        self,
        command: Callable[[int], list[str]],
        port: int,
        cpus: int,
        *,
        owned: bool,
        origin: str,
    ) -> tuple[Monitor, int]:
        """Start QEMU with the command for a port; where that is taken, with another one.

        Gives its monitor and the port. Raises VMFailed with QEMU's own words where it does not start.
        """
        bound = free_cpus(cpus, taken_cpus(self._paths))
        for _ in range(PORTS_TRIED):
            self._forget()
            try:
                child = self._spawn(command(port), owned, bound)
                _children[self._folder] = child
                running = Running(child.pid, birth(child.pid) or "none", bound, origin)
                write(self._record, to_json(running))
                monitor = connect(self._paths.vm_monitor(self._vm_id), lambda: self.running is not None)
            except BaseException:
                self.end(0)
                raise
            if monitor is not None:
                return monitor, port
            said = self.last_line
            self.end(0)
            if PORT_IS_TAKEN not in said:
                raise VMFailed(f"QEMU ended as soon as it was started: {said or 'it said nothing'}")
            port = free_port()
        raise VMFailed(f"{PORTS_TRIED} ports on loopback, one after another, were taken by other programs")

    def end(self, timeout: float) -> None:
        """Press the power button, then kill it. Its record goes, and its sockets."""
        if timeout > 0 and self.running is not None:
            self._press_power_button()
            self._gone(timeout)
        running = self.running
        if running is not None:
            _kill(running.pid)
            self._gone(KILL_SECONDS)
        child = _children.pop(self._folder, None)
        if child is not None:
            if child.poll() is None:
                child.kill()
            child.wait()
        self._forget()

    def how_it_ended(self) -> str:
        child = _children.get(self._folder)
        try:
            # A process whose threads are still ending is a zombie that cannot be waited for yet.
            code = None if child is None else child.wait(timeout=KILL_SECONDS)
        except subprocess.TimeoutExpired:
            code = None
        said = self.last_line
        if code is None or code == 0:
            return f"its QEMU process has ended{f': {said}' if said else ''}"
        if code < 0:
            return f"its QEMU process was ended by {signal.Signals(-code).name}"
        return f"its QEMU process ended with status {code}: {said or 'it said nothing'}"

    @property
    def last_line(self) -> str:
        try:
            said = self._paths.vm_hypervisor_log(self._vm_id).read_text("utf-8", "replace").split("\n")
        except OSError:
            return ""
        return next(filter(None, reversed(said)), "").strip()

    def monitor(self) -> Monitor:
        return Monitor(self._paths.vm_monitor(self._vm_id))

    def _spawn(self, command: list[str], owned: bool, cpus: tuple[int, ...]) -> subprocess.Popen[bytes]:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        path = self._paths.vm_hypervisor_log(self._vm_id)
        with state_errors(path):
            log = os.open(path, flags, 0o600)

        def spawn() -> subprocess.Popen[bytes]:
            if cpus:
                os.sched_setaffinity(0, cpus)  # of this thread, and so of what it starts
            return subprocess.Popen(
                [*_confined(owned), *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                umask=0o077,
                start_new_session=True,
            )

        try:
            return _spawner(os.getpid()).submit(spawn).result()
        except OSError as error:
            raise VMFailed(f"QEMU cannot be started: {error}") from error
        finally:
            os.close(log)

    def _press_power_button(self) -> None:
        with suppress(VMFailed), self.monitor() as monitor:
            if monitor.status != "running":
                monitor.execute("cont")
            monitor.execute("system_powerdown")

    def _gone(self, timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        while self.running is not None:
            if time.monotonic() >= deadline:
                return False
            time.sleep(PAUSE)
        return True

    def _forget(self) -> None:
        for path in (
            self._record,
            self._paths.vm_monitor(self._vm_id),
            self._paths.vm_console(self._vm_id),
        ):
            path.unlink(missing_ok=True)


def free_port() -> int:
    """A port of loopback that nobody has now; somebody may have it a moment later."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def find_by_name(paths: Paths) -> Iterator[tuple[str, int]]:
    """VM ids and processes of every QEMU that was started for this state directory."""
    import psutil

    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        name = words[words.index("-name") + 1] if "-name" in words[:-1] else ""
        vm_id = name.removeprefix(PREFIX)
        if vm_id != name and any(str(paths.vm(vm_id)) in word for word in words):
            yield vm_id, process.pid


def end_by_name(paths: Paths, vm_id: str) -> None:
    """Kill those whose folder is gone, with the record of their process in it."""
    for found, pid in find_by_name(paths):
        if found == vm_id:
            _kill(pid)


def _confined(owned: bool) -> list[str]:
    """What stands before the command: no privileges, and the end that is tied to ours."""
    setpriv = shutil.which("setpriv") if sys.platform == "linux" else None
    if setpriv is None:
        return []
    command = [setpriv, "--no-new-privs"]
    if os.geteuid() == 0:
        command += ["--inh-caps=-all", "--bounding-set=-all"]
    if owned:
        command += ["--pdeathsig", "KILL"]
    return [*command, "--"]


@cache
def _spawner(process: int) -> ThreadPoolExecutor:
    """One thread that lasts as long as ``process``, ours: the end that the kernel ties to is a thread's."""
    return ThreadPoolExecutor(1, "qvirt-qemu")


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)

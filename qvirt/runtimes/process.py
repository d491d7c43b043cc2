"""A VM as a child process of qvirt: the embedded default, which needs nothing installed.

The guest listens on a Unix socket in the VM's folder. One that has an owner lives no longer than the
process that started it: that one holds the writing end of the guest's standard input, and the guest ends
when it closes. One without stays until it is stopped.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from secrets import token_urlsafe

from qvirt.errors import QvirtError, Unsupported, VMFailed
from qvirt.model.vm import VM, Endpoint, Handle, Power, VMSpec, VMState
from qvirt.model.wire import from_json, to_json
from qvirt.paths import Paths
from qvirt.runtimes import cgroups
from qvirt.runtimes.confinement import change, free_cpus, held, hold
from qvirt.runtimes.contract import Availability, Capabilities, Inspection, Stats
from qvirt.runtimes.environment import guest_environment
from qvirt.runtimes.lifetime import last_words, lifetime
from qvirt.runtimes.pids import birth, is_stopped
from qvirt.runtimes.running import Running, read_running, taken_cpus, write
from qvirt.runtimes.usage import offspring, usage
from qvirt.store.files import state_errors

HANDLE_VERSION = 2
MACHINES = "*/machine.json"
LACKING = {
    Power.SNAPSHOT: "a process cannot be saved; qvirt's own snapshots work for every runtime",
    Power.CLONE: "a process VM starts as fast as a clone would",
    Power.EXEC: "a process VM is this very machine: run the command in your shell",
    Power.CONSOLE: "a process has no console; see its log",
}
PAUSE = 0.003
KILL_SECONDS = 5.0
LOG_BYTES = 1 << 20
"""Octets of a log that are given, the last ones."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What ``create`` has made: the folder of the cgroup is None where none can be had."""

    spec: VMSpec
    cgroup: str | None
    owned: bool
    created: float

    @property
    def group(self) -> Path | None:
        return None if self.cgroup is None else Path(self.cgroup)


_children: dict[Path, subprocess.Popen[bytes]] = {}
"""The guests that this process has started, by VM folder: their lifelines, and who waits for them."""


class ProcessRuntime:
    name = "process"

    def __init__(self, paths: Paths) -> None:
        self._paths = paths

    def probe(self) -> Availability:
        group = cgroups.parent()
        memory = "memory held by RLIMIT_DATA" if group is None else f"memory held by cgroup v{group.version}"
        cpus = "CPUs by affinity" if hasattr(os, "sched_setaffinity") else "CPUs not held"
        return Availability(True, f"child processes of qvirt; {memory}, {cpus}")

    def capabilities(self) -> Capabilities:
        return Capabilities(frozenset({Power.PAUSE, Power.RESIZE, Power.GPU, Power.WARM}), LACKING)

    def create(self, vm: VM) -> Handle:
        for lacking, asked in (("image", vm.spec.image), ("volumes", vm.spec.volumes)):
            if asked:
                raise Unsupported(
                    f"a process VM has no {lacking}: it is this very qvirt, on this machine's files",
                    hint="leave that out, or use the docker runtime",
                )
        if not self._paths.vm_machine(vm.id).exists():
            with ExitStack() as undo:
                undo.callback(shutil.rmtree, self._paths.vm(vm.id), ignore_errors=True)
                self._keep(vm)
                undo.pop_all()
        return self._handle(vm.id)

    def start(self, handle: Handle) -> Handle:
        if self._running(handle) is not None:
            return handle
        machine = self._machine(handle)
        cpus = free_cpus(machine.spec.cpus, taken_cpus(self._paths))
        guest = self._spawn(handle, machine, len(cpus) or machine.spec.cpus)
        _children[self._paths.vm(handle.vm)] = guest
        try:
            running = Running(guest.pid, birth(guest.pid) or "none", cpus)
            write(self._paths.vm_process(handle.vm), to_json(running))
            with suppress(ProcessLookupError, BrokenPipeError):  # it has ended: ``inspect`` tells
                hold(guest.pid, machine.spec.memory, machine.group, cpus)
                assert guest.stdin is not None  # noqa: S101
                guest.stdin.write(b"\n")  # the limits hold: it may begin
                guest.stdin.flush()
                if not machine.owned:
                    guest.stdin.close()
        except BaseException:
            self.stop(handle, timeout=0)
            raise
        return handle

    def stop(self, handle: Handle, timeout: float = 5.0) -> None:
        running = self._running(handle)
        if running is not None:
            self.resume(handle)
            _send(running.pid, signal.SIGTERM)
            if not self._gone(handle, timeout):
                for pid in (*offspring(running.pid), running.pid):
                    _send(pid, signal.SIGKILL)
                self._gone(handle, KILL_SECONDS)
        child = _children.pop(self._paths.vm(handle.vm), None)
        if child is not None:
            assert child.stdin is not None  # noqa: S101
            with suppress(BrokenPipeError):
                child.stdin.close()
            child.wait()
        self._paths.vm_process(handle.vm).unlink(missing_ok=True)

    def destroy(self, handle: Handle) -> None:
        self.stop(handle)
        with suppress(VMFailed):
            group = self._machine(handle).group
            if group is not None:
                cgroups.remove(group)
        self._paths.vm_socket(handle.vm).unlink(missing_ok=True)
        shutil.rmtree(self._paths.vm(handle.vm), ignore_errors=True)

    def inspect(self, handle: Handle) -> Inspection:
        running = self._running(handle)
        if running is not None:
            machine = self._machine(handle)
            limits = tuple(held(running.pid, machine.spec.memory, machine.group))
            state = VMState.PAUSED if is_stopped(running.pid) else VMState.RUNNING
            return Inspection(state, running.pid, limits=limits)
        if not self._paths.vm_process(handle.vm).exists():
            return Inspection(VMState.STOPPED)
        said = last_words(self.logs(handle))
        if said is not None:
            return Inspection(VMState.STOPPED, reason=said)
        child = _children.get(self._paths.vm(handle.vm))
        return Inspection(VMState.FAILED, reason=_how_it_ended(child))

    def endpoint(self, handle: Handle) -> Endpoint:
        try:
            token = self._paths.vm_token(handle.vm).read_text()
        except OSError as error:
            raise VMFailed(f"VM {handle.vm} is gone: {error.strerror}") from None
        return Endpoint(token, socket=str(self._paths.vm_socket(handle.vm)))

    def logs(self, handle: Handle) -> str:
        try:
            with self._paths.vm_log(handle.vm).open("rb") as log:
                log.seek(max(0, os.fstat(log.fileno()).st_size - LOG_BYTES))
                return log.read().decode("utf-8", "replace")
        except FileNotFoundError:
            return ""

    def stats(self, handle: Handle) -> Stats:
        running = self._running(handle)
        if running is None:
            return Stats(0, 0.0, 0)
        return usage(running.pid)

    def leftovers(self) -> dict[str, Handle]:
        return {path.parent.name: self._handle(path.parent.name) for path in self._paths.vms.glob(MACHINES)}

    def pause(self, handle: Handle) -> None:
        """Processes that are stopped keep their memory and take no time."""
        running = self._running(handle)
        for pid in () if running is None else (running.pid, *offspring(running.pid)):
            _send(pid, signal.SIGSTOP)

    def resume(self, handle: Handle) -> None:
        running = self._running(handle)
        for pid in () if running is None else (*offspring(running.pid), running.pid):
            _send(pid, signal.SIGCONT)

    def resize(self, handle: Handle, spec: VMSpec) -> Handle:
        machine = replace(self._machine(handle), spec=spec)
        running = self._running(handle)
        if running is not None:
            taken = (cpu for cpu in taken_cpus(self._paths) if cpu not in running.cpus)
            cpus = free_cpus(spec.cpus, taken)
            change((running.pid, *offspring(running.pid)), spec.memory, machine.group, cpus)
            write(self._paths.vm_process(handle.vm), to_json(replace(running, cpus=cpus)))
        write(self._paths.vm_machine(handle.vm), to_json(machine))
        return handle

    def dedicate(self, handle: Handle, vm: VM) -> None:
        machine = replace(self._machine(handle), spec=vm.spec, created=vm.created)
        write(self._paths.vm_machine(handle.vm), to_json(machine))

    def _handle(self, vm_id: str) -> Handle:
        return Handle(self.name, HANDLE_VERSION, vm_id, {"folder": str(self._paths.vm(vm_id))})

    def _keep(self, vm: VM) -> None:
        """Its folder, with a token of its own; what makes it a VM is written last."""
        folder = self._paths.vm(vm.id)
        with state_errors(folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        parent = cgroups.parent()
        group = None if parent is None else str(cgroups.of_vm(parent, vm.id))
        write(self._paths.vm_token(vm.id), token_urlsafe(32).encode())
        machine = Machine(vm.spec, group, vm.owner is not None, vm.created)
        write(self._paths.vm_machine(vm.id), to_json(machine))

    def _spawn(self, handle: Handle, machine: Machine, threads: int) -> subprocess.Popen[bytes]:
        folder, spec = self._paths.vm(handle.vm), machine.spec
        command = [sys.executable, "-m", "qvirt.guest", "--lifeline" if machine.owned else "--held"]
        command += ["--socket", str(self._paths.vm_socket(handle.vm))]
        command += ["--token-file", str(self._paths.vm_token(handle.vm))]
        command += ["--memory", str(spec.memory), "--cpus", str(threads), "--spares", str(spec.spares)]
        command += ["--calibration", str(self._paths.calibration), "--directory", str(folder)]
        command += ["--gpu"] if spec.gpu else []
        command += lifetime(spec, machine.created, time.time())
        log = _append_to(self._paths.vm_log(handle.vm))
        try:
            return subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=folder,  # Python looks for modules there first: it must be ours
                env=guest_environment() | spec.environment,
                start_new_session=True,
            )
        except OSError as error:
            raise VMFailed(f"the guest of VM {spec.name} cannot be started: {error}") from error
        finally:
            os.close(log)

    def _machine(self, handle: Handle) -> Machine:
        try:
            return from_json(self._paths.vm_machine(handle.vm).read_bytes(), Machine)
        except (OSError, QvirtError) as error:
            raise VMFailed(f"VM {handle.vm} is gone: {error}") from None

    def _running(self, handle: Handle) -> Running | None:
        """The guest's process where it runs; a child that has ended is waited for."""
        child = _children.get(self._paths.vm(handle.vm))
        if child is not None:
            child.poll()
        return read_running(self._paths.vm_process(handle.vm))

    def _gone(self, handle: Handle, timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        while self._running(handle) is not None:
            if time.monotonic() >= deadline:
                return False
            time.sleep(PAUSE)
        return True


def _how_it_ended(child: subprocess.Popen[bytes] | None) -> str:
    try:
        # A process whose threads are still ending is a zombie that cannot be waited for yet.
        code = None if child is None else child.wait(timeout=KILL_SECONDS)
    except subprocess.TimeoutExpired:
        code = None
    if code is None:
        return "the guest process has ended"
    if code < 0:
        return f"the guest process was ended by {signal.Signals(-code).name}"
    return f"the guest process ended with status {code}"


def _append_to(log: Path) -> int:
    with state_errors(log):
        return os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)

"""A VM as a domain of libvirt, for those who keep their machines there: seen by virsh and virt-manager.

It always boots: libvirt makes no copies of a running domain. One that has an owner is started so that
libvirt destroys it when the owner's connection is closed.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from qvirt.errors import Conflict, NotFound, QvirtError, Unavailable, VMFailed
from qvirt.images.catalogue import Catalogue
from qvirt.model.vm import VM, Endpoint, Handle, ImageForm, Power, VMSpec, VMState
from qvirt.model.wire import to_json
from qvirt.paths import Paths
from qvirt.runtimes.accelerator import accelerator
from qvirt.runtimes.confinement import free_cpus
from qvirt.runtimes.contract import Availability, Capabilities, Inspection, Stats
from qvirt.runtimes.libvirt import domain as domains
from qvirt.runtimes.libvirt.connection import EMBEDDED, connect, default_uri, failures
from qvirt.runtimes.libvirt.limits import held
from qvirt.runtimes.pids import birth
from qvirt.runtimes.qemu import boot, requirements
from qvirt.runtimes.qemu.process import free_port
from qvirt.runtimes.qemu.records import Machine, Records
from qvirt.runtimes.running import Running, read_running, taken_cpus, write
from qvirt.runtimes.service import Service

if TYPE_CHECKING:
    import libvirt

HANDLE_VERSION = 1
LIBRARIES = {"libvirt": "libvirt-python", "jinja2": "Jinja2"}
LACKING = requirements.LACKING | {
    Power.CLONE: "libvirt makes no copies of a running domain; qvirt's own snapshots do",
}
CLOCK_SECONDS = 5.0
PORTS_TRIED = 5
PORT_IS_TAKEN = "Could not set up host forwarding rule"
PAUSE = 0.01


class LibvirtRuntime:
    name = "libvirt"

    def __init__(self, paths: Paths) -> None:
        self._paths = paths

    def probe(self) -> Availability:
        lacking = requirements.lacking(LIBRARIES, "libvirt")
        if lacking is not None:
            return lacking
        try:
            uri = default_uri()
            Catalogue(self._paths).find(None, ImageForm.QEMU)
        except QvirtError as error:
            return Availability(False, error.message, error.hint)
        return Availability(True, f"{uri}, {accelerator().name.upper()}: {accelerator().reason}")

    def capabilities(self) -> Capabilities:
        return Capabilities(requirements.POWERS, LACKING, ImageForm.QEMU, accelerator().slowdown)

    # Life

    def create(self, vm: VM) -> Handle:
        records = self._records(vm.id)
        if not records.made:
            machine = requirements.machine_for(self._paths, vm, default_uri())
            records.make(machine, free_port())
        try:
            if self._find(vm.id) is None:
                self._define(vm.id, free_port(), ())
        except BaseException:
            self.destroy(self._handle(vm.id))
            raise
        return self._handle(vm.id)

    def start(self, handle: Handle) -> Handle:
        import libvirt

        if self.inspect(handle).state in (VMState.RUNNING, VMState.PAUSED):
            return handle
        machine = self._machine(handle.vm)
        requirements.require_image(machine)
        boot.write_config(self._paths, handle.vm, machine, accelerator())
        # A driver within this process has no such flag: its domains end with the process anyway.
        embedded = (machine.uri or "").startswith(EMBEDDED)
        flags = libvirt.VIR_DOMAIN_START_AUTODESTROY if machine.owned and not embedded else 0
        port = self._records(handle.vm).port
        cpus = free_cpus(machine.spec.cpus, taken_cpus(self._paths))
        for left in reversed(range(PORTS_TRIED)):
            domain = self._define(handle.vm, port, cpus)
            try:
                with failures(f"libvirt could not start VM {machine.spec.name}"):
                    domain.createWithFlags(flags | libvirt.VIR_DOMAIN_START_FORCE_BOOT)
                break
            except VMFailed as error:
                if not left or PORT_IS_TAKEN not in error.message:
                    raise
                port = free_port()
        self._note(handle.vm, "booted", cpus)
        return handle

    def stop(self, handle: Handle, timeout: float = 5.0) -> None:
        import libvirt

        with self._failures(handle, "stop"):
            domain = self._find(handle.vm)
            if domain is not None and domain.isActive():
                if timeout > 0:
                    self._shut_down(domain, timeout)
                with suppress(libvirt.libvirtError):  # it has ended meanwhile
                    domain.destroy()
        self._paths.vm_process(handle.vm).unlink(missing_ok=True)

    def destroy(self, handle: Handle) -> None:
        import libvirt

        self.stop(handle, timeout=0)
        with self._failures(handle, "remove"):
            domain = self._find(handle.vm)
            if domain is None:
                _end_stray(domains.name_of(handle.vm))
            else:
                domain.undefineFlags(
                    libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
                )
        self._paths.vm_console(handle.vm).unlink(missing_ok=True)
        shutil.rmtree(self._paths.vm(handle.vm), ignore_errors=True)

    # Looking

    def inspect(self, handle: Handle) -> Inspection:
        import libvirt

        try:
            with self._failures(handle, "look at"):
                domain = self._find(handle.vm)
                found = libvirt.VIR_DOMAIN_NOSTATE if domain is None else domain.state()[0]
        except Unavailable as error:
            return self._inspect_without_libvirt(handle, error)
        if found in (libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_BLOCKED, libvirt.VIR_DOMAIN_PAUSED):
            state = VMState.PAUSED if found == libvirt.VIR_DOMAIN_PAUSED else VMState.RUNNING
            machine, running = self._machine(handle.vm), self._running(handle.vm)
            pid = None if running is None else running.pid
            return Inspection(state, pid, limits=tuple(held(running, machine, accelerator())))
        if not self._paths.vm_process(handle.vm).exists():
            return Inspection(VMState.STOPPED)
        log = self.logs(handle)
        said = boot.last_words_on_console(log)
        if said is not None:
            return Inspection(VMState.STOPPED, reason=said)
        reason = boot.trouble_on_console(log) or "its domain has ended"
        return Inspection(VMState.FAILED, reason="its domain is gone" if domain is None else reason)

    def endpoint(self, handle: Handle) -> Endpoint:
        return self._records(handle.vm).endpoint

    def logs(self, handle: Handle) -> str:
        return self._records(handle.vm).log

    def stats(self, handle: Handle) -> Stats:
        import libvirt

        wanted = libvirt.VIR_DOMAIN_STATS_BALLOON | libvirt.VIR_DOMAIN_STATS_CPU_TOTAL
        with self._failures(handle, "measure"):
            domain = self._find(handle.vm)
            if domain is None or not domain.isActive():
                return Stats(0, 0.0, 0)
            connection = self._connection(handle.vm)
            told = connection.domainListGetStats([domain], wanted)[0][1]
            nanoseconds = told.get("cpu.time") or domain.info()[4]
        return Stats(int(told.get("balloon.rss", 0)) << 10, nanoseconds / 1e9, 1)

    def leftovers(self) -> dict[str, Handle]:
        found = {path.parent.name for path in self._paths.vms.glob(f"*/{self.name}.json")}
        with failures("libvirt could not list its domains", Unavailable):
            found |= set(domains.all_of(connect(default_uri()), self._paths))
        return {vm_id: self._handle(vm_id) for vm_id in found}

    # Powers

    def pause(self, handle: Handle) -> None:
        import libvirt

        with self._failures(handle, "pause"):
            domain = self._domain(handle.vm)
            if domain.state()[0] != libvirt.VIR_DOMAIN_PAUSED:
                domain.suspend()

    def resume(self, handle: Handle) -> None:
        """The guest's clock stood still: it is set again where the guest answers at once."""
        import libvirt

        with self._failures(handle, "resume"):
            domain = self._domain(handle.vm)
            if domain.state()[0] != libvirt.VIR_DOMAIN_PAUSED:
                return
            domain.resume()
        self._set_clock(handle.vm)

    def resize(self, handle: Handle, spec: VMSpec) -> Handle:
        if self.inspect(handle).state in (VMState.RUNNING, VMState.PAUSED):
            raise Conflict(
                f"VM {spec.name} runs, and its guest can be given no other memory or CPUs while it does",
                hint=f"stop it first: `qvirt vm stop {spec.name}`",
            )
        records = self._records(handle.vm)
        records.change(replace(records.machine, spec=spec))
        self._define(handle.vm, records.port, ())
        return handle

    def snapshot(self, handle: Handle, name: str) -> None:
        """libvirt saves a domain by ending it: it is restored at once from what was saved."""
        import libvirt

        file = self._records(handle.vm).saved(name)
        file.parent.mkdir(mode=0o700, exist_ok=True)
        with self._failures(handle, "save"):
            domain = self._domain(handle.vm)
            was_paused = domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED
            domain.saveFlags(str(file), None, 0)
        self._restore(handle, file, was_paused, f"restored after the snapshot {name}")

    def restore(self, handle: Handle, name: str) -> None:
        records = self._records(handle.vm)
        file = records.saved(name)
        if not file.exists():
            raise NotFound(f"VM {records.machine.spec.name} has no libvirt snapshot {name!r}")
        self.stop(handle, timeout=0)
        self._restore(handle, file, False, f"restored from the snapshot {name}")

    def snapshots(self, handle: Handle) -> list[str]:
        return self._records(handle.vm).saved_names

    def remove_snapshot(self, handle: Handle, name: str) -> None:
        self._records(handle.vm).saved(name).unlink(missing_ok=True)

    def console(self, handle: Handle) -> Path:
        return self._paths.vm_console(handle.vm)

    # Inside

    def _inspect_without_libvirt(self, handle: Handle, error: Unavailable) -> Inspection:
        """A guest of this machine outlives the daemon that has started it."""
        if not self._paths.vm_process(handle.vm).exists():
            return Inspection(VMState.STOPPED, reason=error.message)
        running = self._running(handle.vm)
        if running is None:
            return Inspection(VMState.FAILED, reason=error.message)
        return Inspection(VMState.RUNNING, running.pid, error.message)

    def _restore(self, handle: Handle, file: Path, paused: bool, origin: str) -> None:
        import libvirt

        flag = libvirt.VIR_DOMAIN_SAVE_PAUSED if paused else libvirt.VIR_DOMAIN_SAVE_RUNNING
        cpus = self._cpus(handle.vm)
        with self._failures(handle, "restore"):
            self._connection(handle.vm).restoreFlags(str(file), None, flag)
        self._note(handle.vm, origin, cpus)
        if not paused:
            self._set_clock(handle.vm)

    def _set_clock(self, vm_id: str) -> None:
        """And the random numbers: the guest is given its own identity once more."""
        records = self._records(vm_id)
        with suppress(VMFailed):
            machine = records.machine
            Service(records.endpoint).become(records.token, machine.spec, machine.created, CLOCK_SECONDS)

    def _shut_down(self, domain: libvirt.virDomain, timeout: float) -> None:
        import libvirt

        with suppress(libvirt.libvirtError):
            if domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED:
                domain.resume()
            domain.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN)
            deadline = time.monotonic() + timeout
            while domain.isActive() and time.monotonic() < deadline:
                time.sleep(PAUSE)

    def _define(self, vm_id: str, port: int, cpus: tuple[int, ...]) -> libvirt.virDomain:
        """Make the domain, or change the one that is there."""
        records = self._records(vm_id)
        machine = self._machine(vm_id)
        if port != records.port:
            records.port = port
        text = domains.xml(self._paths, vm_id, machine, accelerator(), port, cpus)
        with failures(f"libvirt could not define VM {machine.spec.name}"):
            return self._connection(vm_id).defineXML(text)

    def _note(self, vm_id: str, origin: str, cpus: tuple[int, ...]) -> None:
        """Which process it is, where that is one of this machine."""
        pid = _process_of(domains.name_of(vm_id))
        born = None if pid is None else birth(pid)
        running = Running(pid or 0, born or "none", cpus, origin)
        write(self._paths.vm_process(vm_id), to_json(running))

    def _running(self, vm_id: str) -> Running | None:
        return read_running(self._paths.vm_process(vm_id))

    def _cpus(self, vm_id: str) -> tuple[int, ...]:
        running = self._running(vm_id)
        return () if running is None else running.cpus

    @contextmanager
    def _failures(self, handle: Handle, verb: str) -> Iterator[None]:
        with failures(f"libvirt could not {verb} VM {handle.vm}"):
            yield

    def _domain(self, vm_id: str) -> libvirt.virDomain:
        found = self._find(vm_id)
        if found is None:
            raise VMFailed(f"VM {vm_id} is gone: libvirt has no such domain")
        return found

    def _find(self, vm_id: str) -> libvirt.virDomain | None:
        return domains.find(self._connection(vm_id), vm_id)

    def _connection(self, vm_id: str) -> libvirt.virConnect:
        """To the libvirt that has it; one whose folder is gone can only be in the one used now."""
        uri = None
        with suppress(VMFailed):
            uri = self._machine(vm_id).uri
        return connect(uri or default_uri())

    def _machine(self, vm_id: str) -> Machine:
        return self._records(vm_id).machine

    def _records(self, vm_id: str) -> Records:
        return Records(self._paths, self.name, vm_id)

    def _handle(self, vm_id: str) -> Handle:
        return Handle(self.name, HANDLE_VERSION, vm_id, {"folder": str(self._paths.vm(vm_id))})


def _end_stray(domain: str) -> None:
    """A QEMU that libvirt knows nothing of: it was killed before it had written down that it started one."""
    pid = _process_of(domain)
    if pid is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _process_of(domain: str) -> int | None:
    import psutil

    for process in psutil.process_iter(["cmdline"]):
        if any(word.startswith(f"guest={domain},") for word in process.info["cmdline"] or ()):
            return int(process.pid)
    return None

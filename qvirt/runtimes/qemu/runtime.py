"""A VM as a QEMU process: no daemon, no root, and a kernel of its own between circuit and host.

A VM starts as a copy of a memory template where that is possible (warm.py), else it boots. Everything that
``start`` learns stands in files of the VM's folder; the handle only names it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from qvirt.errors import Conflict, NotFound, QvirtError, StateError, Unavailable, VMFailed
from qvirt.images.catalogue import Catalogue
from qvirt.model.vm import VM, Endpoint, Handle, ImageForm, Power, VMSpec, VMState
from qvirt.paths import Paths
from qvirt.runtimes.accelerator import accelerator
from qvirt.runtimes.contract import Availability, Capabilities, Inspection, Stats
from qvirt.runtimes.qemu import boot, requirements, state
from qvirt.runtimes.qemu.command import BINARY, Hardware, Memory, command, find_binary
from qvirt.runtimes.qemu.limits import held
from qvirt.runtimes.qemu.process import QemuProcess, end_by_name, find_by_name, free_port
from qvirt.runtimes.qemu.qmp import Monitor
from qvirt.runtimes.qemu.records import Machine, Records
from qvirt.runtimes.qemu.warm import VM_PREFIX, Template, Templates, lines_of
from qvirt.runtimes.service import Service
from qvirt.runtimes.usage import usage

HANDLE_VERSION = 1
SETUP = "./setup_quantum_vm.sh --with qemu"
LIBRARIES = {"qemu.qmp": "qemu.qmp", "jinja2": "Jinja2"}
LACKING = requirements.LACKING | {
    Power.CLONE: "qvirt's own snapshots make copies; every QEMU VM is a copy of a warm one anyway",
}
STATE_SECONDS = 60.0
IDENTITY_SECONDS = 30.0
CLOCK_SECONDS = 5.0
PAUSED = frozenset({"paused", "suspended", "postmigrate"})
BROKEN = frozenset({"internal-error", "io-error", "guest-panicked", "watchdog"})


class QemuRuntime:
    name = "qemu"

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._templates = Templates(paths)

    def probe(self) -> Availability:
        if find_binary() is None:
            return Availability(False, f"{BINARY} is not installed", SETUP)
        lacking = requirements.lacking(LIBRARIES, "qemu")
        if lacking is not None:
            return lacking
        try:
            Catalogue(self._paths).find(None, ImageForm.QEMU)
        except QvirtError as error:
            return Availability(False, error.message, error.hint)
        found = accelerator()
        return Availability(True, f"{BINARY}, {found.name.upper()}: {found.reason}")

    def capabilities(self) -> Capabilities:
        return Capabilities(requirements.POWERS, LACKING, ImageForm.QEMU, accelerator().slowdown)

    # Life

    def create(self, vm: VM) -> Handle:
        records = self._records(vm.id)
        if not records.made:
            records.make(requirements.machine_for(self._paths, vm), free_port())
        return self._handle(vm.id)

    def start(self, handle: Handle) -> Handle:
        if self.inspect(handle).state in (VMState.RUNNING, VMState.PAUSED):
            return handle
        machine = self._records(handle.vm).machine
        hardware = self._hardware(machine)
        self._process(handle.vm).end(0)
        why_cold = self._templates.why_not(machine.spec)
        if why_cold is None:
            try:
                template = self._templates.get(machine, hardware)
                self._copy(handle.vm, machine, hardware, template)
                return handle
            except (VMFailed, StateError) as error:
                why_cold = f"the warm start failed: {error.message}"
        self._boot(handle.vm, machine, hardware, why_cold)
        return handle

    def prepare(self, handle: Handle, tell: Callable[[str], None]) -> None:
        machine = self._records(handle.vm).machine
        if self._templates.why_not(machine.spec) is None:
            with suppress(VMFailed, StateError):  # then ``start`` says why, and boots it
                self._templates.get(machine, self._hardware(machine), tell)

    def remove_templates(self, everything: bool) -> list[str]:
        return self._templates.prune(everything)

    def stop(self, handle: Handle, timeout: float = 5.0) -> None:
        self._process(handle.vm).end(timeout)

    def destroy(self, handle: Handle) -> None:
        process = self._process(handle.vm)
        if not process.was_started:
            end_by_name(self._paths, handle.vm)
        process.end(0)
        shutil.rmtree(self._paths.vm(handle.vm), ignore_errors=True)

    # Looking

    def inspect(self, handle: Handle) -> Inspection:
        process = self._process(handle.vm)
        running = process.running
        if running is not None:
            machine = self._records(handle.vm).machine
            limits = tuple(held(running, machine, accelerator()))
            status = self._status(process)
            if status in BROKEN:
                return Inspection(VMState.FAILED, running.pid, f"QEMU says: {status}", limits)
            state = VMState.PAUSED if status in PAUSED else VMState.RUNNING
            return Inspection(state, running.pid, limits=limits)
        if not process.was_started:
            return Inspection(VMState.STOPPED)
        log = self.logs(handle)
        said = boot.last_words_on_console(log)
        if said is not None:
            return Inspection(VMState.STOPPED, reason=said)
        return Inspection(VMState.FAILED, reason=boot.trouble_on_console(log) or process.how_it_ended())

    def endpoint(self, handle: Handle) -> Endpoint:
        return self._records(handle.vm).endpoint

    def logs(self, handle: Handle) -> str:
        return self._records(handle.vm).log

    def stats(self, handle: Handle) -> Stats:
        running = self._process(handle.vm).running
        if running is None:
            return Stats(0, 0.0, 0)
        return usage(running.pid)

    def leftovers(self) -> dict[str, Handle]:
        found = {path.parent.name for path in self._paths.vms.glob(f"*/{self.name}.json")}
        found |= {vm_id for vm_id, _ in find_by_name(self._paths)}
        if self._templates.in_the_making:
            found = {vm_id for vm_id in found if not vm_id.startswith(VM_PREFIX)}
        return {vm_id: self._handle(vm_id) for vm_id in found}

    # Powers

    def pause(self, handle: Handle) -> None:
        with self._process(handle.vm).monitor() as monitor:
            monitor.execute("stop")

    def resume(self, handle: Handle) -> None:
        """The guest's clock stood still: it is set again where the guest answers at once."""
        with self._process(handle.vm).monitor() as monitor:
            if monitor.status not in PAUSED:
                return
            monitor.execute("cont")
        with suppress(VMFailed):
            self._tell_identity(handle.vm, CLOCK_SECONDS)

    def resize(self, handle: Handle, spec: VMSpec) -> Handle:
        records = self._records(handle.vm)
        if self._process(handle.vm).running is not None:
            raise Conflict(
                f"VM {spec.name} runs, and QEMU gives a running guest no other memory or CPUs",
                hint=f"stop it first: `qvirt vm stop {spec.name}`",
            )
        records.change(replace(records.machine, spec=spec))
        return handle

    def snapshot(self, handle: Handle, name: str) -> None:
        file = self._records(handle.vm).saved(name)
        file.parent.mkdir(mode=0o700, exist_ok=True)
        with self._process(handle.vm).monitor() as monitor:
            was_running = monitor.status == "running"
            monitor.execute("stop")
            try:
                state.save(monitor, file, STATE_SECONDS)
            finally:
                if was_running:
                    monitor.execute("cont")

    def restore(self, handle: Handle, name: str) -> None:
        records = self._records(handle.vm)
        file, machine = records.saved(name), records.machine
        if not file.exists():
            raise NotFound(f"VM {machine.spec.name} has no QEMU snapshot {name!r}")
        process = self._process(handle.vm)
        process.end(0)
        origin = f"restored from the snapshot {name}"
        self._read_state(handle.vm, machine, self._hardware(machine), Memory(), file, origin)
        self._tell_identity(handle.vm, IDENTITY_SECONDS)

    def snapshots(self, handle: Handle) -> list[str]:
        return self._records(handle.vm).saved_names

    def remove_snapshot(self, handle: Handle, name: str) -> None:
        self._records(handle.vm).saved(name).unlink(missing_ok=True)

    def console(self, handle: Handle) -> Path:
        return self._paths.vm_console(handle.vm)

    # Inside

    def _boot(self, vm_id: str, machine: Machine, hardware: Hardware, why: str) -> None:
        boot.write_config(self._paths, vm_id, machine, hardware.accelerator)
        with self._started(vm_id, machine, hardware, Memory(), f"booted ({why})"):
            pass

    def _copy(self, vm_id: str, machine: Machine, hardware: Hardware, template: Template) -> None:
        """Raises VMFailed, with nothing running, where the copy does not come to life."""
        memory = Memory(self._templates.memory(template))
        # What the guest would read if it booted; a copy never does, but its machine is to be the same.
        boot.write_config(self._paths, vm_id, machine, hardware.accelerator)
        origin = f"copy of the memory template {template.short}"
        copy = self._templates.hardware(template, hardware)
        try:
            self._read_state(vm_id, machine, copy, memory, self._templates.state(template), origin)
            self._tell_identity(vm_id, IDENTITY_SECONDS, template.token)
        except BaseException:
            self._process(vm_id).end(0)
            raise

    def _read_state(
        self, vm_id: str, machine: Machine, hardware: Hardware, memory: Memory, file: Path, origin: str
    ) -> None:
        with self._started(vm_id, machine, hardware, memory, origin, waiting=True) as monitor:
            state.load(monitor, file, STATE_SECONDS)

    def _started(
        self,
        vm_id: str,
        machine: Machine,
        hardware: Hardware,
        memory: Memory,
        origin: str,
        *,
        waiting: bool = False,
    ) -> Monitor:
        records = self._records(vm_id)
        lines = lines_of(self._paths, vm_id, hardware)
        monitor, port = self._process(vm_id).start(
            lambda port: command(hardware, memory, lines, port, waiting=waiting),
            records.port,
            hardware.cpus,
            owned=machine.owned,
            origin=origin,
        )
        if port != records.port:
            records.port = port
        return monitor

    def _tell_identity(self, vm_id: str, seconds: float, known_token: str | None = None) -> None:
        records = self._records(vm_id)
        service = Service(replace(records.endpoint, token=known_token or records.token))
        service.become(records.token, records.machine.spec, records.machine.created, seconds)

    def _hardware(self, machine: Machine) -> Hardware:
        binary = find_binary()
        if binary is None:
            raise Unavailable(f"{BINARY} is not installed", hint=SETUP)
        requirements.require_image(machine)
        found = accelerator()
        files = machine.disk, machine.kernel, machine.initrd
        line = boot.kernel_line(machine.spec, found)
        return Hardware(binary, found, machine.mebibytes, machine.spec.cpus, *files, line)

    def _status(self, process: QemuProcess) -> str:
        """QEMU's word for what it does; one that is too busy to say so runs."""
        try:
            with process.monitor() as monitor:
                return monitor.status
        except VMFailed:
            return "running"

    def _process(self, vm_id: str) -> QemuProcess:
        return QemuProcess(self._paths, vm_id)

    def _records(self, vm_id: str) -> Records:
        return Records(self._paths, self.name, vm_id)

    def _handle(self, vm_id: str) -> Handle:
        return Handle(self.name, HANDLE_VERSION, vm_id, {"folder": str(self._paths.vm(vm_id))})

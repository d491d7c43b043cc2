"""A VM as a container: one guest, no network, its socket in a folder of the host.

A container that has run is never started again but made anew, because its arguments and limits are those
of its first day; all that it could have written is gone with it anyway.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from typing import Any

from qvirt.errors import Conflict, QvirtError, Unavailable, Unsupported, VMFailed
from qvirt.images.catalogue import Catalogue
from qvirt.model.vm import VM, Endpoint, Handle, ImageForm, Power, VMSpec, VMState
from qvirt.paths import Paths
from qvirt.runtimes.contract import Availability, Capabilities, Executed, Inspection, Stats
from qvirt.runtimes.docker import lifeline, options, record, share
from qvirt.runtimes.docker.engine import Engine, address, silence
from qvirt.runtimes.docker.inspection import has_run, inspection, is_paused, is_running
from qvirt.runtimes.docker.record import RUNTIME, Wanted
from qvirt.runtimes.docker.stats import stats

HANDLE_VERSION = 1
LISTEN_SECONDS = 10.0
LOOK_SECONDS = 0.1
LATE_SECONDS = 2.0
PAUSE = 0.002

POWERS = frozenset({Power.PAUSE, Power.RESIZE, Power.EXEC, Power.GPU, Power.WARM})
LACKING = {
    Power.SNAPSHOT: "checkpoints of containers need CRIU, which fails on many kernels; "
    "qvirt's own snapshots work for every runtime",
    Power.CLONE: "a container starts almost as fast as a clone would",
    Power.CONSOLE: "a container has no console; see its log, or run a command in it",
}
NO_UPDATE = "Podman's Docker interface cannot change the limits of a container"
NOT_STARTED = (126, 127)
LACKS = (
    "qvirt: the guest has no command {}\n"
    "  hint: it has python3, sh and what `busybox --list` names, as in -- busybox nslookup\n"
)
"""A guest is a service and not a system to work in."""

REBUILD = "qvirt image build --for docker"


class DockerRuntime:
    name = RUNTIME

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._engines: dict[str, Engine] = {}

    def probe(self) -> Availability:
        try:
            facts = Engine(address(os.environ)).facts
            facts.require()
            image = Catalogue(self._paths).find(None, ImageForm.DOCKER)
        except QvirtError as error:
            return Availability(False, error.message, error.hint)
        filters = "system calls filtered" if facts.seccomp else "system calls not filtered"
        return Availability(
            True,
            f"{facts.product} {facts.version}, image {image.short}; memory, CPUs and processes held by "
            f"cgroup v{facts.cgroup}, no network, {filters}",
        )

    def capabilities(self) -> Capabilities:
        lacking = dict(LACKING)
        with suppress(QvirtError):
            facts = self._engine().facts
            if facts.podman:
                lacking[Power.RESIZE] = NO_UPDATE
            try:
                facts.require_nvidia()
            except Unavailable as error:
                lacking[Power.GPU] = error.message
        powers = POWERS - frozenset(lacking)
        return Capabilities(powers, lacking, ImageForm.DOCKER)

    def create(self, vm: VM) -> Handle:
        engine, name = self._engine(vm.handle), options.name(vm.id)
        with ExitStack() as undo:
            if not record.exists(self._paths, vm.id):
                undo.callback(record.remove, self._paths, vm.id)
                engine.remove(name)  # one whose files are lost is of no use
                record.begin(self._paths, vm)
                undo.push(partial(_remove_late, engine, name))
                self._make(engine, vm.id)
            elif engine.container(name) is None:
                self._make(engine, vm.id)
            undo.pop_all()
        return self._handle(engine, vm.id)

    def start(self, handle: Handle) -> Handle:
        """Returns when the guest listens, which is before it answers."""
        engine, name = self._place(handle)
        wanted = record.wanted(self._paths, handle.vm)
        found = engine.container(name)
        if found is not None and is_running(found):
            return handle
        if found is not None and has_run(found):
            record.keep_log(self._paths, handle.vm, engine.log(name))
            record.note(self._paths, handle.vm, replace(wanted, started=False))
            engine.remove(name)
            found = None
        if found is None:
            self._make(engine, handle.vm)
        record.note(self._paths, handle.vm, replace(wanted, started=True))
        with engine.asked(f"start VM {wanted.spec.name}"):
            if wanted.owned:
                lifeline.attach(engine.api, name)
            engine.api.start(name)
        self._until_it_listens(engine, handle.vm)
        return handle

    def stop(self, handle: Handle, timeout: float = 5.0) -> None:
        engine, name = self._place(handle)
        found = engine.container(name)
        wanted = record.wanted_still(self._paths, handle.vm)
        with ExitStack() as undo:
            if wanted is not None:  # said first, so that nobody takes it for an accident
                record.note(self._paths, handle.vm, replace(wanted, started=False))
                undo.callback(record.note, self._paths, handle.vm, wanted)
            if found is not None and is_running(found):
                with engine.asked(f"stop {name}"):
                    if is_paused(found):
                        engine.api.unpause(name)
                    engine.api.stop(name, timeout=math.ceil(timeout))
            undo.pop_all()
        lifeline.cut(name)
        share.forget(self._paths, handle.vm)

    def destroy(self, handle: Handle) -> None:
        engine, name = self._place(handle)
        engine.remove(name)
        lifeline.cut(name)
        record.remove(self._paths, handle.vm)

    def inspect(self, handle: Handle) -> Inspection:
        engine, name = self._place(handle)
        try:
            found = engine.container(name)
            if found is not None and is_running(found):
                share.adopt(self._paths, handle.vm)
            wanted = record.wanted_still(self._paths, handle.vm)
            closed = share.is_closed(self._paths, handle.vm)
            return inspection(found, wanted, closed, lambda: engine.log(name))
        except Unavailable as error:
            return self._inspect_without_engine(handle, error)

    def endpoint(self, handle: Handle) -> Endpoint:
        try:
            token = self._paths.vm_token(handle.vm).read_text()
        except OSError as error:
            raise VMFailed(f"VM {handle.vm} is gone: {error.strerror}") from None
        share.adopt(self._paths, handle.vm)
        return Endpoint(token, socket=str(self._paths.vm_socket(handle.vm)))

    def logs(self, handle: Handle) -> str:
        """Of all containers that the VM has had."""
        engine, name = self._place(handle)
        earlier = record.earlier_log(self._paths, handle.vm)
        now = "" if engine.container(name) is None else engine.log(name)
        return (earlier + now)[-record.LOG_CHARACTERS :]

    def stats(self, handle: Handle) -> Stats:
        engine, name = self._place(handle)
        found = engine.container(name)
        if found is None or not is_running(found):
            return Stats(0, 0.0, 0)
        with engine.asked(f"say what {name} uses"):
            told = engine.api.stats(name, stream=False, one_shot=True)
        return stats(told, found["State"]["Pid"])

    def leftovers(self) -> dict[str, Handle]:
        engine = self._engine()
        ours = engine.labelled(f"{options.HOME_LABEL}={options.home_label(self._paths)}")
        ids = {container["Labels"].get(options.VM_LABEL) for container in ours} - {None}
        return {vm_id: self._handle(engine, vm_id) for vm_id in {*ids, *record.kept(self._paths)}}

    def pause(self, handle: Handle) -> None:
        engine, name = self._place(handle)
        found = engine.container(name)
        if found is not None and is_running(found) and not is_paused(found):
            with engine.asked(f"pause {name}"):
                engine.api.pause(name)

    def resume(self, handle: Handle) -> None:
        engine, name = self._place(handle)
        found = engine.container(name)
        if found is not None and is_paused(found):
            with engine.asked(f"resume {name}"):
                engine.api.unpause(name)

    def resize(self, handle: Handle, spec: VMSpec) -> Handle:
        engine, name = self._place(handle)
        wanted = record.wanted(self._paths, handle.vm)
        found = engine.container(name)
        if found is not None and is_running(found):
            if engine.facts.podman:
                raise Unsupported(f"VM {spec.name} cannot be resized while it runs: {NO_UPDATE}")
            with engine.asked(f"resize VM {spec.name}"):
                engine.api.update_container(name, **options.update(spec))
        elif found is not None and not has_run(found):
            engine.remove(name)  # ``start`` makes it anew
        record.note(self._paths, handle.vm, replace(wanted, spec=spec))
        return handle

    def dedicate(self, handle: Handle, vm: VM) -> None:
        wanted = record.wanted(self._paths, handle.vm)
        record.note(self._paths, handle.vm, replace(wanted, spec=vm.spec, created=vm.created))

    def execute(self, handle: Handle, command: Sequence[str]) -> Executed:
        """As the guest's own user; nothing more is allowed than to the guest."""
        engine, name = self._place(handle)
        found = engine.container(name)
        vm = record.wanted(self._paths, handle.vm).spec.name
        if found is None or not is_running(found):
            raise Conflict(f"VM {vm} is not running", hint=f"qvirt vm start {vm}")
        if is_paused(found):
            raise Conflict(f"VM {vm} is paused", hint=f"qvirt vm resume {vm}")
        with engine.asked(f"run {command[0]} in {name}"):
            order = engine.api.exec_create(name, list(command))["Id"]
            output, errors = engine.api.exec_start(order, demux=True)
            status = engine.api.exec_inspect(order)["ExitCode"]
        if status in NOT_STARTED and b"executable file not found" in (output or b""):
            return Executed(status, b"", LACKS.format(command[0]).encode())
        return Executed(status, output or b"", errors or b"")

    # Inside

    def _engine(self, handle: Handle | None = None) -> Engine:
        """The one that a VM was made in, or that the environment names. Raises Unavailable."""
        path = address(os.environ) if handle is None else str(handle.data["engine"])
        return self._engines.setdefault(path, Engine(path))

    def _place(self, handle: Handle) -> tuple[Engine, str]:
        """The engine and the name of the container there."""
        return self._engine(handle), options.name(handle.vm)

    def _handle(self, engine: Engine, vm_id: str) -> Handle:
        data: dict[str, Any] = {"engine": engine.path, "container": options.name(vm_id)}
        return Handle(self.name, HANDLE_VERSION, vm_id, data)

    def _make(self, engine: Engine, vm_id: str) -> None:
        """The container, not yet running. An image that the engine has lost is loaded again."""
        wanted, name = record.wanted(self._paths, vm_id), options.name(vm_id)
        engine.facts.require()
        if wanted.spec.gpu:
            engine.facts.require_nvidia()
        image = Catalogue(self._paths).find(wanted.spec.image, ImageForm.DOCKER)
        body = options.configuration(
            vm_id, wanted, image, self._paths, engine.path, engine.facts, time.time()
        )
        share.prepare(self._paths, vm_id)
        if not engine.make(name, body):
            engine.load(image.archive)
            if not engine.make(name, body):
                raise VMFailed(f"{image.archive} does not hold the image {image.docker}", hint=REBUILD)

    def _until_it_listens(self, engine: Engine, vm_id: str) -> None:
        """So that its socket is taken before anything runs in it; of a slow guest ``inspect`` takes it."""
        began = looked = time.monotonic()
        while not share.adopt(self._paths, vm_id):
            now = time.monotonic()
            if now > looked + LOOK_SECONDS:
                found = engine.container(options.name(vm_id))
                if found is None or not is_running(found):
                    return
                looked = now
            if now > began + LISTEN_SECONDS:
                return
            time.sleep(PAUSE)

    def _inspect_without_engine(self, handle: Handle, error: Unavailable) -> Inspection:
        """Containers may outlive their engine: where somebody listens, the guest is there."""
        wanted: Wanted | None = record.wanted_still(self._paths, handle.vm)
        if wanted is None or not wanted.started:
            return Inspection(VMState.STOPPED, reason=error.message)
        lives = silence(str(self._paths.vm_socket(handle.vm))) is None
        return Inspection(VMState.RUNNING if lives else VMState.FAILED, reason=error.message)


def _remove_late(engine: Engine, name: str, kind: type[BaseException] | None, *_: object) -> None:
    """After Ctrl-C: an engine goes on making what nobody waits for any more."""
    deadline = time.monotonic() + LATE_SECONDS
    with suppress(QvirtError):
        while kind is KeyboardInterrupt and time.monotonic() < deadline:
            if engine.container(name) is not None:
                engine.remove(name)
                return
            time.sleep(PAUSE)

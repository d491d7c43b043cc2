"""The life of a VM: the only caller of runtimes."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from secrets import token_hex
from typing import TypeVar

from qvirt.errors import Conflict, NotFound, QvirtError, Unavailable, Unsupported, VMFailed
from qvirt.host import owner
from qvirt.host.guests import Guest
from qvirt.host.locks import locked
from qvirt.model.vm import VM, Endpoint, Handle, Power, VMSpec, VMState
from qvirt.paths import Paths
from qvirt.runtimes.contract import (
    Capabilities,
    Executed,
    Executing,
    HavingConsole,
    Inspection,
    Pausable,
    Resizable,
    Runtime,
    Stats,
    Templating,
)
from qvirt.store import Store

FIRST_PAUSE = 0.01
LONGEST_PAUSE = 0.1
LOG_TAIL_LINES = 15
LAST_ASK_SECONDS = 2.0
WARM_UP_SECONDS = 120.0
OUTDATED = "its image is older than this qvirt"

P = TypeVar("P")
Teller = Callable[[str], None]
"""Is told each stage of a long verb when it begins."""


def _silently(stage: str) -> None:
    pass


class VMs:
    """``runtime_of`` gives the runtime of a name."""

    def __init__(self, store: Store, paths: Paths, runtime_of: Callable[[str], Runtime]) -> None:
        self._store = store
        self._paths = paths
        self._runtime_of = runtime_of

    # Making and ending

    def create(
        self, spec: VMSpec, *, lasting: bool = False, pool: str | None = None, tell: Teller = _silently
    ) -> VM:
        """Make and start a VM; its guest may need a moment more (``wait``). Nothing is left on failure.

        It goes with this process, so that nothing stays if we are killed; one that is ``lasting`` until
        ``make`` has seen it answer.
        """
        runtime = self._runtime_of(spec.runtime)
        spec = self.with_image(spec)
        vm = VM(token_hex(6), spec, VMState.STARTING, time.time(), owner=owner.me(), pool=pool)
        with ExitStack() as undo:
            self._store.put_vm(vm)
            undo.callback(self._store.remove_vm, vm.id)
            tell("making the machine")
            handle = runtime.create(replace(vm, owner=None) if lasting else vm)
            undo.callback(runtime.destroy, handle)
            vm = self._put(vm, handle=handle)
            if isinstance(runtime, Templating):
                runtime.prepare(handle, tell)
            tell("starting it")
            vm = self._put(vm, handle=runtime.start(handle), state=VMState.RUNNING)
            undo.pop_all()
        return vm

    def make(
        self, spec: VMSpec, timeout: float | None, tell: Teller = _silently, pool: str | None = None
    ) -> VM:
        """Create a VM that stays until it is destroyed; ``timeout`` None does not wait for its guest.

        One for a ``pool`` has its engines loaded, and waits there.
        """
        vm = self.create(spec, lasting=True, pool=pool, tell=tell)
        with ExitStack() as undo:
            undo.callback(self.destroy, vm)
            if timeout is not None:
                self.wait(vm, timeout, tell)
            if pool is not None:
                from qvirt.runtimes.service import Service  # here, because most commands speak with no guest

                tell("loading its engines")
                Service(self.endpoint(vm)).warm_up(WARM_UP_SECONDS)
            vm = self._put(vm, owner=None)
            undo.pop_all()
        return vm

    def wait(self, vm: VM, timeout: float, tell: Teller = _silently) -> None:
        """Until the guest answers. Raises VMFailed with the end of its log where it died or stays silent."""
        tell("waiting for its guest")
        with self.guest(vm, timeout):
            pass

    @contextmanager
    def guest(self, vm: VM, timeout: float) -> Iterator[Guest]:
        """The guest, once it answers; see ``wait``."""
        deadline = time.monotonic() + timeout
        pause = FIRST_PAUSE
        with Guest(self.endpoint(vm)) as guest:
            while not guest.healthy():
                found = self._runtime(vm).inspect(self._handle(vm))
                if found.state is not VMState.RUNNING:
                    raise self._failed(
                        vm, f"ended while starting{f' ({found.reason})' if found.reason else ''}"
                    )
                if time.monotonic() > deadline and not guest.healthy(LAST_ASK_SECONDS):
                    raise self._failed(vm, f"did not answer within {timeout:.0f} s")
                time.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            yield guest

    def destroy(self, vm: VM) -> None:
        """Stop it and remove all of it; one that is half made or gone already is no error."""
        with locked(self._paths.vm_lock(vm.id)):
            if vm.handle is not None:
                self._runtime(vm).destroy(vm.handle)
            self._store.remove_vm(vm.id)
        for folder in (self._paths.vm(vm.id), self._paths.snapshots(vm.id)):
            shutil.rmtree(folder, ignore_errors=True)
        self._paths.vm_lock(vm.id).unlink(missing_ok=True)

    @contextmanager
    def running(self, spec: VMSpec) -> Iterator[VM]:
        """A VM that lives as long as the block."""
        vm = self.create(spec)
        try:
            yield vm
        finally:
            self.destroy(vm)

    # Changing

    def start(self, vm: VM, timeout: float, tell: Teller) -> VM:
        """Start one that is stopped or has failed; what was removed behind our back is made again."""
        with self.changing(vm) as runtime:
            tell("starting it")
            vm = self._put(vm, handle=runtime.start(runtime.create(vm)), state=VMState.RUNNING, reason=None)
        self.wait(vm, timeout, tell)
        return vm

    def stop(self, vm: VM, timeout: float, tell: Teller = _silently) -> VM:
        with self.changing(vm) as runtime:
            tell("stopping it")
            runtime.stop(self._handle(vm), timeout)
            return self._put(vm, state=VMState.STOPPED, reason=None)

    def pause(self, vm: VM) -> VM:
        with self.changing(vm, VMState.RUNNING, VMState.PAUSED):
            self._able(vm, Power.PAUSE, Pausable).pause(self._handle(vm))
            return self._put(vm, state=VMState.PAUSED)

    def resume(self, vm: VM) -> VM:
        with self.changing(vm, VMState.RUNNING, VMState.PAUSED):
            self._able(vm, Power.PAUSE, Pausable).resume(self._handle(vm))
            return self._put(vm, state=VMState.RUNNING)

    def resize(self, vm: VM, memory: int, cpus: int) -> VM:
        """New limits at once where it runs; the guest is told, which one that is paused cannot be."""
        spec = replace(vm.spec, memory=memory, cpus=cpus)
        with self.changing(vm, VMState.RUNNING, VMState.STOPPED, VMState.FAILED):
            handle = self._able(vm, Power.RESIZE, Resizable).resize(self._handle(vm), spec)
            vm = self._put(vm, spec=spec, handle=handle)
        if vm.state is VMState.RUNNING:
            with Guest(self.endpoint(vm)) as guest:
                guest.resize(memory, cpus)
        return vm

    def remake(self, vm: VM, spec: VMSpec, timeout: float, tell: Teller) -> VM:
        """The same VM made anew as ``spec`` says."""
        with self.changing(vm) as runtime:
            tell("making the machine")
            runtime.destroy(self._handle(vm))
            vm = self._put(
                vm, spec=spec, state=VMState.STARTING, handle=runtime.create(replace(vm, spec=spec))
            )
            tell("starting it")
            vm = self._put(vm, handle=runtime.start(self._handle(vm)), state=VMState.RUNNING, reason=None)
        self.wait(vm, timeout, tell)
        return vm

    def rename(self, vm: VM, name: str) -> VM:
        return self._put(vm, spec=replace(vm.spec, name=name))

    # Looking

    def stored(self) -> list[VM]:
        """Those that are kept, as they were when last looked at: no engine is asked."""
        return [vm for vm in self._store.vms() if _is_somebody_s(vm)]

    def lasting(self) -> list[VM]:
        """Those that are kept, with their true states."""
        return [self._settled(vm) for vm in self.stored()]

    def all(self) -> list[VM]:
        """Every VM with its true state; what has ended is put right by its restart policy."""
        return [self._settled(vm) for vm in self._store.vms()]

    def find(self, name_or_id: str) -> VM:
        """Raises NotFound."""
        for vm in self._store.vms():
            if name_or_id in (vm.id, vm.spec.name):
                return self._settled(vm)
        known = ", ".join(vm.spec.name for vm in self.stored())
        raise NotFound(
            f"there is no VM {name_or_id!r}",
            hint=f"VMs are: {known}" if known else "`qvirt vm create NAME` makes one",
        )

    def with_image(self, spec: VMSpec) -> VMSpec:
        """With the id of the image that it is made of. Raises NotFound where there is none."""
        form = self._runtime_of(spec.runtime).capabilities().image
        if form is None:
            return spec
        from qvirt.images.catalogue import Catalogue

        return replace(spec, image=Catalogue(self._paths).find(spec.image, form, spec.gpu).id)

    def require_warmth(self, spec: VMSpec) -> None:
        """Raises Unsupported where its runtime keeps no VMs warm."""
        runtime = self._runtime_of(spec.runtime)
        lacking = runtime.capabilities().lacking.get(Power.WARM)
        if lacking is not None:
            raise Unsupported(f"VMs of the runtime {runtime.name} are not kept warm: {lacking}")

    def is_outdated(self, vm: VM) -> bool:
        """Whether its image is another than this qvirt would build."""
        if vm.spec.image is None:
            return False
        from qvirt.images.catalogue import Catalogue

        return Catalogue(self._paths).is_outdated(vm.spec.image)

    def place(self, vm: VM) -> tuple[Runtime, Handle]:
        """Where it lives, and what it is found by there."""
        return self._runtime(vm), self._handle(vm)

    def capabilities(self, vm: VM) -> Capabilities:
        return self._runtime(vm).capabilities()

    def logs(self, vm: VM) -> str:
        return self._runtime(vm).logs(self._handle(vm))

    def stats(self, vm: VM) -> Stats:
        return self._runtime(vm).stats(self._handle(vm))

    def execute(self, vm: VM, command: Sequence[str]) -> Executed:
        return self._able(vm, Power.EXEC, Executing).execute(self._handle(vm), command)

    def console(self, vm: VM) -> Path:
        return self._able(vm, Power.CONSOLE, HavingConsole).console(self._handle(vm))

    def inspect(self, vm: VM) -> Inspection:
        return Inspection(vm.state, reason=vm.reason) if vm.handle is None else self._look(vm, vm.handle)

    def endpoint(self, vm: VM) -> Endpoint:
        return self._runtime(vm).endpoint(self._handle(vm))

    def remove_orphans(self) -> list[VM]:
        """End the VMs whose qvirt process is gone."""
        orphans = [vm for vm in self._store.vms() if vm.owner is not None and not owner.alive(vm.owner)]
        removed = []
        for vm in orphans:
            with suppress(QvirtError):  # its engine does not answer: no reason to do nothing else
                self.destroy(vm)
                removed.append(vm)
        return removed

    def prune(self, runtimes: Iterable[Runtime]) -> list[str]:
        """Remove VMs past their time to live, and what an engine has of VMs that nobody knows."""
        removed = [vm.spec.name for vm in self.remove_orphans()]
        before = self._store.vms()
        kept = {vm.id for vm in self.all()} & {vm.id for vm in self._store.vms()}
        removed += [vm.spec.name for vm in before if vm.id not in kept]
        for runtime in runtimes:
            with suppress(Unavailable):
                for vm_id, handle in runtime.leftovers().items():
                    if vm_id not in kept:
                        runtime.destroy(handle)
                        removed.append(f"{runtime.name} VM {vm_id}")
        return removed

    @staticmethod
    def remove_templates(runtimes: Iterable[Runtime], everything: bool) -> list[str]:
        """Memory templates that no VM can be a copy of any more, or all; what was removed, in words."""
        able = (runtime for runtime in runtimes if isinstance(runtime, Templating))
        return [told for runtime in able for told in runtime.remove_templates(everything)]

    def explain(self, vm: VM, error: QvirtError) -> QvirtError:
        """A failure to reach the VM, with what the runtime knows of why."""
        found = self._look(vm, self._handle(vm))
        if found.state is VMState.RUNNING:
            return VMFailed(f"VM {vm.spec.name}: {error.message}", hint=error.hint)
        return self._failed(vm, f"ended{f': {found.reason}' if found.reason else ''}")

    # Inside

    def _look(self, vm: VM, handle: Handle) -> Inspection:
        return self._runtime(vm).inspect(handle)

    def _settled(self, vm: VM) -> VM:
        """The VM as it is now: one whose guest has ended is restarted where its policy says so."""
        if vm.handle is None:
            return vm
        found = self._look(vm, vm.handle)
        expected = vm.state in (VMState.RUNNING, VMState.PAUSED)
        if expected and vm.owner is None and found.state in (VMState.FAILED, VMState.STOPPED):
            return self._ended(vm, found)
        outdated = OUTDATED if self.is_outdated(vm) else None
        if expected:
            reason = found.reason or vm.reason
        else:  # what was seen when it ended says more than what is left of it
            reason = (vm.reason if found.state is vm.state else None) or found.reason
        return replace(vm, state=found.state, reason=reason or outdated)

    def _ended(self, vm: VM, found: Inspection) -> VM:
        if vm.spec.ttl is not None and time.time() > vm.created + vm.spec.ttl:
            self.destroy(vm)
            return replace(vm, state=VMState.STOPPED, reason="its time to live is over")
        with self.changing(vm) as runtime:
            found = self._look(vm, self._handle(vm))
            if found.state not in (VMState.FAILED, VMState.STOPPED):  # somebody else was faster
                return replace(vm, state=found.state)
            if not vm.spec.restarts_after(vm.restarts, failed=found.state is VMState.FAILED):
                tried = f"; restarted {vm.restarts} times before" if vm.restarts else ""
                return self._put(vm, state=found.state, reason=f"{found.reason}{tried}")
            return self._restarted(runtime, vm, found)

    def _restarted(self, runtime: Runtime, vm: VM, found: Inspection) -> VM:
        """Where that fails the next look tries again; an engine that is away does not count as a try."""
        restarts = vm.restarts + 1
        try:
            handle = runtime.start(runtime.create(vm))
        except QvirtError as error:
            if not isinstance(error, Unavailable):
                self._put(vm, restarts=restarts)
            return replace(vm, state=found.state, reason=f"{found.reason}; not restarted: {error.message}")
        reason = f"restarted: {found.reason}"
        return self._put(vm, handle=handle, state=VMState.RUNNING, reason=reason, restarts=restarts)

    @contextmanager
    def changing(self, vm: VM, *states: VMState) -> Iterator[Runtime]:
        """The VM to oneself; Conflict where it is in none of ``states``."""
        with locked(self._paths.vm_lock(vm.id)):
            runtime = self._runtime(vm)
            if states and self._look(vm, self._handle(vm)).state not in states:
                verb = "resume" if vm.state is VMState.PAUSED else "start"
                raise Conflict(
                    f"VM {vm.spec.name} is {vm.state.value}",
                    hint=f"{verb} it: `qvirt vm {verb} {vm.spec.name}`",
                )
            yield runtime

    def _able(self, vm: VM, power: Power, kind: type[P]) -> P:
        """The VM's runtime, which has ``power``. Raises Unsupported with the reason where it has not."""
        runtime = self._runtime(vm)
        if isinstance(runtime, kind):
            return runtime
        reason = runtime.capabilities().lacking.get(power, "it has no such power")
        raise Unsupported(f"no {power.value} with the runtime {runtime.name}: {reason}")

    def _put(self, vm: VM, **changes: object) -> VM:
        changed = replace(vm, **changes)  # type: ignore[arg-type]
        self._store.put_vm(changed)
        return changed

    def _failed(self, vm: VM, what: str) -> VMFailed:
        tail = "\n".join(self._runtime(vm).logs(self._handle(vm)).splitlines()[-LOG_TAIL_LINES:])
        return VMFailed(f"VM {vm.spec.name} {what}", hint=f"the end of its log:\n{tail}" if tail else None)

    def _runtime(self, vm: VM) -> Runtime:
        return self._runtime_of(vm.spec.runtime)

    @staticmethod
    def _handle(vm: VM) -> Handle:
        if vm.handle is None:
            raise VMFailed(f"VM {vm.spec.name} was not made to the end")
        return vm.handle


def _is_somebody_s(vm: VM) -> bool:
    """It stays, and does not wait in a pool."""
    return vm.owner is None and vm.pool is None

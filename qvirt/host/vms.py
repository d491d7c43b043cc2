"""The life of a VM: the only caller of runtimes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from secrets import token_hex

from qvirt.errors import NotFound, QvirtError, VMFailed
from qvirt.host import owner
from qvirt.host.guests import Guest
from qvirt.model.vm import VM, Endpoint, Handle, VMSpec, VMState
from qvirt.runtimes.contract import Runtime
from qvirt.store import Store

FIRST_PAUSE = 0.01
LONGEST_PAUSE = 0.1
LOG_TAIL_LINES = 15


class VMs:
    """``runtime_of`` gives the runtime of a name; a VM lives as long as the process that created it."""

    def __init__(self, store: Store, runtime_of: Callable[[str], Runtime]) -> None:
        self._store = store
        self._runtime_of = runtime_of

    def create(self, spec: VMSpec) -> VM:
        """Make and start a VM; its guest may need a moment more (``wait``). Nothing is left on failure."""
        runtime = self._runtime_of(spec.runtime)
        vm = VM(token_hex(6), spec, VMState.STARTING, time.time(), owner=owner.me())
        with ExitStack() as undo:
            self._store.put_vm(vm)
            undo.callback(self._store.remove_vm, vm.id)
            handle = runtime.create(vm)
            undo.callback(runtime.destroy, handle)
            vm = replace(vm, handle=handle)
            self._store.put_vm(vm)
            vm = replace(vm, handle=runtime.start(handle), state=VMState.RUNNING)
            self._store.put_vm(vm)
            undo.pop_all()
        return vm

    def wait(self, vm: VM, timeout: float) -> None:
        """Until the guest answers. Raises VMFailed with the end of its log where it died or stays silent."""
        deadline = time.monotonic() + timeout
        pause = FIRST_PAUSE
        with Guest(self.endpoint(vm)) as guest:
            while not guest.healthy():
                found = self._runtime(vm).inspect(self._handle(vm))
                if found.state is not VMState.RUNNING:
                    raise self._failed(
                        vm, f"ended while starting{f' ({found.reason})' if found.reason else ''}"
                    )
                if time.monotonic() > deadline:
                    raise self._failed(vm, f"did not answer within {timeout:.0f} s")
                time.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)

    def destroy(self, vm: VM) -> None:
        """Stop it and remove all of it; one that is half made or gone already is no error."""
        if vm.handle is not None:
            self._runtime(vm).destroy(vm.handle)
        self._store.remove_vm(vm.id)

    @contextmanager
    def running(self, spec: VMSpec) -> Iterator[VM]:
        """A VM that lives as long as the block."""
        vm = self.create(spec)
        try:
            yield vm
        finally:
            self.destroy(vm)

    def all(self) -> list[VM]:
        """Every VM with its true state."""
        return [self._inspected(vm) for vm in self._store.vms()]

    def find(self, name_or_id: str) -> VM:
        for vm in self._store.vms():
            if name_or_id in (vm.id, vm.spec.name):
                return self._inspected(vm)
        raise NotFound(f"there is no VM {name_or_id!r}")

    def endpoint(self, vm: VM) -> Endpoint:
        return self._runtime(vm).endpoint(self._handle(vm))

    def remove_orphans(self) -> list[VM]:
        """End the VMs whose qvirt process is gone."""
        orphans = [vm for vm in self._store.vms() if not owner.alive(vm.owner)]
        for vm in orphans:
            self.destroy(vm)
        return orphans

    def explain(self, vm: VM, error: QvirtError) -> QvirtError:
        """A failure to reach the VM, with what the runtime knows of why."""
        found = self._runtime(vm).inspect(self._handle(vm))
        if found.state is VMState.RUNNING:
            return error
        return self._failed(vm, f"ended{f': {found.reason}' if found.reason else ''}")

    def _inspected(self, vm: VM) -> VM:
        if vm.handle is None:
            return vm
        found = self._runtime(vm).inspect(vm.handle)
        return replace(vm, state=found.state, reason=found.reason)

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

"""Pools of VMs that are kept warm: up, with their engines loaded, for whoever wants one like them.

One that waits is in the store like every VM, with the key of its pool; nobody has a name for it, and its
guest has no end. Whoever takes it claims it first, so that it is never two people's, and is its owner
until all is done, so that nothing stays where that one is killed. What is lacking then is made in the
background, by one process at a time.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Container
from contextlib import ExitStack
from dataclasses import dataclass, replace
from secrets import token_hex

from qvirt.errors import Conflict, QvirtError, UsageError, VMFailed
from qvirt.host import owner
from qvirt.host.locks import locked
from qvirt.host.vms import Teller, VMs
from qvirt.model.vm import VM, VMSpec, VMState, WarmPool
from qvirt.model.wire import to_json
from qvirt.paths import Paths
from qvirt.runtimes.contract import KeepingWarm
from qvirt.runtimes.environment import guest_environment
from qvirt.store import Store
from qvirt.store.files import state_errors

NAME_PREFIX = "warm-"
START_SECONDS = 120.0
DEDICATE_SECONDS = 5.0

Suits = Callable[[VM], bool]
"""Whether one that waits, seen as what it would be, is wanted; asked before it is taken."""


def _anybody(waiting: VM) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Filled:
    """A pool, and how many of its VMs wait now."""

    pool: WarmPool
    ready: int


class WarmPools:
    def __init__(self, store: Store, paths: Paths, vms: VMs) -> None:
        self._store = store
        self._paths = paths
        self._vms = vms

    def keep(self, spec: VMSpec, count: int, tell: Teller) -> None:
        """From now on keep so many like ``spec``; returns when they are there, or for 0 gone.

        Raises UsageError, Unsupported or NotFound where such VMs cannot be kept warm.
        """
        if spec.environment or spec.volumes:
            raise UsageError("environment and volumes are given to a VM when it is made: it cannot wait")
        if count:
            self._vms.require_warmth(spec)
            self._vms.with_image(spec)
        self._store.put_pool(WarmPool(_kind(spec), count))
        self.fill(tell)

    def fill(self, tell: Teller, *, wait: bool = True) -> None:
        """Remove those that nobody can want any more, and make those that are lacking.

        One process at a time does this, and looks again when it is done: unless we ``wait`` for it, all is
        left to that one. Raises what was the first to fail, when all others are there.
        """
        failed: dict[str, QvirtError] = {}
        while self._surplus() or self._lacking(failed):
            with locked(self._paths.pools_lock, wait=wait) as ours:
                if not ours:
                    return
                for vm in self._surplus():
                    self._discard(vm)
                for key, spec in self._lacking(failed).items():
                    tell(f"warming up a {spec.runtime} VM")
                    try:
                        name = f"{NAME_PREFIX}{token_hex(4)}"
                        self._vms.make(replace(spec, name=name), START_SECONDS, pool=key)
                    except QvirtError as error:
                        failed[key] = error
        for first in failed.values():
            raise first

    def fill_later(self) -> None:
        """In a process of its own that nobody waits for."""
        if not self._lacking(()):
            return
        log = self._paths.pools_log
        with state_errors(log):
            descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            subprocess.Popen(
                [sys.executable, "-m", "qvirt.host.refill", str(self._paths.home)],
                stdin=subprocess.DEVNULL,
                stdout=descriptor,
                stderr=descriptor,
                cwd=self._paths.home,
                env=guest_environment(),
                start_new_session=True,
            )
        finally:
            os.close(descriptor)

    def take(self, spec: VMSpec, tell: Teller, *, lasting: bool = True, suits: Suits = _anybody) -> VM | None:
        """One that waits, as the VM that ``spec`` says; None where there is none like it that ``suits``.

        One that is not ``lasting`` goes with this process. Raises Conflict where there is a VM of that name.
        """
        if not spec.warm or spec.environment or spec.volumes or not self._store.pools():
            return None
        spec = self._vms.with_image(spec)
        key = _key(spec)
        for waiting in self.waiting():
            if waiting.pool == key and self._store.claim_warm_vm(waiting.id, owner.me()):
                if not self._suits(waiting, spec, suits):
                    return None
                tell("taking one that is warm")
                vm = self._dedicated(waiting, spec, lasting)
                if vm is not None:
                    return vm
        return None

    def discard(self, image: str) -> list[VM]:
        """Remove those that are made of an image; returns them."""
        removed = [vm for vm in self.waiting() if vm.spec.image == image]
        for vm in removed:
            self._discard(vm)
        return removed

    def empty(self) -> list[VM]:
        """Keep none warm any more; returns those that were removed."""
        for pool in self._store.pools():
            self._store.put_pool(replace(pool, count=0))
        with locked(self._paths.pools_lock):
            removed = self.waiting()
            for vm in removed:
                self._discard(vm)
        return removed

    def waiting(self) -> list[VM]:
        """As they were when last looked at: no engine is asked."""
        return [vm for vm in self._store.vms() if vm.pool is not None and vm.owner is None]

    def filled(self) -> list[Filled]:
        """Every pool as it is now."""
        waiting = Counter(vm.pool for vm in self.waiting())
        return [Filled(pool, waiting[self._key_of(pool)]) for pool in self._store.pools()]

    # Inside

    def _suits(self, waiting: VM, spec: VMSpec, suits: Suits) -> bool:
        """Whether it is what whoever has claimed it wants; it waits again where it is not."""
        wanted = False
        try:
            wanted = suits(replace(waiting, spec=spec))
        finally:
            if not wanted:
                self._store.put_vm(waiting)
        return wanted

    def _dedicated(self, waiting: VM, spec: VMSpec, lasting: bool) -> VM | None:
        """What we have claimed, as a VM of its own; None where it does not answer, and is removed then."""
        from qvirt.runtimes.service import Service  # here, because most commands speak with no guest

        vm = replace(waiting, spec=spec, created=time.time(), owner=owner.me(), pool=None)
        try:
            self._store.put_vm(vm)
        except Conflict:
            self._store.put_vm(waiting)
            raise
        try:
            with ExitStack() as undo:
                undo.callback(self._vms.destroy, vm)
                runtime, handle = self._vms.place(vm)
                assert isinstance(runtime, KeepingWarm)  # noqa: S101
                runtime.dedicate(handle, vm)
                Service(runtime.endpoint(handle)).dedicate(spec, vm.created, DEDICATE_SECONDS)
                if lasting:
                    vm = replace(vm, owner=None)
                    self._store.put_vm(vm)
                undo.pop_all()
        except VMFailed:
            return None
        return vm

    def _discard(self, vm: VM) -> None:
        """Unless somebody has just taken it."""
        if self._store.claim_warm_vm(vm.id, owner.me()):
            self._vms.destroy(vm)

    def _surplus(self) -> list[VM]:
        """Those that have died, are older than what would be made now, or are more than are wanted."""
        left = self._wanted()
        found = []
        for vm in self.waiting():
            spec, count = left.get(vm.pool or "", (vm.spec, 0))
            if count > 0 and self._vms.inspect(vm).state is VMState.RUNNING:
                left[vm.pool or ""] = spec, count - 1
            else:
                found.append(vm)
        return found

    def _lacking(self, but: Container[str]) -> dict[str, VMSpec]:
        """By key what there are fewer of than are wanted, but for some."""
        waiting = Counter(vm.pool for vm in self.waiting())
        wanted = self._wanted().items()
        return {key: spec for key, (spec, count) in wanted if waiting[key] < count and key not in but}

    def _wanted(self) -> dict[str, tuple[VMSpec, int]]:
        """By key what is to wait, and how many."""
        found: dict[str, tuple[VMSpec, int]] = {}
        for pool in self._store.pools():
            key = self._key_of(pool)
            if key is not None:
                found[key] = pool.spec, pool.count + found.get(key, (pool.spec, 0))[1]
        return found

    def _key_of(self, pool: WarmPool) -> str | None:
        """None where there is no image to make its VMs of."""
        try:
            return _key(self._vms.with_image(pool.spec))
        except QvirtError:
            return None


def _kind(spec: VMSpec) -> VMSpec:
    """What a machine is made with, without all that can be said of it later."""
    return VMSpec(
        "warm",
        spec.runtime,
        memory=spec.memory,
        cpus=spec.cpus,
        spares=spec.spares,
        gpu=spec.gpu,
        image=spec.image,
        disk=spec.disk,
        pids=spec.pids,
    )


def _key(spec: VMSpec) -> str:
    """Of the machine and of what runs in it: an image, or this very installation of qvirt."""
    parts = [to_json(_kind(spec)).decode()]
    if spec.image is None:
        from qvirt.images.definition import content_hash

        path = guest_environment().get("PYTHONPATH", "").split(os.pathsep)
        parts += [content_hash(), sys.executable, *sorted(set(path))]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()

"""The host's verbs: what the command line and the Python interface call."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from secrets import token_hex

from qvirt.errors import Conflict, DoesNotFit, NotFound, QvirtError, Stopped, Unavailable, VMFailed, from_info
from qvirt.host import loop, owner
from qvirt.host.checkpoints import Checkpoints
from qvirt.host.guests import Guest
from qvirt.host.snapshots import Snapshots
from qvirt.host.specs import Wanted
from qvirt.host.states import States
from qvirt.host.vms import Teller, VMs
from qvirt.host.warm import Suits, WarmPools
from qvirt.model.checkpoint import KeptCheckpoint
from qvirt.model.circuit import CircuitSource
from qvirt.model.job import Event, Job, JobState
from qvirt.model.order import Answer, Order, OrderKind, OrderStatus
from qvirt.model.result import Progress, Result
from qvirt.model.run import RunOptions
from qvirt.model.sweep import Sweep
from qvirt.model.vm import VM, VMSpec
from qvirt.model.wire import from_json, to_json
from qvirt.paths import Paths
from qvirt.runtimes.contract import Runtime
from qvirt.settings import Settings
from qvirt.store import Store, write_atomically

CANCEL_SECONDS = 5.0
AUTO = "auto"
DEFAULT_RUNTIME = "process"

TOO_SLOW = 2.0
"""A runtime in which simulations take this many times as long is not picked unasked."""


def _ignore(status: OrderStatus) -> None:
    pass


class Host:
    """Jobs and VMs of one state directory. Opening it puts right what a crash has left."""

    def __init__(self, paths: Paths, settings: Settings) -> None:
        from qvirt.runtimes.registry import runtime

        self.paths = paths
        self.settings = settings
        self._store = Store(paths)
        self.vms = VMs(self._store, paths, lambda name: runtime(name, paths))
        self.checkpoints = Checkpoints(self._store, paths)
        self.warm = WarmPools(self._store, paths, self.vms)
        self.states = States(self.vms)
        self.snapshots = Snapshots(self._store, paths, self.vms, self.checkpoints, self.states)
        self._reconcile()

    def close(self) -> None:
        self._store.close()

    # Circuits

    def submit(self, source: CircuitSource, options: RunOptions, sweep: Sweep | None = None) -> Job:
        """Keep a circuit as a queued job; it is on disk when this returns."""
        now = time.time()
        swept = None if sweep is None else sweep.sha256
        job = Job(token_hex(5), source.name, source.sha256, options, JobState.QUEUED, now, sweep=swept)
        self._store.add_job(job, source.data, owner.me(), sweep)
        return job

    def run(
        self,
        job: Job,
        source: CircuitSource,
        vm: VM,
        watch: loop.Watcher = _ignore,
        saving: loop.Saving | None = None,
    ) -> loop.Finished:
        """Run a queued job on a VM that is up. A failed circuit is a value, Ctrl-C an exception."""
        self.vms.wait(vm, self.settings.start_timeout)
        return loop.run_job(self._store, self.vms, vm, job, source, watch, saving)

    def resume(self, before: Job, time_limit: float | None = None) -> tuple[Job, CircuitSource]:
        """A new queued job that goes on from the checkpoint of one that has ended.

        It has the options and the seed of that one, with limits of its own. Raises Conflict with the
        reason where there is nothing to go on from.
        """
        head = self.checkpoints.to_resume(before).head
        source = CircuitSource(before.name, self.paths.circuit(before.circuit).read_bytes())
        options = replace(before.options, seed=head.options.seed, memory_limit=None, time_limit=time_limit)
        now = time.time()
        job = Job(token_hex(5), before.name, before.circuit, options, JobState.QUEUED, now, resumes=before.id)
        self._store.add_job(job, source.data, owner.me())
        self._store.note(before.id, now, f"resumed as job {job.id}")
        return job, source

    def checkpoint(self, job: Job) -> KeptCheckpoint:
        """Save a running job, whichever qvirt runs it, and keep that on the host; the job goes on."""
        if job.state is not JobState.RUNNING:
            raise Conflict(f"job {job.id} is {job.state.value}: only a running one can be saved")
        with Guest(self.vms.endpoint(self.vms.find(job.vm or ""))) as guest:
            return self.checkpoints.take(guest, job.id)

    def progress(self, job: Job) -> Progress | None:
        """How far a running job is; None where it does not run, or its VM does not say."""
        if job.state is not JobState.RUNNING:
            return None
        try:
            with Guest(self.vms.endpoint(self.vms.find(job.vm or ""))) as guest:
                return guest.status(job.id, wait=0).progress
        except QvirtError:
            return None

    def ask(self, order: Order, vm: VM, watch: loop.Watcher = _ignore) -> Answer:
        """Have a guest plan, draw or calibrate: work that is not a job. Raises what went wrong."""
        with self.vms.guest(vm, self.settings.start_timeout) as guest:
            status = loop.drive(guest, order, watch)
            if status.state is JobState.COMPLETED:
                return guest.answer(order.id)
            if status.error is not None:
                raise from_info(status.error)
            raise VMFailed(f"the VM ended the order as {status.state.value} without a reason")

    def calibrate(self, vm: VM, watch: loop.Watcher = _ignore) -> Path:
        """Measure the engines' cost constants in a VM and keep them for every later choice."""
        answer = self.ask(Order(token_hex(5), OrderKind.CALIBRATE), vm, watch)
        write_atomically(self.paths.calibration, [to_json(answer.calibration, indent=2)])
        return self.paths.calibration

    # Machines

    def make_vm(self, wanted: Wanted, template_name: str | None, timeout: float | None, tell: Teller) -> VM:
        """A VM that stays, one that is warm where one like it waits; see ``VMs.make``.

        Refused before anything is made where it cannot fit.
        """
        spec = self.specify(wanted, template_name, tell)
        vm = self.warm.take(spec, tell) or self.vms.make(spec, timeout, tell)
        self.warm.fill_later()
        return vm

    def specify(self, wanted: Wanted, template_name: str | None, tell: Teller) -> VMSpec:
        from qvirt.host.specs import specify
        from qvirt.host.templates import template
        from qvirt.probe import usable
        from qvirt.probe.gpu import gpus

        chosen = template(template_name) if template_name else None
        wants_gpu = wanted.gpu or (chosen is not None and chosen.gpu)
        spec = specify(wanted, chosen, usable(), DEFAULT_RUNTIME, wants_gpu and bool(gpus()[0]))
        if spec.runtime != AUTO:
            return spec
        name, reason = self._pick_runtime(spec)
        tell(f"runtime {name}: {reason}")
        return replace(spec, runtime=name)

    def _pick_runtime(self, spec: VMSpec) -> tuple[str, str]:
        """The best isolated one that is there and not slow; else this machine's own processes."""
        from qvirt.runtimes.registry import PREFERENCE, runtime

        reasons: list[str] = []
        for name in PREFERENCE:
            found = runtime(name, self.paths)
            available = found.probe()
            slow = found.capabilities().slowdown if available.available else 1.0
            if available.available and slow < TOO_SLOW:
                return name, "; ".join([*reasons, available.reason])
            reasons.append(f"not {name}: {available.reason}")
        raise Unavailable(f"no runtime is available: {'; '.join(reasons)}")

    def destroy_vm(self, vm: VM, *, force: bool) -> None:
        """Raises Conflict where a circuit runs in it and it is not to be ended by ``force``."""
        if not force and any(job.vm == vm.id for job, *_ in self._store.unfinished()):
            raise Conflict(f"VM {vm.spec.name} is running a circuit", hint="--force ends it too")
        self.vms.destroy(vm)

    def resize_vm(self, vm: VM, memory: int | None, cpus: int | None) -> VM:
        from qvirt.host.specs import Wanted, specify
        from qvirt.probe import usable

        wanted = Wanted(vm.spec.name, memory=memory or vm.spec.memory, cpus=cpus or vm.spec.cpus)
        spec = specify(wanted, None, usable(), vm.spec.runtime, gpus=False)
        return self.vms.resize(vm, spec.memory, spec.cpus)

    def prune(self, everything: bool = False) -> list[str]:
        """Names of what was removed: VMs that are kept warm, what ``VMs.prune`` says, memory templates of
        no use or all of them."""
        removed = [vm.spec.name for vm in self.warm.empty()]
        return removed + self.vms.prune(self._runtimes()) + self._remove_templates(everything)

    def forget_image(self, image_id: str, remove: Callable[[], None]) -> list[str]:
        """Remove what was made of an image for nobody yet, before and after ``remove`` removes the image."""
        removed = [vm.spec.name for vm in self.warm.discard(image_id)]
        remove()
        return removed + self._remove_templates(everything=False)

    def _remove_templates(self, everything: bool) -> list[str]:
        return self.vms.remove_templates(self._runtimes(), everything)

    def _runtimes(self) -> Iterator[Runtime]:
        from qvirt.runtimes.registry import RUNTIMES, runtime

        return (runtime(name, self.paths) for name in RUNTIMES)

    @contextmanager
    def machine(self, spec: VMSpec) -> Iterator[VM]:
        """A VM for the length of the block."""
        with self.vms.running(spec) as vm:
            yield vm

    @contextmanager
    def warm_machine(self, like: Iterable[VMSpec], suits: Suits, tell: Teller) -> Iterator[VM | None]:
        """The first that waits, is ``like`` one of these and suits, for the length of the block; or None."""
        taken = (self.warm.take(spec, tell, lasting=False, suits=suits) for spec in like)
        vm = next(filter(None, taken), None)
        try:
            self.warm.fill_later()
            yield vm
        finally:
            if vm is not None:
                self.vms.destroy(vm)

    def holds(self, vm: VM, batch: Sequence[CircuitSource], options: RunOptions, sweep: Sweep | None) -> bool:
        """Whether a VM that is up has room for the circuits; what else is wrong with one, its run tells."""
        asked = vm.spec.applied_to(options)
        orders = (Order(token_hex(5), OrderKind.PLAN, source, asked, sweep=sweep) for source in batch)
        return not any(self._is_too_small(vm, order) for order in orders)

    def _is_too_small(self, vm: VM, order: Order) -> bool:
        try:
            plan = self.ask(order, vm).plan
        except DoesNotFit:
            return True
        except QvirtError:
            return False
        return plan is not None and plan.refusal is not None and plan.refusal.code == DoesNotFit.code

    # Jobs

    def jobs(self, limit: int = 50) -> list[Job]:
        return self._store.jobs(limit)

    def job(self, prefix: str) -> Job:
        return self._store.job(prefix)

    def events(self, job: Job) -> list[Event]:
        return self._store.events(job.id)

    def result(self, job: Job) -> Result:
        """Raises what the job failed with, or Conflict where it has not ended."""
        if not job.state.ended:
            raise Conflict(f"job {job.id} is {job.state.value}", hint="wait until it has ended")
        path = self.paths.result(job.id)
        if job.state is JobState.COMPLETED and path.exists():
            return from_json(path.read_bytes(), Result)
        if job.error is not None:
            raise from_info(job.error)
        raise NotFound(f"job {job.id} ({job.state.value}) has no result")

    def cancel(self, job: Job) -> Job:
        """Stop a job, wherever it runs; one that has ended stays as it is (Conflict)."""
        if job.state.ended:
            raise Conflict(f"job {job.id} has ended already: {job.state.value}")
        if job.state is JobState.QUEUED and loop.cancel_queued(self._store, job):
            return self._store.job(job.id)
        self._ask_guest_to_cancel(job)
        return self._wait_for_end(job)

    def remove(self, job: Job) -> None:
        self._store.remove_job(job)

    def _ask_guest_to_cancel(self, job: Job) -> None:
        job = self._store.job(job.id)
        try:
            with Guest(self.vms.endpoint(self.vms.find(job.vm or ""))) as guest:
                guest.cancel(job.id)
        except (NotFound, VMFailed, Stopped):
            return

    def _wait_for_end(self, job: Job) -> Job:
        deadline = time.monotonic() + CANCEL_SECONDS
        while time.monotonic() < deadline:
            job = self._store.job(job.id)
            if job.state.ended:
                return job
            time.sleep(0.02)
        raise VMFailed(
            f"job {job.id} is still {job.state.value}", hint="try again, or stop the qvirt that runs it"
        )

    def _reconcile(self) -> None:
        """Jobs and VMs of qvirt processes that are gone: end them, and say so."""
        loop.end_lost(self._store)
        self.vms.remove_orphans()

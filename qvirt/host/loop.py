"""One job on one VM, from claim to record: the only place that changes a job's state."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from qvirt.errors import Cancelled, ErrorInfo, JobLost, NotFound, QvirtError, StateError, VMFailed
from qvirt.host import owner
from qvirt.host.checkpoints import Checkpoints, Keeper
from qvirt.host.guests import Guest
from qvirt.host.vms import VMs
from qvirt.model.circuit import CircuitSource
from qvirt.model.job import Job, JobState
from qvirt.model.order import Answer, Order, OrderStatus
from qvirt.model.result import Result
from qvirt.model.vm import VM
from qvirt.model.wire import to_json
from qvirt.store import Lease, Store, write_atomically

Watcher = Callable[[OrderStatus], None]


@dataclass(frozen=True, slots=True)
class Finished:
    """``unsaved`` is set where the run succeeded and its result could not be kept on disk."""

    job: Job
    result: Result | None
    error: ErrorInfo | None = None
    unsaved: StateError | None = None


def drive(guest: Guest, order: Order, watch: Watcher) -> OrderStatus:
    """Post an order and follow it to its end; an interruption (Ctrl-C) cancels it in the guest first."""
    if order.options.start is not None or order.options.keep is not None:
        guest.states()  # an older guest raises here; it would pass over options that it does not know
    try:
        status = guest.post(order)
        watch(status)
        while not status.state.ended:
            status = guest.status(order.id)
            watch(status)
    except BaseException as error:
        if not isinstance(error, VMFailed):
            _cancel_quietly(guest, order.id)
        raise
    return status


@dataclass(frozen=True, slots=True)
class Saving:
    """Save a running job every so many seconds; ``tell`` hears why that cannot be done."""

    every: float
    tell: Callable[[str], None]


def run_job(
    store: Store,
    vms: VMs,
    vm: VM,
    job: Job,
    source: CircuitSource,
    watch: Watcher,
    saving: Saving | None = None,
) -> Finished:
    """Run a queued job to its recorded end, from its checkpoint where it resumes another.

    Ctrl-C leaves it cancelled and goes on as KeyboardInterrupt.
    """
    lease = store.claim(job.id, vm.id, owner.me(), time.time())
    running = False
    keep: Keeper | None = None
    given = job.resumes is None

    def follow(status: OrderStatus) -> None:
        nonlocal given, running
        if not given and status.state is not JobState.QUEUED:
            given = True
            with suppress(NotFound):  # it has ended, and says why
                guest.give_checkpoint(job.id, store.paths.checkpoint(job.resumes or ""))
        if not running and status.state is JobState.RUNNING:
            running = store.change(job.id, JobState.RUNNING, time.time(), lease=lease)
        watch(status)
        if keep is not None:
            keep(status)

    try:
        with Guest(vms.endpoint(vm)) as guest:
            if saving is not None:
                keep = Keeper(Checkpoints(store, store.paths), guest, job.id, saving.every, saving.tell)
            resume = job.id if job.resumes is not None else None
            order = Order(job.id, source=source, options=job.options, resume=resume, sweep=store.sweep(job))
            status = drive(guest, order, follow)
            if not running:
                store.change(job.id, JobState.RUNNING, time.time(), lease=lease)
            return _record(store, guest, job, lease, status)
    except KeyboardInterrupt:
        error = Cancelled("stopped by the user").info()
        store.change(job.id, JobState.CANCELLED, time.time(), lease=lease, error=error, reason=error.message)
        raise
    except QvirtError as failure:
        error = (vms.explain(vm, failure) if isinstance(failure, VMFailed) else failure).info()
        error = _resumable(store, job, error)
        store.change(job.id, JobState.FAILED, time.time(), lease=lease, error=error, reason=error.message)
        return Finished(store.job(job.id), None, error)


def cancel_queued(store: Store, job: Job) -> bool:
    """End a job that nobody has claimed yet; False where somebody has."""
    reason = "cancelled before it ran"
    error = Cancelled(reason).info()
    return store.change(job.id, JobState.CANCELLED, time.time(), error=error, reason=reason)


def end_lost(store: Store) -> None:
    """Jobs whose qvirt process is gone are lost, and say so."""
    for job, its_owner, lease in store.unfinished():
        if not owner.alive(its_owner):
            error = JobLost("the qvirt that ran it ended without a word", hint="run the circuit again").info()
            error = _resumable(store, job, error)
            store.change(job.id, JobState.LOST, time.time(), lease=lease, error=error, reason=error.message)


def _resumable(store: Store, job: Job, error: ErrorInfo) -> ErrorInfo:
    """With the next step, where there is a checkpoint to go on from."""
    if not store.paths.checkpoint(job.id).exists():
        return error
    before = f"{error.hint}; " if error.hint else ""
    return replace(error, hint=f"{before}`qvirt run --resume {job.id}` goes on from its checkpoint")


def _record(store: Store, guest: Guest, job: Job, lease: Lease, status: OrderStatus) -> Finished:
    error = status.error and _resumable(store, job, status.error)
    result: Result | None = None
    unsaved: StateError | None = None
    if status.state is JobState.COMPLETED:
        answer = guest.answer(job.id)
        result = answer.result
        try:
            _save(store, guest, job.id, answer)
        except StateError as failure:
            unsaved = failure
            error = failure.info()
    state = JobState.FAILED if unsaved else status.state
    reason = error.message if error else None
    try:
        store.change(job.id, state, time.time(), lease=lease, error=error, reason=reason)
        job = store.job(job.id)
        if job.state is JobState.COMPLETED:
            Checkpoints(store, store.paths).remove(job.id)
    except StateError as failure:
        unsaved = unsaved or failure
    return Finished(job, result, error, unsaved)


def _save(store: Store, guest: Guest, job_id: str, answer: Answer) -> None:
    write_atomically(store.paths.result(job_id), [to_json(answer.result)])
    if answer.result is not None and answer.result.state is not None:
        with guest.state(job_id) as octets:
            write_atomically(store.paths.state(job_id), octets)


def _cancel_quietly(guest: Guest, order_id: str) -> None:
    """The guest may be gone or never have heard of the order; whoever stops it next ends it anyway."""
    try:
        guest.cancel(order_id)
    except QvirtError:
        return

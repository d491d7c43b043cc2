"""Snapshots: qvirt's own, which every runtime can be restored from, and beside them the engine's.

What runs in the VM is saved as a checkpoint of its job, where its engine can; a restored snapshot puts that
back, and the job is gone on with as after any other end.
"""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from qvirt.errors import Conflict, NotFound, QvirtError, UsageError, VMFailed
from qvirt.host.checkpoints import Checkpoints
from qvirt.host.guests import Guest
from qvirt.host.states import States
from qvirt.host.vms import Teller, VMs
from qvirt.model.job import Job, JobState
from qvirt.model.snapshot import NAME, SavedJob, Snapshot
from qvirt.model.vm import VM, VMState
from qvirt.model.wire import from_json, to_json
from qvirt.paths import Paths
from qvirt.runtimes.contract import Snapshotting
from qvirt.store import Store, write_atomically
from qvirt.store.files import state_errors
from qvirt.version import __version__


class Snapshots:
    def __init__(
        self, store: Store, paths: Paths, vms: VMs, checkpoints: Checkpoints, states: States
    ) -> None:
        self._store = store
        self._paths = paths
        self._vms = vms
        self._checkpoints = checkpoints
        self._states = states

    def take(self, vm: VM, name: str, tell: Teller) -> Snapshot:
        """Raises Conflict where the VM has one of that name. The engine saves what it can of a running VM,
        which alone can be asked for the states that it keeps; ``tell`` hears where it cannot."""
        if not NAME.fullmatch(name):
            raise UsageError(
                f"{name!r} is not a snapshot name", hint="use letters, digits, '.', '_' and '-', up to 63"
            )
        if self._file(vm, name).exists():
            raise Conflict(f"VM {vm.spec.name} has a snapshot {name!r} already", hint="choose another name")
        running = vm.state is VMState.RUNNING
        states = tuple(self._states.known(vm, tell)) if running else ()
        for state in states:
            self._states.write(vm, state.name, self._paths.snapshot_state(vm.id, name, state.name))
        jobs = self._save_jobs(vm, name) if running else ()
        runtime, handle = self._vms.place(vm)
        engine = isinstance(runtime, Snapshotting) and vm.state in (VMState.RUNNING, VMState.PAUSED)
        if engine and isinstance(runtime, Snapshotting):
            runtime.snapshot(handle, name)
        snapshot = Snapshot(name, vm.id, vm.spec, time.time(), __version__, engine, jobs, states)
        write_atomically(self._file(vm, name), [to_json(snapshot, indent=2)])
        return snapshot

    def of(self, vm: VM) -> list[Snapshot]:
        """The oldest first."""
        found = [_read(path) for path in self._paths.snapshots(vm.id).glob("*.json")]
        return sorted(found, key=lambda snapshot: snapshot.created)

    def find(self, vm: VM, name: str) -> Snapshot:
        path = self._file(vm, name)
        if not path.exists():
            known = ", ".join(snapshot.name for snapshot in self.of(vm))
            raise NotFound(
                f"VM {vm.spec.name} has no snapshot {name!r}",
                hint=f"its snapshots: {known}"
                if known
                else f"`qvirt vm snapshot create {vm.spec.name} NAME`",
            )
        return _read(path)

    def restore(self, vm: VM, name: str, timeout: float, tell: Teller) -> VM:
        """Bring a VM back to where it was: by its engine where that has saved it, else made anew."""
        snapshot = self.find(vm, name)
        runtime, handle = self._vms.place(vm)
        if snapshot.engine and isinstance(runtime, Snapshotting):
            with self._vms.changing(vm):
                tell("restoring its memory")
                runtime.restore(handle, name)
            self._vms.wait(vm, timeout, tell)
            return self._vms.find(vm.id)
        spec = replace(snapshot.spec, name=vm.spec.name)
        made = self._vms.remake(vm, spec, timeout, tell)
        self._give(made, snapshot)
        return made

    def remove(self, vm: VM, name: str) -> None:
        snapshot = self.find(vm, name)
        runtime, handle = self._vms.place(vm)
        if snapshot.engine and isinstance(runtime, Snapshotting):
            runtime.remove_snapshot(handle, name)
        for job in snapshot.jobs:
            self._checkpoint(snapshot, job.id).unlink(missing_ok=True)
        self._file(vm, name).unlink()
        shutil.rmtree(self._paths.snapshot_states(vm.id, name), ignore_errors=True)

    def put_back(self, snapshot: Snapshot) -> list[Job]:
        """The jobs that were running then and have not completed since, each with its checkpoint of then."""
        found = []
        for saved in snapshot.jobs:
            kept = self._checkpoint(snapshot, saved.id)
            with suppress(NotFound):
                job = self._store.job(saved.id)
                if job.state is not JobState.COMPLETED and kept.exists():
                    _link(kept, self._paths.checkpoint(job.id))
                    found.append(job)
        return found

    def made_from(
        self, snapshot: Snapshot, name: str, runtime: str | None, timeout: float, tell: Teller
    ) -> VM:
        """A new VM like the one that the snapshot was taken of, on any runtime."""
        spec = replace(snapshot.spec, name=name, runtime=runtime or snapshot.spec.runtime)
        if spec.runtime != snapshot.spec.runtime:
            spec = replace(spec, image=None)
        made = self._vms.make(spec, timeout, tell)
        self._give(made, snapshot)
        return made

    def _give(self, vm: VM, snapshot: Snapshot) -> None:
        """What the VM of the snapshot kept, to one that was made of it."""
        for state in snapshot.states:
            path = self._paths.snapshot_state(snapshot.vm, snapshot.name, state.name)
            self._states.read(vm, state.name, path, overwrite=True, like=state)

    def _save_jobs(self, vm: VM, name: str) -> tuple[SavedJob, ...]:
        """What runs in the VM, each where it stands; it goes on running."""
        jobs = (job for job, _, _ in self._store.unfinished() if job.vm == vm.id)
        saved = []
        with Guest(self._vms.endpoint(vm)) as guest:
            for job in jobs:
                if job.state is not JobState.RUNNING:
                    continue
                try:
                    kept = self._checkpoints.take(guest, job.id)
                except VMFailed:
                    raise
                except QvirtError as error:
                    saved.append(SavedJob(job.id, 0, error.message))
                else:
                    _link(self._paths.checkpoint(job.id), self._paths.snapshot_job(vm.id, name, job.id))
                    saved.append(SavedJob(job.id, kept.octets))
        return tuple(saved)

    def _checkpoint(self, snapshot: Snapshot, job_id: str) -> Path:
        return self._paths.snapshot_job(snapshot.vm, snapshot.name, job_id)

    def _file(self, vm: VM, name: str) -> Path:
        return self._paths.snapshots(vm.id) / f"{name}.json"


def _link(source: Path, target: Path) -> None:
    """The same file under another name: a checkpoint is never changed, only replaced."""
    with state_errors(target):
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        target.hardlink_to(source)


def load(path: Path) -> Snapshot:
    """What ``qvirt vm export`` wrote, in which there are no states. Raises UsageError for anything else."""
    try:
        return replace(_read(path), states=())
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None


def _read(path: Path) -> Snapshot:
    try:
        return from_json(path.read_bytes(), Snapshot)
    except QvirtError as error:
        raise UsageError(error.message, file=str(path), hint="`qvirt vm export` writes such files") from None

"""Jobs, their events and the VMs, in one SQLite file shared by every qvirt process of a user."""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qvirt.errors import Conflict, ErrorInfo, NotFound, StateError
from qvirt.model.job import TRANSITIONS, Event, Job, JobState
from qvirt.model.run import RunOptions
from qvirt.model.sweep import Sweep
from qvirt.model.vm import VM, Handle, VMSpec, VMState, WarmPool
from qvirt.model.wire import from_json, to_json
from qvirt.paths import Paths
from qvirt.store import statements as sql
from qvirt.store.files import free_bytes, state_errors, write_atomically

BUSY_TIMEOUT = 20.0
BUSY_PAUSE = 0.01
SMALLEST_DISK = 1 << 20


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to change a claimed job: whoever holds no valid token changes nothing."""

    job: str
    token: str


class Store:
    """Safe to use from several processes at once; one Store is for one thread."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        with state_errors(paths.home):
            paths.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._sqlite_errors():
            self._db = sqlite3.connect(paths.database, timeout=BUSY_TIMEOUT, isolation_level=None)
            self._use_write_ahead_log()
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute("PRAGMA foreign_keys = ON")
        self._migrate()

    def close(self) -> None:
        self._db.close()

    # Jobs

    def add_job(self, job: Job, source: bytes, owner: str, sweep: Sweep | None = None) -> None:
        """Keep the circuit and its parameter sets, then the job with its first event; the job exists once
        this returns."""
        circuit = self.paths.circuit(job.circuit)
        if not circuit.exists():
            write_atomically(circuit, [source])
        if sweep is not None:
            write_atomically(self.paths.sweep(sweep.sha256), [to_json(sweep)])
        options = to_json(job.options).decode()
        begun = (job.id, job.name, job.circuit, options, job.state.value, job.created)
        row = (*begun, job.resumes, job.sweep, owner)
        with self._transaction() as db:
            db.execute(sql.ADD_JOB, row)
            db.execute(sql.ADD_EVENT, (job.id, job.created, None, job.state.value, None))

    def job(self, prefix: str) -> Job:
        """The job whose id begins with ``prefix``. Raises NotFound, or Conflict where several do."""
        rows = self._rows(sql.FIND_JOBS, (prefix,)) if prefix else []
        if not rows:
            raise NotFound(f"there is no job {prefix!r}", hint="see `qvirt job list`")
        if len(rows) > 1:
            raise Conflict(f"more than one job begins with {prefix!r}", hint="give more of the id")
        return _job(rows[0])

    def sweep(self, job: Job) -> Sweep | None:
        """The parameter sets of a job; None for one that is no sweep."""
        if job.sweep is None:
            return None
        return from_json(self.paths.sweep(job.sweep).read_bytes(), Sweep)

    def jobs(self, limit: int) -> list[Job]:
        """The newest first."""
        return [_job(row) for row in self._rows(sql.LIST_JOBS, (limit,))]

    def unfinished(self) -> list[tuple[Job, str, Lease | None]]:
        """Jobs that have not ended, each with its owner and the lease that it runs under."""
        return [
            (_job(row[:-2]), row[-2], Lease(row[0], row[-1]) if row[-1] else None)
            for row in self._rows(sql.LIST_UNFINISHED)
        ]

    def claim(self, job: str, vm: str, owner: str, now: float) -> Lease:
        """Take a queued job to run it. Raises Conflict where it is not queued any more."""
        token = secrets.token_hex(8)
        with self._transaction() as db:
            changed = db.execute(
                sql.CLAIM_JOB, (JobState.STARTING.value, owner, token, now, vm, job)
            ).rowcount
            if not changed:
                raise Conflict(
                    f"job {job} is not waiting to run any more", hint=f"see `qvirt job show {job}`"
                )
            db.execute(
                sql.ADD_EVENT, (job, now, JobState.QUEUED.value, JobState.STARTING.value, f"on VM {vm}")
            )
        return Lease(job, token)

    def change(
        self,
        job: str,
        after: JobState,
        now: float,
        *,
        lease: Lease | None = None,
        error: ErrorInfo | None = None,
        reason: str | None = None,
    ) -> bool:
        """Move a job along one allowed transition and write the event.

        ``lease`` is the one it was claimed with, None for a job that nobody has claimed. False, and
        nothing changed, where the transition is not allowed (it has ended) or the lease is another.
        """
        with self._transaction() as db:
            row = db.execute(sql.STATE_OF_JOB, (job,)).fetchone()
            if row is None:
                raise NotFound(f"there is no job {job!r}")
            before = JobState(row[0])
            if after not in TRANSITIONS[before]:
                return False
            ended = now if after.ended else None
            wire_error = to_json(error).decode() if error else None
            token = lease.token if lease else None
            changed = db.execute(
                sql.CHANGE_JOB, (after.value, ended, wire_error, job, before.value, token)
            ).rowcount
            if changed:
                db.execute(sql.ADD_EVENT, (job, now, before.value, after.value, reason))
            return bool(changed)

    def note(self, job: str, now: float, what: str) -> None:
        """Write an event that leaves the job in its state."""
        with self._transaction() as db:
            db.execute(sql.NOTE_JOB, (now, what, job))

    def events(self, job: str) -> list[Event]:
        return [
            Event(row[0], row[1], JobState(row[2]) if row[2] else None, JobState(row[3]), row[4])
            for row in self._rows(sql.LIST_EVENTS, (job,))
        ]

    def remove_job(self, job: Job) -> None:
        """Forget an ended job: its row, events and result, and its circuit where no other job has it."""
        if not job.state.ended:
            raise Conflict(
                f"job {job.id} is {job.state.value}", hint=f"stop it first: `qvirt job cancel {job.id}`"
            )
        with self._transaction() as db:
            db.execute(sql.REMOVE_JOB, (job.id,))
            shared = db.execute(sql.CIRCUIT_IN_USE, (job.circuit,)).fetchone()
            swept = job.sweep and not db.execute(sql.SWEEP_IN_USE, (job.sweep,)).fetchone()
        gone = [self.paths.result(job.id), self.paths.state(job.id), self.paths.checkpoint(job.id)]
        gone += [] if shared else [self.paths.circuit(job.circuit)]
        gone += [self.paths.sweep(job.sweep)] if job.sweep and swept else []
        for path in gone:
            with state_errors(path):
                path.unlink(missing_ok=True)

    # Virtual machines

    def put_vm(self, vm: VM) -> None:
        """Add or update; raises Conflict where another VM has the name."""
        handle = to_json(vm.handle).decode() if vm.handle else None
        row = (vm.id, vm.spec.name, to_json(vm.spec).decode(), vm.state.value, vm.created, handle, vm.owner)
        try:
            with self._transaction() as db:
                db.execute(sql.PUT_VM, (*row, vm.reason, vm.restarts, vm.pool))
        except sqlite3.IntegrityError:
            raise Conflict(
                f"there is a VM named {vm.spec.name!r} already", hint="choose another name"
            ) from None

    def vms(self) -> list[VM]:
        return [_vm(row) for row in self._rows(sql.LIST_VMS)]

    def remove_vm(self, vm_id: str) -> None:
        with self._transaction() as db:
            db.execute(sql.REMOVE_VM, (vm_id,))

    # Those that are kept warm

    def claim_warm_vm(self, vm_id: str, owner: str) -> bool:
        """Take one that waits in a pool; False where it waits no more, or somebody else was faster."""
        with self._transaction() as db:
            return bool(db.execute(sql.CLAIM_WARM_VM, (owner, vm_id)).rowcount)

    def put_pool(self, pool: WarmPool) -> None:
        """There is one for each spec; where its count is 0 it is forgotten."""
        spec = to_json(pool.spec).decode()
        with self._transaction() as db:
            if pool.count:
                db.execute(sql.PUT_POOL, (spec, pool.count))
            else:
                db.execute(sql.REMOVE_POOL, (spec,))

    def pools(self) -> list[WarmPool]:
        rows = self._rows(sql.LIST_POOLS)
        return [WarmPool(from_json(spec.encode(), VMSpec), count) for spec, count in rows]

    # SQLite

    def _use_write_ahead_log(self) -> None:
        """SQLite does not wait by itself where several open a new file at once: each has read what it would
        change, and is refused."""
        deadline = time.monotonic() + BUSY_TIMEOUT
        while True:
            try:
                self._db.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(BUSY_PAUSE)

    def _migrate(self) -> None:
        version = self._rows("PRAGMA user_version")[0][0]
        if version == sql.VERSION:
            return
        if version > sql.VERSION:
            raise StateError(
                f"{self.paths.database} was written by a newer qvirt",
                hint="update qvirt, or set QVIRT_HOME to another folder",
            )
        with self._transaction() as db:
            version = db.execute("PRAGMA user_version").fetchone()[0]
            for statement in ";".join(sql.MIGRATIONS[version:]).split(";"):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {sql.VERSION}")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._sqlite_errors():
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _rows(self, statement: str, values: tuple[Any, ...] = ()) -> list[Any]:
        with self._sqlite_errors():
            return self._db.execute(statement, values).fetchall()

    @contextmanager
    def _sqlite_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.IntegrityError:
            raise
        except sqlite3.Error as error:
            raise StateError(
                f"{self.paths.database}: {error}", hint=_hint(error, self.paths.database)
            ) from error


def _hint(error: sqlite3.Error, database: Path) -> str:
    # Where SQLite cannot even make its index of the log, it names no reason.
    if "full" in str(error) or ("I/O" in str(error) and free_bytes(database.parent) < SMALLEST_DISK):
        return "the disk is full: free some space, or set QVIRT_HOME to a folder on another disk"
    if "not a database" in str(error) or "malformed" in str(error):
        return f"move {database} away and run the command again: a new one is made"
    return "set QVIRT_HOME to a folder that can be written"


def _job(row: tuple[Any, ...]) -> Job:
    job_id, name, circuit, options, state, created, started, ended, vm, error, resumes, sweep = row
    return Job(
        job_id,
        name,
        circuit,
        from_json(options.encode(), RunOptions),
        JobState(state),
        created,
        started,
        ended,
        vm,
        from_json(error.encode(), ErrorInfo) if error else None,
        resumes,
        sweep,
    )


def _vm(row: tuple[Any, ...]) -> VM:
    vm_id, _, spec, state, created, handle, owner, reason, restarts, pool = row
    return VM(
        vm_id,
        from_json(spec.encode(), VMSpec),
        VMState(state),
        created,
        from_json(handle.encode(), Handle) if handle else None,
        owner,
        reason,
        restarts,
        pool,
    )

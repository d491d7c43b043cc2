from __future__ import annotations

import errno
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path

import pytest

from qvirt.errors import Conflict, ErrorInfo, NotFound, StateError
from qvirt.model.circuit import CircuitSource
from qvirt.model.job import TRANSITIONS, Job, JobState
from qvirt.model.run import RunOptions
from qvirt.model.vm import VM, Handle, VMSpec, VMState, WarmPool
from qvirt.model.wire import to_json
from qvirt.paths import Paths
from qvirt.store import Lease, Store, files, statements, write_atomically

SOURCE = CircuitSource("a.qasm", b"OPENQASM 2.0;")


def job(job_id: str = "abc123") -> Job:
    return Job(job_id, SOURCE.name, SOURCE.sha256, RunOptions(seed=5), JobState.QUEUED, 100.0)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(Paths(tmp_path / "home"))


def test_a_job_is_kept_with_its_circuit_and_first_event(store: Store) -> None:
    store.add_job(job(), SOURCE.data, "me")
    again = Store(store.paths)
    assert again.job("abc") == job()
    assert [(e.before, e.after) for e in again.events("abc123")] == [(None, JobState.QUEUED)]
    assert store.paths.circuit(SOURCE.sha256).read_bytes() == SOURCE.data


def test_a_note_leaves_a_job_in_its_state(store: Store) -> None:
    store.add_job(replace(job(), resumes="old"), SOURCE.data, "me")
    store.note("abc123", 7.0, "saved")
    assert store.job("abc").resumes == "old"
    first, note = store.events("abc123")
    assert (note.time, note.before, note.after, note.reason) == (7.0, first.after, first.after, "saved")


def test_a_prefix_must_name_one_job(store: Store) -> None:
    store.add_job(job("aa1"), SOURCE.data, "me")
    store.add_job(job("aa2"), SOURCE.data, "me")
    with pytest.raises(Conflict, match="more than one"):
        store.job("aa")
    for name in ("b", "", "%", "_"):
        with pytest.raises(NotFound):
            store.job(name)


def test_the_whole_way_of_a_job(store: Store) -> None:
    store.add_job(job(), SOURCE.data, "me")
    lease = store.claim("abc123", "vm1", "me", 101.0)
    assert store.change("abc123", JobState.RUNNING, 102.0, lease=lease)
    assert store.change("abc123", JobState.COMPLETED, 103.0, lease=lease)
    done = store.job("abc123")
    assert (done.state, done.started, done.ended, done.vm) == (JobState.COMPLETED, 101.0, 103.0, "vm1")
    assert [event.after for event in store.events("abc123")] == [
        JobState.QUEUED,
        JobState.STARTING,
        JobState.RUNNING,
        JobState.COMPLETED,
    ]


def test_only_the_holder_of_the_lease_changes_a_claimed_job(store: Store) -> None:
    store.add_job(job(), SOURCE.data, "me")
    lease = store.claim("abc123", "vm1", "me", 101.0)
    assert not store.change("abc123", JobState.FAILED, 102.0)
    assert not store.change("abc123", JobState.FAILED, 102.0, lease=Lease("abc123", "forged"))
    assert store.job("abc123").state is JobState.STARTING
    with pytest.raises(Conflict):
        store.claim("abc123", "vm2", "other", 103.0)
    assert store.change("abc123", JobState.FAILED, 104.0, lease=lease, error=ErrorInfo("x", "broke"))
    assert store.job("abc123").error == ErrorInfo("x", "broke")


@pytest.mark.parametrize("end", [state for state in JobState if state.ended])
def test_what_has_ended_stays_so(store: Store, end: JobState) -> None:
    store.add_job(job(), SOURCE.data, "me")
    lease = store.claim("abc123", "vm1", "me", 1.0)
    store.change("abc123", JobState.RUNNING, 2.0, lease=lease)
    assert store.change("abc123", end, 3.0, lease=lease)
    for after in JobState:
        assert not store.change("abc123", after, 4.0, lease=lease)
    assert store.job("abc123").ended == 3.0


def test_every_state_can_be_reached_and_left_only_by_the_table() -> None:
    reached = set().union(*TRANSITIONS.values()) | {JobState.QUEUED}
    assert reached == set(JobState)


def test_removal_keeps_a_circuit_that_another_job_has(store: Store) -> None:
    for name in ("aa1", "bb2"):
        store.add_job(job(name), SOURCE.data, "me")
        with pytest.raises(Conflict, match="is queued"):
            store.remove_job(store.job(name))
        store.change(name, JobState.CANCELLED, 2.0)
    write_atomically(store.paths.result("aa1"), [b"{}"])
    store.remove_job(store.job("aa1"))
    assert not store.paths.result("aa1").exists()
    assert store.paths.circuit(SOURCE.sha256).exists()
    store.remove_job(store.job("bb2"))
    assert not store.paths.circuit(SOURCE.sha256).exists()
    assert store.jobs(10) == []


def test_two_claims_at_once_give_one_lease(store: Store) -> None:
    for round_number in range(10):
        name = f"job{round_number}"
        store.add_job(job(name), SOURCE.data, "me")
        leases: list[Lease] = []

        def claim(name: str = name, leases: list[Lease] = leases) -> None:
            own = Store(store.paths)
            try:
                leases.append(own.claim(name, "vm", "me", 1.0))
            except Conflict:
                pass
            finally:
                own.close()

        threads = [threading.Thread(target=claim) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(leases) == 1


def test_one_that_is_new_is_opened_by_two_at_once(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    other = sqlite3.connect(paths.database, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with ThreadPoolExecutor(1) as pool:
        opened = pool.submit(lambda: Store(paths).close())
        wait([opened], timeout=0.5)
        other.execute("ROLLBACK")
        opened.result()
    assert Store(paths).vms() == []


def test_a_writer_killed_in_the_middle_leaves_no_lock(store: Store) -> None:
    code = (
        "import os, sqlite3, sys\n"
        "db = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "db.execute('BEGIN IMMEDIATE')\n"
        "db.execute(\"UPDATE jobs SET state = 'failed'\")\n"
        "os.kill(os.getpid(), 9)\n"
    )
    store.add_job(job(), SOURCE.data, "me")
    assert subprocess.run([sys.executable, "-c", code, str(store.paths.database)]).returncode == -9
    assert store.claim("abc123", "vm", "me", 1.0).job == "abc123"


def test_what_cannot_be_committed_is_in_nobody_s_way(store: Store) -> None:
    with pytest.raises(sqlite3.IntegrityError), store._transaction() as db:
        db.execute("PRAGMA defer_foreign_keys = ON")
        db.execute(statements.ADD_EVENT, ("nobody", 1.0, None, "queued", None))
    store.add_job(job(), SOURCE.data, "me")
    assert Store(store.paths).job("abc") == job()


def test_vms_are_kept_and_names_are_unique(store: Store) -> None:
    vm = VM("v1", VMSpec("lab"), VMState.STARTING, 1.0, owner="1:2")
    store.put_vm(vm)
    running = VM("v1", VMSpec("lab"), VMState.RUNNING, 1.0, Handle("process", 1, "v1", {"pid": 5}), "1:2")
    store.put_vm(running)
    assert store.vms() == [running]
    with pytest.raises(Conflict, match="lab"):
        store.put_vm(VM("v2", VMSpec("lab"), VMState.STARTING, 1.0))
    store.remove_vm("v1")
    assert store.vms() == []


def test_a_warm_vm_is_claimed_once_and_only_where_it_waits(store: Store) -> None:
    vms = [
        VM("waits", VMSpec("a"), VMState.RUNNING, 1.0, pool="key"),
        VM("somebody-s", VMSpec("b"), VMState.RUNNING, 2.0),
        VM("in-the-making", VMSpec("c"), VMState.STARTING, 3.0, owner="1:2", pool="key"),
    ]
    for vm in vms:
        store.put_vm(vm)
    other = Store(store.paths)
    claimed = [(vm.id, who.claim_warm_vm(vm.id, "me")) for vm in vms for who in (store, other)]
    assert [vm_id for vm_id, won in claimed if won] == ["waits"]
    assert {vm.id: vm.owner for vm in store.vms()} == {
        "waits": "me",
        "somebody-s": None,
        "in-the-making": "1:2",
    }


def test_a_pool_is_kept_until_it_is_to_have_none(store: Store) -> None:
    one, two = WarmPool(VMSpec("warm"), 2), WarmPool(VMSpec("warm", cpus=2), 1)
    for pool in (one, two, replace(one, count=3)):
        store.put_pool(pool)
    assert Store(store.paths).pools() == [replace(one, count=3), two]
    store.put_pool(replace(one, count=0))
    assert store.pools() == [two]


def test_a_database_of_an_older_qvirt_goes_on(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "qvirt.db") as database:
        database.executescript(statements.MIGRATIONS[0])
        database.execute("PRAGMA user_version = 1")
        spec = to_json(VMSpec("old")).decode()
        database.execute("INSERT INTO vms VALUES ('v1', 'old', ?, 'running', 1.0, NULL, NULL, NULL)", (spec,))
    store = Store(Paths(tmp_path))
    assert store.vms() == [VM("v1", VMSpec("old"), VMState.RUNNING, 1.0)]
    assert store.pools() == []


def test_a_database_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "qvirt.db").write_bytes(b"not a database at all" * 100)
    with pytest.raises(StateError) as caught:
        Store(Paths(tmp_path))
    assert "qvirt.db" in str(caught.value)
    assert caught.value.hint is not None
    assert "move" in caught.value.hint


def test_a_database_of_a_newer_qvirt_is_left_alone(store: Store) -> None:
    with sqlite3.connect(store.paths.database) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(StateError, match="newer qvirt"):
        Store(store.paths)


def test_what_is_much_is_written_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "SYNC_AFTER", 100)
    chunks = [bytes([n]) * 70 for n in range(50)]
    assert write_atomically(tmp_path / "file", chunks) == 3500
    assert (tmp_path / "file").read_bytes() == b"".join(chunks)
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    def chunks() -> object:
        yield b"half"
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StateError) as caught:
        write_atomically(tmp_path / "file", chunks())  # type: ignore[arg-type]
    assert "QVIRT_HOME" in (caught.value.hint or "")
    assert list(tmp_path.iterdir()) == []

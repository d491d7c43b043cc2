"""Every SQL statement, by name."""

from __future__ import annotations

_FIRST = """
CREATE TABLE jobs (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    circuit TEXT NOT NULL,
    options TEXT NOT NULL,
    state TEXT NOT NULL,
    created REAL NOT NULL,
    started REAL,
    ended REAL,
    vm TEXT,
    error TEXT,
    owner TEXT,
    token TEXT
) STRICT;
CREATE INDEX jobs_by_creation ON jobs (created DESC);
CREATE INDEX jobs_not_ended ON jobs (state) WHERE ended IS NULL;
CREATE TABLE events (
    number INTEGER PRIMARY KEY,
    job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    time REAL NOT NULL,
    before TEXT,
    after TEXT NOT NULL,
    reason TEXT
) STRICT;
CREATE INDEX events_by_job ON events (job);
CREATE TABLE vms (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    spec TEXT NOT NULL,
    state TEXT NOT NULL,
    created REAL NOT NULL,
    handle TEXT,
    owner TEXT,
    reason TEXT
) STRICT
"""

_POOLS = """
ALTER TABLE vms ADD COLUMN pool TEXT;
CREATE TABLE pools (spec TEXT PRIMARY KEY, count INTEGER NOT NULL) STRICT
"""

_RESUMES = "ALTER TABLE jobs ADD COLUMN resumes TEXT"

_SWEEP = "ALTER TABLE jobs ADD COLUMN sweep TEXT"

_RESTARTS = "ALTER TABLE vms ADD COLUMN restarts INTEGER NOT NULL DEFAULT 0"

MIGRATIONS = (_FIRST, _RESTARTS, _POOLS, _RESUMES, _SWEEP)
"""Each brings a database from the version of its place in the row to the next."""

VERSION = len(MIGRATIONS)

_JOB = "id, name, circuit, options, state, created, started, ended, vm, error, resumes, sweep"
_VM = "id, name, spec, state, created, handle, owner, reason, restarts, pool"

# A job is written once, with its first event, in one transaction.
ADD_JOB = f"INSERT INTO jobs ({_JOB}, owner) VALUES (?, ?, ?, ?, ?, ?, NULL, NULL, NULL, NULL, ?, ?, ?)"
ADD_EVENT = "INSERT INTO events (job, time, before, after, reason) VALUES (?, ?, ?, ?, ?)"
# Jobs are named by a prefix of their id; two rows mean that it is ambiguous.
FIND_JOBS = f"SELECT {_JOB} FROM jobs WHERE substr(id, 1, length(?1)) = ?1 LIMIT 2"
LIST_JOBS = f"SELECT {_JOB} FROM jobs ORDER BY created DESC, id LIMIT ?"
# Not ended, whose they are and under which lease: what a crash may have left.
LIST_UNFINISHED = f"SELECT {_JOB}, owner, token FROM jobs WHERE ended IS NULL"
# Only a queued job can be claimed; the token then guards every later change.
CLAIM_JOB = (
    "UPDATE jobs SET state = ?, owner = ?, token = ?, started = ?, vm = ? WHERE id = ? AND state = 'queued'"
)
# The guard: the token that the job was claimed with (none while it is queued), and still in the state that
# the change starts from.
CHANGE_JOB = "UPDATE jobs SET state = ?, ended = ?, error = ? WHERE id = ? AND state = ? AND token IS ?"
# What has happened to a job that stays in its state.
NOTE_JOB = (
    "INSERT INTO events (job, time, before, after, reason) "
    "SELECT id, ?, state, state, ? FROM jobs WHERE id = ?"
)
STATE_OF_JOB = "SELECT state FROM jobs WHERE id = ?"
LIST_EVENTS = "SELECT job, time, before, after, reason FROM events WHERE job = ? ORDER BY number"
REMOVE_JOB = "DELETE FROM jobs WHERE id = ?"
CIRCUIT_IN_USE = "SELECT 1 FROM jobs WHERE circuit = ? LIMIT 1"
SWEEP_IN_USE = "SELECT 1 FROM jobs WHERE sweep = ? LIMIT 1"

PUT_VM = f"""INSERT INTO vms ({_VM}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (id) DO UPDATE
    SET name = excluded.name, spec = excluded.spec, state = excluded.state, handle = excluded.handle,
        owner = excluded.owner, reason = excluded.reason, restarts = excluded.restarts,
        pool = excluded.pool"""
LIST_VMS = f"SELECT {_VM} FROM vms ORDER BY created, id"
REMOVE_VM = "DELETE FROM vms WHERE id = ?"
# Only one that waits, and that nobody else has claimed.
CLAIM_WARM_VM = "UPDATE vms SET owner = ? WHERE id = ? AND pool IS NOT NULL AND owner IS NULL"

PUT_POOL = "INSERT INTO pools VALUES (?, ?) ON CONFLICT (spec) DO UPDATE SET count = excluded.count"
LIST_POOLS = "SELECT spec, count FROM pools ORDER BY rowid"
REMOVE_POOL = "DELETE FROM pools WHERE spec = ?"

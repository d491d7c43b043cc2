"""What an engine tells of a container, as qvirt says it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from qvirt.model.vm import VMState
from qvirt.runtimes.contract import Inspection
from qvirt.runtimes.docker.options import SCRATCH, SHARED, STATES
from qvirt.runtimes.docker.record import Wanted
from qvirt.runtimes.lifetime import last_words
from qvirt.units import show_bytes

KILLED = 137
"""The status of one that was ended by SIGKILL."""

NO_CAPABILITIES = "capabilities: none"
NO_PRIVILEGES = "privileges: none can be gained (no_new_privs)"

_SIGNS = (
    ("CapBnd:\t0000000000000000", NO_CAPABILITIES),
    ("NoNewPrivs:\t1", NO_PRIVILEGES),
    ("Seccomp:\t2", "system calls: those of the engine's profile (seccomp)"),
)
"""In the status of a process."""

Container = Mapping[str, Any]
"""As ``docker inspect`` shows it."""


def is_running(container: Container) -> bool:
    """Also while it is paused."""
    return bool(container["State"]["Running"])


def is_paused(container: Container) -> bool:
    return bool(container["State"]["Paused"])


def has_run(container: Container) -> bool:
    return str(container["State"]["Status"]).lower() not in ("created", "configured", "initialized")


def inspection(
    container: Container | None, wanted: Wanted | None, closed: bool, log: Callable[[], str]
) -> Inspection:
    """``wanted`` is None where the VM was destroyed; ``closed`` says that the guest cannot write to the
    shared folder; ``log`` gives what the container has printed."""
    if container is not None and is_running(container):
        state = VMState.PAUSED if is_paused(container) else VMState.RUNNING
        return Inspection(state, container["State"]["Pid"] or None, limits=tuple(held(container, closed)))
    if wanted is None or not wanted.started:
        return Inspection(VMState.STOPPED)
    if container is None:
        return Inspection(VMState.FAILED, reason="its container was removed by somebody else than qvirt")
    if not has_run(container) and not container["State"].get("Error"):
        return Inspection(VMState.STOPPED, reason="it was not started to the end")
    said = last_words(log())
    if said is not None:
        return Inspection(VMState.STOPPED, reason=said)
    return _ended(container["State"], wanted)


def _ended(state: Mapping[str, Any], wanted: Wanted) -> Inspection:
    status = int(state["ExitCode"])
    if state.get("Error"):
        return Inspection(VMState.FAILED, reason=f"the container engine says: {state['Error']}")
    if status == KILLED:
        short = f"memory ran out: {show_bytes(wanted.spec.memory)} were not enough for the guest"
        killed = f"the guest was killed (status {KILLED})"
        return Inspection(VMState.FAILED, reason=short if state["OOMKilled"] else killed)
    if status:
        return Inspection(VMState.FAILED, reason=f"the guest ended with status {status}")
    if wanted.owned:
        return Inspection(VMState.FAILED, reason="the qvirt process that it lived with has ended")
    return Inspection(VMState.STOPPED, reason="it was stopped by somebody else than qvirt")


def held(container: Container, closed: bool) -> Iterator[str]:
    """The limits that hold by what the engine itself says, and by what the kernel says of the process."""
    host = container["HostConfig"]
    yield from _amounts(host)
    if host["NetworkMode"] == "none":
        yield "network: none; the service is a Unix socket"
    if host["ReadonlyRootfs"]:
        more = "" if closed else f" and {SHARED}, which is not limited"
        yield f"files: read-only, save for disk and states{more}"
    user = container["Config"]["User"]
    if user and user.partition(":")[0] not in ("0", "root"):
        yield f"user: {user}"
    yield from _confinement(container)
    if container.get("AppArmorProfile") not in (None, "", "unconfined"):
        yield f"apparmor: {container['AppArmorProfile']}"


def _amounts(host: Mapping[str, Any]) -> Iterator[str]:
    if host["Memory"]:
        swap = "no swap" if host["MemorySwap"] == host["Memory"] else "swap not limited"
        yield f"memory: {show_bytes(host['Memory'])}, {swap} (cgroup)"
    if host["CpuQuota"] > 0 and host["CpuPeriod"]:
        yield f"cpus: {host['CpuQuota'] / host['CpuPeriod']:g} (cgroup)"
    if (host["PidsLimit"] or 0) > 0:
        yield f"processes: {host['PidsLimit']}, threads included (cgroup)"
    for name, place in (("disk", SCRATCH), ("states", STATES)):
        size = _size((host.get("Tmpfs") or {}).get(place, ""))
        if size is not None:
            yield f"{name}: {show_bytes(size)} at {place}, in its memory (tmpfs)"
    log = host["LogConfig"]["Config"] or {}
    if "max-size" in log:
        yield f"log: {log.get('max-file', 1)} × {log['max-size']}"


def _size(options: str) -> int | None:
    for option in options.split(","):
        key, _, value = option.partition("=")
        if key == "size" and value.isdecimal():
            return int(value)
    return None


def _confinement(container: Container) -> Iterator[str]:
    """By what the kernel says of the guest; by what the engine says where it cannot be seen from here."""
    try:
        status = Path(f"/proc/{container['State']['Pid'] or None}/status").read_text()
    except OSError:
        host = container["HostConfig"]
        if "ALL" in (host["CapDrop"] or ()) and not host["CapAdd"]:
            yield NO_CAPABILITIES
        if any(option.startswith("no-new-privileges") for option in host["SecurityOpt"] or ()):
            yield NO_PRIVILEGES
        return
    for sign, limit in _SIGNS:
        if sign in status:
            yield limit

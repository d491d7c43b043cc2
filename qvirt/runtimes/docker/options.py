"""What a container is made with: one guest, hardened, with no network."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from qvirt.errors import UsageError
from qvirt.images.catalogue import Image
from qvirt.model.vm import VMSpec
from qvirt.paths import Paths
from qvirt.runtimes.docker import share
from qvirt.runtimes.docker.facts import Facts
from qvirt.runtimes.docker.record import Wanted
from qvirt.runtimes.docker.volumes import mounts
from qvirt.runtimes.lifetime import lifetime

VM_LABEL = "qvirt.vm"
HOME_LABEL = "qvirt.home"

SHARED = "/run/qvirt"
SCRATCH = "/tmp"  # noqa: S108
STATES = "/run/states"
"""In the container: the shared folder, where it may write, and where it keeps states."""

CPU_PERIOD = 100_000
"""Microseconds."""

CPU_SHARES = 1024
"""The weight of an ordinary process, for each CPU."""

OPEN_FILES = 1024
PAGE = 4096
SHARED_MEMORY = 1 << 20
TMPFS = "mode=1777,noexec,nosuid,nodev"
LOG = {"max-size": "1m", "max-file": "2"}

_SECOND = 1_000_000_000
_LISTENS = (
    f'while read -r line; do case "$line" in *" 00010000 "*" {SHARED}/{share.SOCKET}") exit 0;; esac; '
    "done < /proc/net/unix; exit 1"
)
"""Whether the guest listens: its socket has a flag, but no file in its reach any more."""


def name(vm_id: str) -> str:
    return f"qvirt-{vm_id}"


def home_label(paths: Paths) -> str:
    """Tells the containers of one state directory from those of another."""
    return hashlib.sha256(os.fsencode(paths.home.resolve())).hexdigest()[:16]


def configuration(
    vm_id: str, wanted: Wanted, image: Image, paths: Paths, engine: str, facts: Facts, now: float
) -> dict[str, Any]:
    """The body of ``POST /containers/create``; ``engine`` is the path of its socket. Raises UsageError."""
    spec = wanted.spec
    environment = {"HOME": SCRATCH} | spec.environment
    body = {
        "Image": image.docker,
        "Hostname": name(vm_id),
        "User": share.user(facts.rootless),
        "WorkingDir": "/",  # Python looks for modules there first: nobody can write there
        "Entrypoint": ["python3", "-m", "qvirt.guest"],
        "Cmd": _arguments(wanted, now),
        "Env": [f"{key}={value}" for key, value in environment.items()],
        "Labels": {VM_LABEL: vm_id, HOME_LABEL: home_label(paths)},
        "OpenStdin": wanted.owned,
        "StdinOnce": wanted.owned,
        "HostConfig": {
            **_hardening(spec),
            **_limits(spec),
            "Binds": [_shared(paths.vm_shared(vm_id))],
            "Mounts": mounts(spec.volumes, (paths.home, Path(engine))),
            "DeviceRequests": [{"Driver": "", "Count": -1, "Capabilities": [["gpu"]]}] if spec.gpu else [],
        },
    }
    return _for_podman(body) if facts.podman else _checked(_with_ulimits(body))


def update(spec: VMSpec) -> dict[str, int]:
    """The limits that can change while it runs, as the SDK names them."""
    return {
        "mem_limit": spec.memory,
        "memswap_limit": spec.memory,
        "cpu_period": CPU_PERIOD,
        "cpu_quota": CPU_PERIOD * spec.cpus,
        "cpu_shares": CPU_SHARES * spec.cpus,
    }


def _arguments(wanted: Wanted, now: float) -> list[str]:
    spec = wanted.spec
    return [
        *("--socket", f"{SHARED}/{share.SOCKET}"),
        *("--token-file", f"{SHARED}/{share.TOKEN}"),
        *("--calibration", f"{SHARED}/{share.CALIBRATION}"),
        *("--directory", STATES),
        *("--memory", str(spec.memory)),
        *("--cpus", str(spec.cpus)),
        *("--spares", str(spec.spares)),
        *(["--lifeline"] if wanted.owned else []),
        *(["--gpu"] if spec.gpu else []),
        *lifetime(spec, wanted.created, now),
    ]


def _hardening(spec: VMSpec) -> dict[str, Any]:
    return {
        "NetworkMode": "none",
        "IpcMode": "private",
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        "ReadonlyRootfs": True,
        "Tmpfs": {
            SCRATCH: f"size={spec.disk},{TMPFS}",
            # What is kept counts as memory anyhow, which has its own limit.
            STATES: f"size={spec.memory},{TMPFS}",
        },
        "ShmSize": SHARED_MEMORY,
        "Init": False,
        "RestartPolicy": {"Name": "no"},
        "LogConfig": {"Type": "json-file", "Config": LOG},
    }


def _limits(spec: VMSpec) -> dict[str, int]:
    return {
        "Memory": spec.memory,
        "MemorySwap": spec.memory,  # of memory and swap together: there is no swap
        "CpuPeriod": CPU_PERIOD,  # and not NanoCpus, which cannot be changed afterwards
        "CpuQuota": CPU_PERIOD * spec.cpus,
        "CpuShares": CPU_SHARES * spec.cpus,
        "PidsLimit": spec.pids,
    }


def _shared(folder: Path) -> str:
    """Z: relabelled for the container where SELinux would keep the guest out."""
    if ":" in str(folder):
        raise UsageError(
            f"{folder} cannot be shared with a container: it has a colon in its name",
            hint="set QVIRT_HOME to a path without one",
        )
    return f"{folder}:{SHARED}:rw,Z"


def _for_podman(body: dict[str, Any]) -> dict[str, Any]:
    """Of Podman's own folders in memory all but nothing is left. It lets systemd check the health, and
    fails to raise the limits that it has itself set lower."""
    tiny = dict.fromkeys(("/run", "/var/tmp"), f"size={PAGE},mode=755")  # noqa: S108
    return body | {"HostConfig": body["HostConfig"] | {"Tmpfs": tiny | body["HostConfig"]["Tmpfs"]}}


def _with_ulimits(body: dict[str, Any]) -> dict[str, Any]:
    ulimits = [
        {"Name": "nofile", "Soft": OPEN_FILES, "Hard": OPEN_FILES},
        {"Name": "core", "Soft": 0, "Hard": 0},
    ]
    return body | {"HostConfig": body["HostConfig"] | {"Ulimits": ulimits}}


def _checked(body: dict[str, Any]) -> dict[str, Any]:
    check = {
        "Test": ["CMD-SHELL", _LISTENS],
        "Interval": 60 * _SECOND,
        "Timeout": 10 * _SECOND,
        "StartPeriod": 60 * _SECOND,
        "Retries": 3,
    }
    return body | {"Healthcheck": check}

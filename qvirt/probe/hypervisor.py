"""QEMU, libvirt and KVM: what is there, and what of it works."""

from __future__ import annotations

import os
import re
import sys

from qvirt.model.hardware import Hypervisor
from qvirt.probe import kvm
from qvirt.probe.command import run

_LIMIT = 5.0
# A session's daemon is started by the first call and then asks QEMU what it can do.
_LIBVIRT_LIMIT = 15.0


def hypervisor() -> Hypervisor:
    libvirt, reachable, libvirt_reason = _libvirt()
    reason = kvm_reason()
    return Hypervisor(
        _qemu(), libvirt, reachable, libvirt_reason, kvm.DEVICE.exists(), reason is None, reason
    )


def _qemu() -> str | None:
    machine = {"arm64": "aarch64"}.get(os.uname().machine, os.uname().machine)
    for binary in (f"qemu-system-{machine}", "/usr/libexec/qemu-kvm"):
        version = re.search(r"version (\S+)", run([binary, "--version"], _LIMIT).out)
        if version:
            return version[1]
    return None


def _libvirt() -> tuple[str | None, bool, str | None]:
    """Version of the client, whether a daemon answers, and why not."""
    asked = run(["virsh", "--version"], _LIMIT)
    if asked.reason:
        return None, False, asked.reason
    named = os.environ.get("LIBVIRT_DEFAULT_URI")
    uris = [named] if named else ["qemu:///system", "qemu:///session"]
    reasons = []
    for uri in uris:
        answer = run(["virsh", "--quiet", "--connect", uri, "uri"], _LIBVIRT_LIMIT)
        if answer.reason is None:
            return asked.out.strip(), True, None
        reasons.append(f"{uri}: {answer.reason}")
    return asked.out.strip(), False, reasons[0]


def kvm_reason() -> str | None:
    """Why KVM cannot be used, None where it can.

    Where nested virtualisation is broken the answer may never come: a child process can be ended.
    """
    if sys.platform != "linux":
        return "KVM is only on Linux"
    if not os.access(kvm.DEVICE, os.R_OK | os.W_OK):
        return kvm.unusable()
    answer = run([sys.executable, "-I", "-S", kvm.__file__], _LIMIT)
    return answer.reason or answer.out or None

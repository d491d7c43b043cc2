"""KVM where it really runs a guest, else QEMU's own translation of instructions (TCG)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache

from qvirt.probe.hypervisor import kvm_reason

TCG_SLOWDOWN = 40.0
"""Of simulations by Aer of 10 to 16 qubits against the same outside (measured: 28 to 43 times)."""


@dataclass(frozen=True, slots=True)
class Accelerator:
    """``name`` as QEMU and libvirt say it, ``slowdown`` of a simulation against this machine itself."""

    name: str
    reason: str
    slowdown: float

    @property
    def is_native(self) -> bool:
        return self.name == "kvm"


@cache
def accelerator() -> Accelerator:
    why_not = _why_not_kvm()
    if why_not is None:
        return Accelerator("kvm", "KVM runs a 64-bit guest here", 1.0)
    return Accelerator("tcg", f"without KVM, about {TCG_SLOWDOWN:.0f} times slower: {why_not}", TCG_SLOWDOWN)


def _why_not_kvm() -> str | None:
    if os.uname().machine != "x86_64":
        return f"the guest image is for x86-64, and this machine is {os.uname().machine}"
    return kvm_reason()

"""What this machine is: facts only, no decisions.

Importing it loads nothing heavy, so that every command can ask ``usable`` or a quick ``probe``.
"""

from __future__ import annotations

import os
from pathlib import Path

from qvirt.model.hardware import Hardware, Hypervisor, Torch
from qvirt.probe.backend import backend
from qvirt.probe.cgroups import unwritable
from qvirt.probe.cpu import cpu
from qvirt.probe.kvm import DEVICE
from qvirt.probe.limits import physical_memory, usable

__all__ = ["probe", "usable"]

_SKIPPED = "not looked at"


def probe(*, bandwidth_cache: Path | None, quick: bool = False) -> Hardware:
    """Everything there is to know; ``quick`` leaves out all that starts a process or measures.

    ``bandwidth_cache`` is where the measured bandwidth is kept until the next boot. The whole takes
    about a second, longer where torch is installed; quick takes a millisecond or two.
    """
    return _quick() if quick else _whole(bandwidth_cache)


def _quick() -> Hardware:
    system = os.uname()
    processor = cpu()
    torch = Torch(None, (), _SKIPPED)
    picked, picked_reason = backend(processor, (), torch)
    return Hardware(
        system=f"{system.sysname} {system.release}",
        cpu=processor,
        memory_total=physical_memory()[0],
        usable=usable(),
        cgroup_reason=unwritable(),
        memory_bandwidth=None,
        memory_bandwidth_reason=_SKIPPED,
        gpus=(),
        gpus_reason=_SKIPPED,
        torch=torch,
        containers=(),
        hypervisor=Hypervisor(None, None, False, _SKIPPED, DEVICE.exists(), False, _SKIPPED),
        backend=picked,
        backend_reason=picked_reason,
    )


def _whole(bandwidth_cache: Path | None) -> Hardware:
    from concurrent.futures import ThreadPoolExecutor
    from dataclasses import replace

    from qvirt.probe.bandwidth import bandwidth
    from qvirt.probe.containers import containers
    from qvirt.probe.gpu import gpus
    from qvirt.probe.hypervisor import hypervisor
    from qvirt.probe.torch import torch, with_kernels

    with ThreadPoolExecutor() as pool:
        asked_gpus, asked_torch = pool.submit(gpus), pool.submit(torch)
        asked_containers, asked_hypervisor = pool.submit(containers), pool.submit(hypervisor)
    listed, gpus_reason = asked_gpus.result()
    trial, kernels = asked_torch.result()
    base = _quick()
    # After all the others, which would slow it down.
    rate, rate_reason = bandwidth(base.usable, bandwidth_cache)
    found = with_kernels(listed, trial, kernels)
    picked, picked_reason = backend(base.cpu, found, trial)
    return replace(
        base,
        memory_bandwidth=rate,
        memory_bandwidth_reason=rate_reason,
        gpus=found,
        gpus_reason=gpus_reason,
        torch=trial,
        containers=asked_containers.result(),
        hypervisor=asked_hypervisor.result(),
        backend=picked,
        backend_reason=picked_reason,
    )

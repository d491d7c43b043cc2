"""From what a user asks of a new VM to its specification, refused where this machine cannot give it."""

from __future__ import annotations

from dataclasses import dataclass, field

from qvirt.errors import DoesNotFit, Unavailable, UsageError
from qvirt.host.templates import Template
from qvirt.model.hardware import Usable
from qvirt.model.run import Method, Precision
from qvirt.model.vm import VMSpec
from qvirt.probe.fits import PROCESS_MEMORY, largest_qubits, state_bytes
from qvirt.units import show_bytes

BASE_MEMORY = 448 << 20
"""Bytes that a guest takes beside the state: its service and two workers with their engines (measured)."""

DEFAULT_MEMORY = 2 << 30


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was typed for a new VM; None where nothing was. Bytes and seconds."""

    name: str
    runtime: str | None = None
    qubits: int | None = None
    memory: int | None = None
    cpus: int | None = None
    method: Method | None = None
    precision: Precision | None = None
    gpu: bool = False
    ttl: float | None = None
    idle_stop: float | None = None
    restart: str | None = None
    spares: int | None = None
    image: str | None = None
    environment: dict[str, str] = field(default_factory=dict)
    volumes: tuple[str, ...] = ()
    warm: bool = True


def specify(wanted: Wanted, template: Template | None, usable: Usable, runtime: str, gpus: bool) -> VMSpec:
    """``runtime`` is used where neither names one; ``gpus`` says whether the machine has any.

    Raises DoesNotFit with the numbers, or Unavailable for a GPU that is not there.
    """
    base = template or Template("", "")
    qubits = wanted.qubits or base.qubits
    method, precision = wanted.method or base.method, wanted.precision or base.precision
    needed = None if qubits is None else memory_for(qubits, method, precision)
    memory = wanted.memory or base.memory or needed or DEFAULT_MEMORY
    if needed is not None and memory < needed:
        raise DoesNotFit(
            f"{qubits} qubits need {show_bytes(needed)}, and the VM was to have {show_bytes(memory)}",
            hint=f"leave out the memory, or use fewer qubits: {_fitting(memory, method, precision)} fit",
        )
    if memory > usable.memory:
        raise DoesNotFit(
            f"the VM needs {show_bytes(memory)}, this machine has {show_bytes(usable.memory)} "
            f"({usable.memory_from})",
            hint=f"use fewer qubits: {_fitting(usable.memory, method, precision)} fit",
        )
    cpus = wanted.cpus or base.cpus or 1
    if cpus > max(1, int(usable.cpus)):
        if wanted.cpus is not None:
            raise DoesNotFit(f"the VM was to have {cpus} CPUs, this machine has {usable.cpus:g}")
        cpus = max(1, int(usable.cpus))
    gpu = wanted.gpu or base.gpu
    if gpu and not gpus:
        raise Unavailable(
            "a GPU was asked for, and this machine has none that can be used",
            hint="`qvirt probe` says what was found; leave out --gpu",
        )
    spares = wanted.spares if wanted.spares is not None else base.spares
    return VMSpec(
        name=wanted.name,
        runtime=wanted.runtime or base.runtime or runtime,
        memory=memory,
        cpus=cpus,
        spares=1 if spares is None else spares,
        environment=wanted.environment,
        qubits=qubits,
        method=method,
        precision=precision,
        noise=base.noise,
        gpu=gpu,
        image=wanted.image,
        template=base.name or None,
        volumes=wanted.volumes,
        ttl=wanted.ttl or base.ttl,
        idle_stop=wanted.idle_stop or base.idle_stop,
        restart=wanted.restart or base.restart or "no",
        warm=wanted.warm,
    )


def memory_for(qubits: int, method: Method | None, precision: Precision | None) -> int:
    """Bytes for a VM that can hold a circuit of so many qubits; double precision where none is named."""
    if qubits < 1:
        raise UsageError(f"a VM for {qubits} qubits makes no sense")
    state = state_bytes(method or Method.STATEVECTOR, qubits, precision or Precision.DOUBLE)
    return BASE_MEMORY + (state or PROCESS_MEMORY)


def _fitting(memory: int, method: Method | None, precision: Precision | None) -> int:
    found = largest_qubits(method or Method.STATEVECTOR, memory - BASE_MEMORY, precision or Precision.DOUBLE)
    return found or 0

"""VMs as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from qvirt.cli.columns import columns, csv_text
from qvirt.cli.options import OutputFormat
from qvirt.cli.render_job import when
from qvirt.host.warm import Filled
from qvirt.model.vm import VM
from qvirt.runtimes.contract import Capabilities, Inspection, Stats
from qvirt.units import show_bytes, show_seconds


def vms_text(vms: Sequence[VM], format: OutputFormat, now: float) -> str:
    if format is OutputFormat.CSV:
        rows = [
            (vm.id, s.name, s.runtime, vm.state.value, s.memory, s.cpus, s.qubits, vm.created, vm.reason)
            for vm in vms
            for s in [vm.spec]
        ]
        names = ("id", "name", "runtime", "state", "memory_bytes", "cpus", "qubits", "created", "reason")
        return csv_text(names, rows)
    if not vms:
        return "no VMs: `qvirt vm create NAME` makes one"
    lines = [
        (
            vm.spec.name,
            vm.spec.runtime,
            vm.state.value,
            show_bytes(vm.spec.memory),
            str(vm.spec.cpus),
            str(vm.spec.qubits or ""),
            show_seconds(max(0.0, now - vm.created)),
            vm.reason or ("kept warm" if vm.pool else ""),
        )
        for vm in vms
    ]
    header = ("name", "runtime", "state", "memory", "cpus", "qubits", "age", "note")
    return columns(header, lines, right=("memory", "cpus", "qubits"))


def pools_text(pools: Sequence[Filled], format: OutputFormat) -> str:
    if format is OutputFormat.CSV:
        rows = [(s.runtime, s.memory, s.cpus, f.pool.count, f.ready) for f in pools for s in [f.pool.spec]]
        return csv_text(("runtime", "memory_bytes", "cpus", "wanted", "ready"), rows)
    if not pools:
        return "no VMs are kept warm: `qvirt vm warm --count 2` keeps two"
    lines = [
        (s.runtime, show_bytes(s.memory), str(s.cpus), str(f.pool.count), str(f.ready))
        for f in pools
        for s in [f.pool.spec]
    ]
    header = ("runtime", "memory", "cpus", "wanted", "ready")
    return columns(header, lines, right=header[1:])


def vm_text(vm: VM, seen: Inspection, powers: Capabilities, now: float) -> str:
    return "\n".join(f"{name:<10}{value}".rstrip() for name, value in _facts(vm, seen, powers, now))


def _facts(vm: VM, seen: Inspection, powers: Capabilities, now: float) -> Iterator[tuple[str, str]]:
    spec = vm.spec
    yield "VM", f"{spec.name} ({vm.id})"
    yield "runtime", spec.runtime
    yield "state", vm.state.value + (f": {vm.reason}" if vm.reason else "")
    yield "created", f"{when(vm.created)}, {show_seconds(max(0.0, now - vm.created))} ago"
    if vm.restarts:
        yield "restarts", str(vm.restarts)
    yield "memory", show_bytes(spec.memory) + (f", for {spec.qubits} qubits" if spec.qubits else "")
    yield "CPUs", str(spec.cpus)
    asked = [value.value for value in (spec.method, spec.precision) if value]
    if asked:
        yield "runs by", ", ".join(asked)
    if spec.template:
        yield "template", spec.template
    if spec.ttl is not None:
        yield "ends", when(vm.created + spec.ttl)
    if spec.idle_stop is not None:
        yield "idle stop", f"after {show_seconds(spec.idle_stop)} without work"
    yield "restart", spec.restart
    yield from _listed("held", seen.limits)
    yield from _listed("can", sorted(power.value for power in powers.powers))
    yield from _listed("cannot", [f"{power.value}: {why}" for power, why in powers.lacking.items()])


def _listed(name: str, values: Sequence[str]) -> Iterator[tuple[str, str]]:
    for number, value in enumerate(values):
        yield ("" if number else name), value


def stats_text(
    readings: Sequence[tuple[VM, Stats]], before: Mapping[str, Stats], seconds: float, format: OutputFormat
) -> str:
    """``before`` are the readings ``seconds`` ago; without one there is no share of CPU time yet."""
    if format is OutputFormat.CSV:
        rows = [(vm.spec.name, s.memory, s.cpu_seconds, s.processes) for vm, s in readings]
        return csv_text(("name", "memory_bytes", "cpu_seconds", "processes"), rows)
    lines = [
        (
            vm.spec.name,
            vm.state.value,
            f"{show_bytes(now.memory)} of {show_bytes(vm.spec.memory)}",
            f"{(now.cpu_seconds - before[vm.id].cpu_seconds) / seconds:.0%}" if vm.id in before else "",
            show_seconds(now.cpu_seconds),
            str(now.processes),
        )
        for vm, now in readings
    ]
    header = ("name", "state", "memory", "cpu", "cpu time", "processes")
    return columns(header, lines, right=("memory", "cpu", "cpu time", "processes"))

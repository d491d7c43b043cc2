"""What the probe and the doctor found as text: for people, and as CSV."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from qvirt.cli.checks import NOT_OK, Check, Status
from qvirt.cli.columns import csv_text
from qvirt.cli.render import table, text_of
from qvirt.model.hardware import ContainerEngine, Cpu, Gpu, Hardware, Largest
from qvirt.model.run import Precision
from qvirt.model.wire import to_plain
from qvirt.units import show_bytes

_COLOURS = {Status.OK: "green", Status.WARNING: "yellow", Status.PROBLEM: "bold red"}


def hardware_text(hardware: Hardware, fits: Sequence[Largest]) -> str:
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column(overflow="fold")
    for name, value in _facts(hardware):
        facts.add_row(name, Text(value))
    free = show_bytes(hardware.usable.memory_available)
    return text_of(
        facts, Text(f"\nQubits that fit in the {free} of memory that are free", style="bold"), _fits(fits)
    )


def _facts(hardware: Hardware) -> Iterator[tuple[str, str]]:
    usable = hardware.usable
    yield "System", hardware.system
    yield "CPU", f"{hardware.cpu.model}, {hardware.cpu.architecture}"
    yield "", f"{hardware.cpu.physical_cores} cores, {hardware.cpu.logical_cores} threads"
    yield "Instructions", _features(hardware.cpu)
    yield "Usable CPUs", f"{usable.cpus:g} ({usable.cpus_from})"
    yield "Usable memory", f"{show_bytes(usable.memory)} ({usable.memory_from})"
    yield "", f"{show_bytes(usable.memory_available)} free"
    if usable.memory != hardware.memory_total:
        yield "", f"{show_bytes(hardware.memory_total)} in the machine"
    rate = hardware.memory_bandwidth
    yield (
        "Bandwidth",
        f"{show_bytes(rate)}/s" if rate else f"none: {hardware.memory_bandwidth_reason}",
    )
    yield "GPU", "\n".join(_gpu(gpu) for gpu in hardware.gpus) or hardware.gpus_reason or "none found"
    torch = hardware.torch
    yield "torch", f"{torch.version} on {', '.join(torch.devices_ok)}" if torch.version else str(torch.reason)
    yield "Containers", "\n".join(_engine(engine) for engine in hardware.containers)
    found = hardware.hypervisor
    yield "QEMU", found.qemu or "not installed"
    yield "libvirt", str(found.libvirt if found.libvirt_reachable else found.libvirt_reason)
    yield "KVM", "usable" if found.kvm_usable else f"not usable: {found.kvm_reason}"
    yield "Backend", f"{hardware.backend.value}: {hardware.backend_reason}"


def _features(cpu: Cpu) -> str:
    """The many parts of AVX-512 and AMX under one word each."""
    families: dict[str, list[str]] = {}
    for feature in cpu.features:
        family = next((name for name in ("avx512", "amx") if feature.startswith(name)), feature)
        families.setdefault(family, []).append(feature.removeprefix(family).strip("_"))
    shown = [f"{name} ({' '.join(parts)})" if parts != [""] else name for name, parts in families.items()]
    return ", ".join(shown).upper() or "none that simulations use"


def _gpu(gpu: Gpu) -> str:
    facts = [gpu.name, show_bytes(gpu.memory) if gpu.memory else "shares the machine's memory"]
    facts += [f"driver {gpu.driver}"] if gpu.driver else []
    facts += [str(gpu.compute_capability)] if gpu.compute_capability else []
    return f"{', '.join(facts)}: {'a kernel ran' if gpu.kernel_ran else gpu.kernel_reason}"


def _engine(engine: ContainerEngine) -> str:
    if not engine.reachable:
        version = f" {engine.version}" if engine.version else ""
        return f"{engine.name}{version}: {engine.reason}" if engine.installed else str(engine.reason)
    return f"{engine.name} {engine.version}, {engine.storage_driver}{', rootless' if engine.rootless else ''}"


def _fits(fits: Sequence[Largest]) -> Table:
    made = table("method", "double", "single", "", right=("double", "single"))
    rows: dict[str, dict[Precision | None, Largest]] = {}
    for fit in fits:
        rows.setdefault(fit.method.value, {})[fit.precision] = fit
    for method, by_precision in rows.items():
        both = by_precision.get(None)
        double = both or by_precision[Precision.DOUBLE]
        made.add_row(
            method, _qubits(double), "" if both else _qubits(by_precision[Precision.SINGLE]), double.note
        )
    return made


def _qubits(fit: Largest) -> str:
    return "" if fit.qubits is None else f"{fit.qubits:,}"


def hardware_csv(hardware: Hardware, fits: Sequence[Largest]) -> str:
    """One line per fact; the name is its path in the JSON output."""
    plain = {"hardware": to_plain(hardware), "largest": to_plain(fits)}
    return csv_text(("fact", "value"), _leaves(plain, ""))


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, (dict, list, tuple)):
        items: Iterable[tuple[Any, Any]] = value.items() if isinstance(value, dict) else enumerate(value)
        for key, part in items:
            yield from _leaves(part, f"{path}.{key}" if path else str(key))
    else:
        yield path, value


def checks_text(checks: Sequence[Check]) -> str:
    made = Table.grid(padding=(0, 2))
    made.add_column(no_wrap=True)
    made.add_column(style="bold", no_wrap=True)
    made.add_column(overflow="fold")
    for check in checks:
        detail = Text(check.detail)
        if check.mend:
            detail.append(f"\n-> {check.mend}", style="cyan")
        made.add_row(Text(check.status.value, style=_COLOURS[check.status]), check.name, detail)
    problems, warnings = (sum(check.status is status for check in checks) for status in NOT_OK)
    return text_of(made, Text(f"\n{_count(problems, 'problem')}, {_count(warnings, 'warning')}"))


def _count(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"


def checks_csv(checks: Sequence[Check]) -> str:
    rows = ((check.name, check.status.value, check.detail, check.mend or "") for check in checks)
    return csv_text(("name", "status", "detail", "mend"), rows)

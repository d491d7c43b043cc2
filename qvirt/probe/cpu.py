"""The CPU: its name, its cores, and the vector instructions that simulations live on."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from qvirt.model.hardware import Cpu

_OF_INTEREST = re.compile(r"avx.*|fma|amx_(tile|int8|bf16|fp16|complex)|asimd|neon|sve2?|sme2?")

# Arm names its cores by numbers only: (implementer, part) of /proc/cpuinfo, from the Main ID Register.
_ARM_CORES = {
    ("0x41", "0xd08"): "Arm Cortex-A72",
    ("0x41", "0xd0b"): "Arm Cortex-A76",
    ("0x41", "0xd0c"): "Arm Neoverse N1",
    ("0x41", "0xd40"): "Arm Neoverse V1",
    ("0x41", "0xd49"): "Arm Neoverse N2",
    ("0x41", "0xd4f"): "Arm Neoverse V2",
    ("0x46", "0x001"): "Fujitsu A64FX",
    ("0xc0", "0xac3"): "Ampere One",
}


def cpu(root: Path = Path("/")) -> Cpu:
    machine = os.uname().machine
    if sys.platform == "darwin":
        from qvirt.probe.command import run

        keys = ("machdep.cpu", "hw.physicalcpu", "hw.logicalcpu", "hw.optional")
        return from_sysctl(run(["sysctl", *keys], timeout=2).out, machine)
    try:
        cpuinfo = (root / "proc/cpuinfo").read_text("utf-8", "replace")
    except OSError:
        cpuinfo = ""
    logical = os.cpu_count() or 1
    return from_cpuinfo(cpuinfo, machine, logical, _physical_cores(root) or logical)


def from_cpuinfo(text: str, machine: str, logical: int, physical: int) -> Cpu:
    """The first processor of Linux's /proc/cpuinfo speaks for all."""
    fields = {}
    for line in text.partition("\n\n")[0].splitlines():
        name, _, value = line.partition(":")
        fields[name.strip()] = value.strip()
    core = (fields.get("CPU implementer", ""), fields.get("CPU part", ""))
    model = fields.get("model name") or _ARM_CORES.get(core) or " ".join(core).strip() or "unknown"
    flags = fields.get("flags") or fields.get("Features") or ""
    return Cpu(model, machine, physical, logical, _features(flags))


def from_sysctl(text: str, machine: str) -> Cpu:
    """macOS: ``sysctl machdep.cpu hw.physicalcpu hw.logicalcpu hw.optional``."""
    values = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
    flags = " ".join(values.get(f"machdep.cpu.{name}", "") for name in ("features", "leaf7_features"))
    flags += "".join(
        f" {name.rpartition('.')[2].removeprefix('FEAT_')}"
        for name, value in values.items()
        if name.startswith("hw.optional.") and value == "1"
    )
    logical = int(values.get("hw.logicalcpu", os.cpu_count() or 1))
    physical = int(values.get("hw.physicalcpu", logical))
    model = values.get("machdep.cpu.brand_string", "unknown")
    return Cpu(model, machine, physical, logical, _features(flags.lower().replace("avx1.0", "avx")))


def _features(flags: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(flag for flag in flags.split() if _OF_INTEREST.fullmatch(flag)))


def _physical_cores(root: Path) -> int:
    """Hyperthreads of one core name the same siblings. 0 where the kernel does not tell."""
    cores = set()
    for topology in (root / "sys/devices/system/cpu").glob("cpu[0-9]*/topology"):
        try:
            cores.add((topology / "thread_siblings_list").read_text())
        except OSError:
            continue
    return len(cores)

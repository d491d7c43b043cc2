"""How fast a VM is there, what it costs, and whether anything stays behind.

    python benchmarks/vms.py [--repeats 10] [--cycles process=1000,docker=100,qemu=30] [--output vms.json]

Every VM answers a Bell circuit whose counts are checked before its time is taken. Times run from the call
that brings a VM up to its first health check and to that answer; the ways of making one are taken in turn,
so that a slow spell of the machine touches all of them. After each kind what is left of processes,
containers, files and sockets is counted. ``warm`` is one taken from the pool, ``restore`` one that its
engine brings back from a snapshot; what both need beforehand is not timed.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

from qvirt import settings
from qvirt.errors import QvirtError
from qvirt.host.host import Host
from qvirt.model.circuit import CircuitSource
from qvirt.model.order import Order
from qvirt.model.run import Method, RunOptions
from qvirt.model.vm import VM, VMSpec
from qvirt.paths import Paths, default_home
from qvirt.runtimes.registry import RUNTIMES, runtime

BELL = b"""OPENQASM 2.0;
include "qelib1.inc";
qreg q[2];
creg c[2];
h q[0];
cx q[0], q[1];
measure q -> c;
"""
SHOTS = 1000
PATIENCE = 120.0
MEMORY = 700 << 20
WAYS = {"process": ["warm"], "docker": ["warm"], "qemu": ["cold"], "libvirt": ["restore"]}


def answers(host: Host, vm: VM) -> float:
    """Seconds that a Bell circuit takes on a VM that is up; its counts are checked."""
    began = time.perf_counter()
    options = RunOptions(shots=SHOTS, seed=7, method=Method.STATEVECTOR)
    source = CircuitSource("bell.qasm", BELL + f"// {token_hex(4)}\n".encode())
    result = host.ask(Order(token_hex(5), source=source, options=options), vm).result
    taken = time.perf_counter() - began
    assert result is not None
    assert set(result.counts) == {"00", "11"}, result.counts
    assert abs(result.counts["00"] - SHOTS / 2) < 120, result.counts
    return taken


def spec(kind: str) -> VMSpec:
    name, _, way = kind.partition(" ")
    return VMSpec(f"bench-{token_hex(4)}", name, memory=MEMORY, spares=0, warm=way != "cold")


@dataclass(frozen=True, slots=True)
class Seconds:
    """Until the service answered, and until the circuit had."""

    health: float
    answer: float


def timed(host: Host, bring_up: Callable[[], VM]) -> tuple[VM, Seconds]:
    began = time.perf_counter()
    vm = bring_up()
    host.vms.wait(vm, PATIENCE)
    health = time.perf_counter() - began
    answers(host, vm)
    return vm, Seconds(health, time.perf_counter() - began)


@contextmanager
def made(host: Host, kind: str) -> Iterator[tuple[VM, Seconds]]:
    """A VM that has answered."""
    wanted = spec(kind)
    if kind.endswith(" warm"):
        host.warm.keep(wanted, 1, lambda stage: None)
    vm, seconds = timed(host, lambda: bring_up(host, kind, wanted))
    try:
        yield vm, seconds
    finally:
        host.vms.destroy(vm)


def bring_up(host: Host, kind: str, wanted: VMSpec) -> VM:
    if not kind.endswith(" warm"):
        return host.vms.create(wanted)
    vm = host.warm.take(wanted, lambda stage: None)
    assert vm is not None, "none was warm"
    return vm


def restores(host: Host, kind: str, repeats: int) -> Iterator[Seconds]:
    """A VM that had answered once and was stopped, brought back to there time after time."""
    with made(host, kind) as (vm, _):
        host.snapshots.take(vm, "answered", lambda stage: None)
        for _ in range(repeats):
            host.vms.stop(vm, 0)
            yield timed(host, lambda: host.snapshots.restore(vm, "answered", PATIENCE, lambda _: None))[1]


def starts(host: Host, kinds: list[str], repeats: int) -> dict[str, list[Seconds]]:
    """Those that are restored come last: one boot is enough for all of them."""
    found: dict[str, list[Seconds]] = {kind: [] for kind in kinds}
    for _ in range(repeats):
        for kind in kinds:
            if not kind.endswith(" restore"):
                with made(host, kind) as (_, seconds):
                    found[kind].append(seconds)
    host.warm.empty()
    for kind in kinds:
        if kind.endswith(" restore"):
            found[kind] = list(restores(host, kind, repeats))
    return found


def overhead(host: Host, kind: str, calls: int) -> list[float]:
    """Seconds of a circuit of about a millisecond, as its caller sees them, less what the engine says."""
    with made(host, kind) as (vm, _):
        found = []
        for _ in range(calls):
            began = time.perf_counter()
            source = CircuitSource("bell.qasm", BELL)
            answer = host.ask(Order(token_hex(5), source=source, options=RunOptions(SHOTS, seed=1)), vm)
            assert answer.result is not None
            found.append(time.perf_counter() - began - answer.result.timings.simulate)
        return found


def cycles(host: Host, kind: str, count: int) -> dict[str, object]:
    """Create, run, destroy, over and over: false failures, and what is left at the end."""
    failures: list[str] = []
    began = time.perf_counter()
    for _ in range(count):
        try:
            with made(host, kind):
                pass
        except (QvirtError, AssertionError) as error:
            failures.append(f"{type(error).__name__}: {error}")
    return {
        "cycles": count,
        "seconds": time.perf_counter() - began,
        "failures": failures,
        "left": left(host, kind),
    }


def left(host: Host, kind: str) -> list[str]:
    """VMs that the engine, the store and the state directory still have."""
    name = kind.partition(" ")[0]
    found = [f"{name}: {vm_id}" for vm_id in runtime(name, host.paths).leftovers()]
    found += [f"store: {vm.spec.name}" for vm in host.vms.all()]
    return found + [f"folder: {path.name}" for path in host.paths.vms.glob("*")]


def together(host: Host, kind: str, count: int) -> dict[str, object]:
    """So many VMs at once: memory of each when idle, and whether all answer."""
    vms: list[VM] = []
    try:
        began = time.perf_counter()
        vms += [host.vms.create(spec(kind)) for _ in range(count)]
        for vm in vms:
            host.vms.wait(vm, PATIENCE)
        for vm in vms:
            answers(host, vm)
        seconds = time.perf_counter() - began
        memory = [host.vms.stats(vm).memory for vm in vms]
        return {"vms": count, "seconds": seconds, "memory": statistics.median(memory)}
    finally:
        for vm in vms:
            host.vms.destroy(vm)


def spread(values: list[float]) -> str:
    ordered = sorted(values)
    high = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    return f"median {statistics.median(ordered):.4g}, 95 % {high:.4g}, worst {ordered[-1]:.4g}"


def numbers(text: str) -> dict[str, int]:
    return {name: int(count) for name, _, count in (part.partition("=") for part in text.split(",") if part)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=10, help="VMs of each kind whose start is timed")
    parser.add_argument("--calls", type=int, default=200, help="circuits sent to a warm VM")
    parser.add_argument("--cycles", type=numbers, default={"process": 1000, "docker": 100, "qemu": 30})
    parser.add_argument("--together", type=numbers, default={"process": 50, "docker": 10, "qemu": 4})
    parser.add_argument("--only", default="", help="only kinds whose name has this in it")
    parser.add_argument("--output", type=Path)
    asked = parser.parse_args()
    host = Host(Paths(default_home()), settings.load())
    kinds = [kind for kind in available(host) if asked.only in kind]
    print(f"{platform.machine()}, {time.strftime('%Y-%m-%d')}: {', '.join(kinds)}", flush=True)
    plain = [kind for kind in kinds if " " not in kind]
    for kind in plain:  # images, templates and caches are made before anything is timed
        with made(host, kind):
            pass
    found: dict[str, object] = {}
    for kind, seconds in starts(host, kinds, asked.repeats).items():
        for until in ("health", "answer"):
            values = [getattr(each, until) for each in seconds]
            found[f"{until} {kind}"] = values
            print(f"create to first {until}, {kind}: {spread(values)} s", flush=True)
    measures: list[tuple[str, Callable[[str, int], object], dict[str, int]]] = [
        ("overhead", lambda kind, count: overhead(host, kind, count), dict.fromkeys(plain, asked.calls)),
        ("together", lambda kind, count: together(host, kind, count), asked.together),
        ("cycles", lambda kind, count: cycles(host, kind, count), asked.cycles),
    ]
    for name, measure, counts in measures:
        for kind in plain:
            if kind in counts:
                result = measure(kind, counts[kind])
                found[f"{name} {kind}"] = result
                print(f"{name}, {kind}: {spread(result) if isinstance(result, list) else result}", flush=True)
    host.close()
    if asked.output:
        asked.output.write_text(json.dumps(found, indent=1))


def available(host: Host) -> list[str]:
    """``NAME``, and each other way that there is to start one there."""
    kinds = []
    for name in RUNTIMES:
        if name != "fake" and runtime(name, host.paths).probe().available:
            kinds += [name, *(f"{name} {way}" for way in WAYS[name])]
    return kinds


if __name__ == "__main__":
    main()

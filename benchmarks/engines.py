"""How fast is the state-vector engine beside the others, and how far from what memory allows?

    python benchmarks/engines.py [--quick] [--sizes 5,10,...] [--threads 1,2] [--output engines.json]

Same circuits for all, taken in turn so that a slow spell of the machine touches all of them; no time counts
before the engine's answer agrees with the first engine's. A time runs from the circuit in the engine's own
form to the final state, fusing and allocation included; the median of the runs counts. ``passes`` is the
time over that of reading and writing the state once at the measured bandwidth, the least that any engine
needs. Engines that are not installed are named and left out: pip install 'qvirt[torch,bench]'. Where torch
sees a CUDA device, that is what is measured, with 20 to 33 qubits.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import engine_peers
import numpy as np
from engine_peers import Peer

from qvirt.methods.families import circuit

FAMILIES = ("qft", "qv", "random", "qaoa", "ghz")
CHECKED = 4096
"""Probabilities that are compared: all of a small state's."""

SEED = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few sizes, a few minutes")
    parser.add_argument("--sizes", default="", help="numbers of qubits; 5 to 26, or 20 to 33 on a GPU")
    parser.add_argument("--families", default=",".join(FAMILIES))
    parser.add_argument("--threads", default="1,2", help="each in a process of its own")
    parser.add_argument("--engines", default="", help="only those whose name has one of these in it")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--patience",
        type=float,
        default=30.0,
        help="seconds; after a longer run larger ones are left out",
    )
    parser.add_argument("--output", type=Path)
    parser.add_argument("--inside", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.inside:
        for row in rows(asked, asked.inside):
            print(json.dumps(row), flush=True)
        return
    found: list[dict] = []
    for threads in [1] if engine_peers.cuda_device() else [int(each) for each in asked.threads.split(",")]:
        print(f"\n{where(threads)}", flush=True)
        for row in asked_inside(threads):
            if "left_out" in row:
                print(f"# {row['left_out']}", flush=True)
                continue
            found.append(row)
            print(line(row), flush=True)
    print(summary(found))
    if asked.output:
        head = {"device": where(0), "date": time.strftime("%Y-%m-%d"), "python": platform.python_version()}
        asked.output.write_text(json.dumps({**head, "rows": found}, indent=1))


def asked_inside(threads: int) -> Iterator[dict]:
    """The rows of a process with that many threads: libraries read the environment as they load."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "QULACS_NUM_THREADS")
    environment = {**os.environ, **dict.fromkeys(names, str(threads))}
    command = [sys.executable, *sys.argv, "--inside", str(threads)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for text in child.stdout:
            if text.startswith("{"):
                yield json.loads(text)
    if child.returncode:
        raise SystemExit(f"the measuring process ended with {child.returncode}")


def where(threads: int) -> str:
    device = engine_peers.cuda_device()
    if device:
        return device
    machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} CPUs"
    return f"{machine}, {threads} threads" if threads else machine


def sizes(asked: argparse.Namespace) -> list[int]:
    if asked.sizes:
        return [int(size) for size in asked.sizes.split(",")]
    if engine_peers.cuda_device():
        return [20, 24, 28] if asked.quick else list(range(20, 34))
    return [5, 10, 16, 20] if asked.quick else [5, 8, 10, 12, 14, 16, 18, 20, 22, 24, 25, 26]


def rows(asked: argparse.Namespace, threads: int) -> Iterator[dict]:
    peers: list[Peer] = []
    for peer in engine_peers.peers(threads):
        reason = peer.missing()
        if reason:
            yield {"left_out": f"{peer.name}: {reason}"}
        elif not asked.engines or any(each in peer.name for each in asked.engines.split(",")):
            peers.append(peer)
    bandwidth = engine_peers.bandwidth()
    yield {"left_out": f"copying moves {bandwidth / 1e9:.0f} GB/s"}
    hopeless: set[tuple[str, str]] = set()
    for family in asked.families.split(","):
        for size in sizes(asked):
            text = circuit(family, size, seed=SEED)
            able = [p for p in peers if (family, p.name) not in hopeless and size <= p.most_qubits]
            runs = {peer: ready for peer in able if (ready := prepared(peer, text)) is not None}
            wrong = check(runs, size)
            seconds = measured({p: r for p, r in runs.items() if p.name not in wrong}, asked)
            hopeless |= {(family, name) for name, taken in seconds.items() if taken[-1] > asked.patience}
            passes = {p.name: 2 * (p.amplitude_bytes << size) / bandwidth for p in runs}
            yield {
                "circuit": family,
                "qubits": size,
                "threads": threads,
                "wrong": wrong,
                "seconds": {name: statistics.median(taken) for name, taken in seconds.items()},
                "best": {name: min(taken) for name, taken in seconds.items()},
                "passes": {name: statistics.median(taken) / passes[name] for name, taken in seconds.items()},
            }


Run = Callable[[], object]


def prepared(peer: Peer, text: str) -> Run | None:
    try:
        return peer.prepare(text)
    except MemoryError:
        return None


def check(runs: dict[Peer, Run], size: int) -> list[str]:
    """The engines that do not agree with the first; this is also the run that warms them up."""
    wrong: list[str] = []
    first: np.ndarray | None = None
    numbers = np.unique(np.random.default_rng(1).integers(1 << size, size=CHECKED))
    numbers = np.union1d(numbers, [0, (1 << size) - 1])
    for peer, run in runs.items():
        run()
        found = peer.probabilities(numbers)
        if first is None:
            first = found
        if abs(found - first).max() > peer.tolerance * max(first.max(), 1.0 / (1 << size)):
            wrong.append(peer.name)
    return wrong


def measured(runs: dict[Peer, Run], asked: argparse.Namespace) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {peer.name: [] for peer in runs}
    for _ in range(asked.repeats):
        for peer, run in runs.items():
            taken = seconds[peer.name]
            if taken and taken[-1] > asked.patience:
                continue
            began = time.perf_counter()
            run()
            taken.append(time.perf_counter() - began)
    return seconds


def line(row: dict) -> str:
    passes = row["passes"]
    times = [f"{name} {taken * 1e3:.2f} ({passes[name]:.0f})" for name, taken in row["seconds"].items()]
    wrong = f"  WRONG: {', '.join(row['wrong'])}" if row["wrong"] else ""
    return f"{row['circuit']:7} {row['qubits']:2}  ms (passes): {', '.join(times)}{wrong}"


def summary(found: list[dict]) -> str:
    """qvirt's time over each other engine's, in markdown."""
    if not found:
        return "nothing measured"
    own = engine_peers.OWN
    others = sorted({name for row in found for name in row["seconds"]} - {own})
    lines = [
        f"\n| {own} over | threads | {' | '.join(others)} | ms | passes |",
        f"|---|---|{'---|' * len(others)}---|---|",
    ]
    for row in found:
        seconds = row["seconds"]
        if own not in seconds:
            continue
        ratios = [f"{seconds[own] / seconds[name]:.2f}" if name in seconds else "" for name in others]
        lines.append(
            f"| {row['circuit']} {row['qubits']} | {row['threads']} | {' | '.join(ratios)} "
            f"| {seconds[own] * 1e3:.2f} | {row['passes'][own]:.1f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()

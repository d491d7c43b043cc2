"""How fast is the state-vector engine beside the others, and how far from what memory allows?

    python benchmarks/engines.py [--quick] [--sizes 5,10,...] [--threads 1,2] [--output engines.json]

Same circuits for all, taken in turn so that a slow spell of the machine touches all of them; no time counts
before the engine's answer agrees with the first engine's. A time runs from the circuit in the engine's own
form to the final state, fusing and allocation included; the median of the runs counts. ``passes`` is the
time over that of reading and writing the state once at the measured bandwidth, the least that any engine
needs; ``share`` is what the sweeps by themselves reach of that bandwidth. Engines that are not installed are
named and left out: pip install 'qvirt[torch,bench]'. Where torch sees a CUDA device, that is what is
measured, from 20 qubits to the largest state that fits, in single precision, half and float8; beside it
cuStateVec (cuquantum-python) and Aer's build for GPUs (qiskit-aer-gpu), where they can be imported.
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
    parser.add_argument("--sizes", default="", help="numbers of qubits; 5 to 26, or from 20 on a GPU")
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
            if asked.output:
                write(asked.output, found)
    print(summary(found))


def write(file: Path, found: list[dict]) -> None:
    """After every row: a lent device may be taken back before the last."""
    head = {"device": where(0), "date": time.strftime("%Y-%m-%d"), "python": platform.python_version()}
    file.write_text(json.dumps({**head, "rows": found}, indent=1))


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
        largest = max(peer.most_qubits for peer in engine_peers.peers(1))
        return [20, 24, 28] if asked.quick else list(range(20, largest + 1))
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
            wrong, failed = check(runs, size)
            bad = (*wrong, *failed)
            taken = measured({p: r for p, r in runs.items() if p.name not in bad}, asked)
            seconds = {name: total for name, (total, _) in taken.items()}
            hopeless |= {(family, name) for name, taken in seconds.items() if taken[-1] > asked.patience}
            passes = {p.name: 2 * (p.amplitude_bytes << size) / bandwidth for p in runs}
            yield {
                "circuit": family,
                "qubits": size,
                "threads": threads,
                "wrong": wrong,
                "failed": failed,
                "checked": len(runs) - len(failed) > 1,
                "seconds": {name: statistics.median(taken) for name, taken in seconds.items()},
                "best": {name: min(taken) for name, taken in seconds.items()},
                "passes": {name: statistics.median(taken) / passes[name] for name, taken in seconds.items()},
                "share": {
                    p.name: p.sweeps * passes[p.name] / statistics.median(taken[p.name][1])
                    for p in runs
                    if p.name in taken and p.sweeps
                },
            }


Run = Callable[[], object]


def prepared(peer: Peer, text: str) -> Run | None:
    try:
        return peer.prepare(text)
    except Exception as error:  # another engine of another version: the others are measured all the same
        if peer.name.startswith(engine_peers.OWN):
            raise
        print(json.dumps({"left_out": f"{peer.name}: {type(error).__name__}: {error}"}), flush=True)
        return None


def check(runs: dict[Peer, Run], size: int) -> tuple[list[str], dict[str, str]]:
    """The engines that do not agree with the first, and why others gave nothing; it warms them up as well."""
    wrong: list[str] = []
    failed: dict[str, str] = {}
    first: np.ndarray | None = None
    numbers = np.unique(np.random.default_rng(1).integers(1 << size, size=CHECKED))
    numbers = np.union1d(numbers, [0, (1 << size) - 1])
    for peer, run in runs.items():
        try:
            peer.make_room()
            run()
            found = peer.probabilities(numbers)
        except (MemoryError, RuntimeError) as error:  # torch's for memory is the latter
            failed[peer.name] = str(error).partition("\n")[0]
            continue
        finally:
            peer.release()
        if first is None:
            first = found
        if abs(found - first).max() > peer.tolerance * max(first.max(), 1.0 / (1 << size)):
            wrong.append(peer.name)
    return wrong, failed


def measured(runs: dict[Peer, Run], asked: argparse.Namespace) -> dict[str, tuple[list[float], list[float]]]:
    """Of the whole runs, and of their sweeps alone."""
    seconds: dict[str, tuple[list[float], list[float]]] = {peer.name: ([], []) for peer in runs}
    for _ in range(asked.repeats):
        for peer, run in runs.items():
            taken, sweeps = seconds[peer.name]
            if taken and taken[-1] > asked.patience:
                continue
            peer.make_room()
            began = time.perf_counter()
            run()
            taken.append(time.perf_counter() - began)
            sweeps.append(peer.sweep_seconds)
            peer.release()
    return seconds


def line(row: dict) -> str:
    passes, share = row["passes"], row["share"]
    times = [
        f"{name} {taken * 1e3:.2f} ({passes[name]:.0f}{f', {share[name]:.0%}' if name in share else ''})"
        for name, taken in row["seconds"].items()
    ]
    wrong = f"  WRONG: {', '.join(row['wrong'])}" if row["wrong"] else ""
    wrong += "" if row["checked"] else "  not checked: nothing else ran"
    wrong += "".join(f"  {name} failed: {reason}" for name, reason in row["failed"].items())
    return f"{row['circuit']:7} {row['qubits']:2}  ms (passes, share): {', '.join(times)}{wrong}"


def summary(found: list[dict]) -> str:
    """qvirt's time over each other engine's, in markdown."""
    if not found:
        return "nothing measured"
    own = engine_peers.OWN
    others = sorted({name for row in found for name in row["seconds"]} - {own})
    lines = [
        f"\n| {own} over | threads | {' | '.join(others)} | ms | passes | share |",
        f"|---|---|{'---|' * len(others)}---|---|---|",
    ]
    for row in found:
        seconds = row["seconds"]
        # The largest states fit in less than single precision only.
        mine = next((name for name in seconds if name.startswith(own)), None)
        if mine is None:
            continue
        ratios = [f"{seconds[mine] / seconds[name]:.2f}" if name in seconds else "" for name in others]
        lines.append(
            f"| {row['circuit']} {row['qubits']}{mine.removeprefix(own)} | {row['threads']} "
            f"| {' | '.join(ratios)} "
            f"| {seconds[mine] * 1e3:.2f} | {row['passes'][mine]:.1f} | {row['share'][mine]:.0%} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()

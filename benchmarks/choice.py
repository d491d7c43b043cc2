"""How good is the choice of engine and method? Regret against the best engine for each circuit.

    python benchmarks/choice.py [--quick] [--output choice.json] [--again choice.json]

Every circuit is sent to a warm process VM as OpenQASM text: once with nothing chosen (auto), and once
with every engine and method forced, under the same time limit (what ran out of time on a smaller circuit
of a family is not tried on its larger ones); the times are those from the arrival of the text to the
answer. An answer counts only if its bits' means and parities agree with the other
engines' within the sampling error.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import statistics
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from secrets import token_hex

import circuits

from qvirt import settings
from qvirt.errors import QvirtError
from qvirt.host.host import Host
from qvirt.model.circuit import CircuitSource
from qvirt.model.order import Order
from qvirt.model.result import Result
from qvirt.model.run import Method, Precision, RunOptions
from qvirt.model.vm import VM, VMSpec
from qvirt.paths import Paths, default_home
from qvirt.probe import usable

SHOTS = 1024
HEAVY = 0.05
"""Seconds: below it the fixed costs of the service are most of the time."""
LONG = 0.3
"""Seconds: what takes longer is run once."""
SMALL = CircuitSource("small", b'OPENQASM 2.0; include "qelib1.inc"; qreg q[2]; h q[0]; cx q[0],q[1];')
FORCED = {
    "product": {"engine": "product"},
    "stim": {"engine": "stim"},
    "ddsim": {"engine": "ddsim"},
    "qsim": {"engine": "qsim"},
    "aer sv single": {"engine": "aer", "method": Method.STATEVECTOR, "precision": Precision.SINGLE},
    "aer sv double": {"engine": "aer", "method": Method.STATEVECTOR, "precision": Precision.DOUBLE},
    "aer mps": {"engine": "aer", "method": Method.MPS},
    "aer stabilizer": {"engine": "aer", "method": Method.STABILIZER},
    "aer density": {"engine": "aer", "method": Method.DENSITY_MATRIX},
    "torch": {"engine": "torch", "method": Method.STATEVECTOR, "precision": Precision.SINGLE},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few sizes, a few minutes")
    parser.add_argument("--sizes", default="4,8,12,16,20,24,28")
    parser.add_argument("--limit", type=float, default=10.0, help="seconds for each run")
    parser.add_argument(
        "--repeats", type=int, default=3, help="runs of what takes under 0.3 s; the median counts"
    )
    parser.add_argument("--only", default="", help="only circuits whose name has this in it")
    parser.add_argument(
        "--again", type=Path, help="only the engines near the best in this earlier output, and new ones"
    )
    parser.add_argument("--output", type=Path)
    asked = parser.parse_args()
    earlier = {row["circuit"]: row for row in json.loads(asked.again.read_text())} if asked.again else {}
    new = FORCED.keys() - {name for row in earlier.values() for name in (*row["seconds"], *row["errors"])}
    sizes = [4, 10, 16, 20] if asked.quick else [int(size) for size in asked.sizes.split(",")]
    rows: list[dict] = []
    hopeless: set[tuple[str, str]] = set()
    host = Host(Paths(default_home()), settings.load())
    found = usable()
    spec = VMSpec(f"choice-{token_hex(3)}", memory=int(0.8 * found.memory_available), cpus=int(found.cpus))
    print(
        f"{platform.machine()}, {spec.cpus} CPUs, {time.strftime('%Y-%m-%d')}, limit {asked.limit} s",
        flush=True,
    )
    with host.machine(spec) as vm:
        host.vms.wait(vm, 60)
        for name, text in [*circuits.hard_cases(), *circuits.mqt_bench(sizes)]:
            if asked.only not in name:
                continue
            family = name.rpartition("_")[0] or name
            near = near_best(earlier[name]) | new if name in earlier else FORCED
            forced = {k: v for k, v in FORCED.items() if k in near and (family, k) not in hopeless}
            source = CircuitSource(name, text.encode())
            rows.append(measure(host, vm, source, forced, asked.limit, asked.repeats))
            hopeless |= {(family, key) for key, error in rows[-1]["errors"].items() if "TimedOut" in error}
            print(line(rows[-1]), flush=True)
    host.close()
    print(summary(rows, asked.limit))
    if asked.output:
        asked.output.write_text(json.dumps(rows, indent=1))


def measure(host: Host, vm: VM, source: CircuitSource, engines: dict, limit: float, repeats: int) -> dict:
    """Round after round, so that what else the machine does falls on all alike."""
    options = RunOptions(SHOTS, seed=1, time_limit=limit)
    warm(host, vm)
    taken: dict[str, list[float]] = {}
    answers: dict[str, Result] = {}
    errors: dict[str, str] = {}
    left = {"auto": {}, **engines}
    for repeat in range(repeats):
        for name, forced in list(left.items()):
            try:
                answers[name] = ask(host, vm, source, replace(options, seed=1 + repeat, **forced))
            except QvirtError as error:
                errors[name] = f"{type(error).__name__}: {error.message[:80]}"
                taken.pop(name, None)
                del left[name]
                warm(host, vm)
                continue
            taken.setdefault(name, []).append(answers[name].timings.total)
            if taken[name][-1] > LONG:
                del left[name]
    seconds = {name: statistics.median(each) for name, each in taken.items()}
    wrong = [name for name in seconds if not agrees(name, answers)]
    chosen = str(answers["auto"].candidate) if "auto" in seconds else errors.get("auto", "")
    raced = "auto" in seconds and len(answers["auto"].attempts) > 1
    return {
        "circuit": source.name,
        "seconds": seconds,
        "chosen": chosen,
        "raced": raced,
        "wrong": wrong,
        "errors": errors,
    }


def warm(host: Host, vm: VM) -> None:
    """Where a run was ended a new worker has begun: engines are loaded again before times count."""
    for forced in FORCED.values():
        with suppress(QvirtError):
            ask(host, vm, SMALL, RunOptions(1, seed=1, **forced))


def ask(host: Host, vm: VM, source: CircuitSource, options: RunOptions) -> Result:
    # A worker knows the circuit that it read last: every run gets a text of its own.
    fresh = CircuitSource(source.name, source.data + f"// {token_hex(4)}\n".encode())
    return host.ask(Order(token_hex(5), source=fresh, options=options), vm).result


def agrees(name: str, answers: dict[str, Result]) -> bool:
    """With most of the others; a lone answer is taken as it is."""
    votes = [same(answers[name], other) for key, other in answers.items() if key != name]
    return not votes or sum(votes) * 2 >= len(votes)


def same(a: Result, b: Result) -> bool:
    """Means of bits and of random parities, within six standard deviations of their difference."""
    width = len(next(iter(a.counts)).replace(" ", ""))
    rng = random.Random(0)
    masks = [1 << i for i in range(width)] + [rng.getrandbits(width) for _ in range(10)]
    for mask in masks:
        p, q = mean_parity(a, mask), mean_parity(b, mask)
        pooled = (p * a.shots + q * b.shots + 1) / (a.shots + b.shots + 2)
        if abs(p - q) > 6 * (2 * pooled * (1 - pooled) / min(a.shots, b.shots)) ** 0.5 + 2 / SHOTS:
            return False
    return True


def mean_parity(result: Result, mask: int) -> float:
    odd = sum(
        n for bits, n in result.counts.items() if (int(bits.replace(" ", ""), 2) & mask).bit_count() % 2
    )
    return odd / result.shots


def best(row: dict) -> tuple[str, float] | None:
    right = {k: s for k, s in row["seconds"].items() if k != "auto" and k not in row["wrong"]}
    return min(right.items(), key=lambda item: item[1]) if right else None


def near_best(row: dict) -> set[str]:
    """Every engine that came within three times of the best."""
    found = best(row)
    seconds = row["seconds"].items()
    return {name for name, taken in seconds if name in FORCED and found and taken < 3 * found[1]}


def lost_race(row: dict) -> str | None:
    """The engine that did it in the end, where gambles were tried before in vain."""
    named = {"qsim statevector (single)": "qsim", "torch statevector (single)": "torch"}
    named |= {f"aer statevector ({kind})": f"aer sv {kind}" for kind in ("single", "double")}
    safe = named.get(row["chosen"])
    return safe if row["raced"] and safe in row["seconds"] else None


def line(row: dict) -> str:
    found = best(row)
    auto = row["seconds"].get("auto")
    regret = f"{auto / found[1]:6.2f}" if auto and found else "     -"
    shown = f"{auto * 1e3:9.1f} ms" if auto else "  unsolved  "
    against = f"best {found[0]} {found[1] * 1e3:.1f} ms" if found else "nobody solved it"
    wrong = f"  WRONG: {row['wrong']}" if row["wrong"] else ""
    return f"{row['circuit']:<32} {regret} {shown}  {row['chosen'][:44]:<44} {against}{wrong}"


def summary(rows: list[dict], limit: float) -> str:
    pairs = [(r["seconds"]["auto"], best(r)) for r in rows if "auto" in r["seconds"] and best(r)]
    solved_by_any = sum(1 for row in rows if best(row))
    solved = sum(1 for row in rows if "auto" in row["seconds"] and "auto" not in row["wrong"])
    lines = [
        "",
        f"{len(rows)} circuits, limit {limit:g} s",
        "",
        "| | solved | total seconds of the solved |",
        "|---|---|---|",
    ]
    for name in ["auto", *FORCED]:
        times = [row["seconds"][name] for row in rows if name in row["seconds"] and name not in row["wrong"]]
        lines.append(f"| {name} | {len(times)} | {sum(times):.1f} |")
    lines += ["", f"solved by auto {solved}, by any engine {solved_by_any}"]
    lines.append(f"time over the best engine's: {quantiles([auto / found[1] for auto, found in pairs])}")
    races = [row["seconds"]["auto"] / row["seconds"][safe] for row in rows if (safe := lost_race(row))]
    lines.append(f"races that the safe method won, over that method alone: {quantiles(races)}")
    heavy = [auto / found[1] for auto, found in pairs if found[1] > HEAVY]
    lines.append(f"of the {len(heavy)} whose best takes over {HEAVY * 1e3:g} ms: {quantiles(heavy)}")
    return "\n".join(lines)


def quantiles(regrets: list[float]) -> str:
    if not regrets:
        return "none"
    ordered = sorted(regrets)
    high = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    return f"median {statistics.median(ordered):.2f}, 95 % {high:.2f}, worst {ordered[-1]:.2f}"


if __name__ == "__main__":
    main()

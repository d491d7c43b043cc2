"""How long a running circuit takes to be saved and to go on, beside writing the same bytes to the disk.

    python benchmarks/checkpoints.py [--sizes 20,26] [--engine torch] [--precision single] [--repeats 5]

A random circuit in a process VM of two threads. ``stop`` is the wait for the engine's next stop, ``saved``
runs from its first octet to a synced file; ``taken in`` from the order to resume to all of the file being in
the engine, reading the circuit included; ``goes on`` to the engine's first word of progress after that. The
worker that resumes has run a small circuit on the engine before; what that takes, where the engine is loaded
only then, is ``load``. ``dd`` writes and syncs the bytes of the same file in between. No time counts before
a resumed run has given the counts of one that never stopped. Medians and least, and ratios of both.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex

from qvirt import settings
from qvirt.host.guests import Guest
from qvirt.host.host import Host
from qvirt.methods.families import circuit
from qvirt.model.circuit import CircuitSource
from qvirt.model.job import JobState
from qvirt.model.order import Order, OrderStatus
from qvirt.model.run import Method, Precision, RunOptions
from qvirt.model.vm import VMSpec
from qvirt.paths import Paths, default_home
from qvirt.store import write_atomically

PIECE = 1 << 20
SHOTS = 1000
SEED = 7
THREADS = 2
TIMES = ("dd", "stop", "saved", "taken in", "goes on", "load")


class Bench:
    def __init__(self, guest: Guest, engine: str, precision: Precision, qubits: int, folder: Path) -> None:
        self.guest = guest
        self.options = RunOptions(SHOTS, SEED, engine, Method.STATEVECTOR, precision)
        # Long enough to be met on its way.
        depth = qubits * min(16, 1 << max(0, 26 - qubits))
        self.source = CircuitSource("random.qasm", circuit("random", qubits, SEED, depth).encode())
        self.file = folder / "checkpoint"

    def whole(self) -> dict[str, int]:
        return self.answer(self.begin().id)

    def begin(self, resume: str | None = None) -> OrderStatus:
        return self.guest.post(Order(token_hex(5), source=self.source, options=self.options, resume=resume))

    def answer(self, order_id: str) -> dict[str, int]:
        while not self.guest.status(order_id).state.ended:
            pass
        result = self.guest.answer(order_id).result
        assert result is not None
        return dict(result.counts)

    def until_past(self, order_id: str, fraction: float) -> float:
        while True:
            status = self.guest.status(order_id, 0.05)
            assert not status.state.ended, status.error
            if (status.progress.fraction or 0.0) > fraction and status.state is JobState.RUNNING:
                return status.progress.fraction or 0.0

    def save(self, order_id: str) -> tuple[float, float]:
        """Until the first octet is there, and from there on."""
        began = time.perf_counter()
        with self.guest.save(order_id) as octets:
            stopped = time.perf_counter()
            write_atomically(self.file, octets)
        return stopped - began, time.perf_counter() - stopped

    def load_engine(self) -> float:
        began = time.perf_counter()
        small = CircuitSource("small.qasm", circuit("ghz", 5).encode())
        order = self.guest.post(Order(token_hex(5), source=small, options=self.options))
        self.answer(order.id)
        return time.perf_counter() - began

    def resume(self, fraction: float) -> tuple[str, float, float]:
        """Until all of it is in the engine, and until that says how far it is."""
        name = token_hex(5)
        began = time.perf_counter()
        order = self.begin(resume=name)
        self.guest.give_checkpoint(name, self.file)
        taken = time.perf_counter() - began
        self.until_past(order.id, fraction)
        return order.id, taken, time.perf_counter() - began

    def disk(self, octets: bytes) -> float:
        """Writing and syncing the same bytes."""
        path = self.file.with_name("dd")
        view = memoryview(octets)
        began = time.perf_counter()
        with path.open("wb", buffering=0) as file:
            for start in range(0, len(view), PIECE):
                file.write(view[start : start + PIECE])
            os.fsync(file.fileno())
        taken = time.perf_counter() - began
        path.unlink()
        return taken

    def check(self) -> None:
        """The counts of a run that was saved and gone on with are those of one that was not."""
        first = self.begin()
        self.until_past(first.id, 0.0)
        self.save(first.id)
        self.guest.cancel(first.id)
        again, _, _ = self.resume(0.0)
        counts = self.answer(again)
        assert counts == self.whole(), "other counts after a resume"
        assert len(counts) > SHOTS / 2, "each shot is another reading, so that equal counts say something"


def measured(bench: Bench, repeats: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {name: [] for name in TIMES}
    for _ in range(repeats):
        order = bench.begin()
        fraction = bench.until_past(order.id, 0.0)
        stop, saved = bench.save(order.id)
        bench.guest.cancel(order.id)
        disk = bench.disk(bench.file.read_bytes())
        load = bench.load_engine()
        order_id, taken, on = bench.resume(fraction)
        bench.guest.cancel(order_id)
        for name, seconds in zip(TIMES, (disk, stop, saved, taken, on, load), strict=True):
            found[name].append(seconds)
    return found


@contextmanager
def guest(memory: int) -> Iterator[Guest]:
    host = Host(Paths(default_home()), settings.load())
    vm = host.vms.create(VMSpec(f"bench-{token_hex(4)}", "process", memory=memory, cpus=THREADS))
    try:
        host.vms.wait(vm, 60.0)
        with Guest(host.vms.endpoint(vm)) as found:
            yield found
    finally:
        host.vms.destroy(vm)
        host.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sizes", type=lambda text: [int(n) for n in text.split(",")], default=[20, 26])
    parser.add_argument("--engine", default="torch")
    parser.add_argument("--precision", type=Precision, default=Precision.SINGLE)
    parser.add_argument("--memory", type=int, default=4 << 30, help="bytes of the VM")
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    heads = ("qubits", "MiB", "ms", *TIMES, "saved/dd", "taken/dd")
    print(" ".join(f"{head:>8}" for head in heads), flush=True)
    with guest(asked.memory) as found, tempfile.TemporaryDirectory(dir=default_home()) as folder:
        for qubits in asked.sizes:
            bench = Bench(found, asked.engine, asked.precision, qubits, Path(folder))
            bench.check()
            times = measured(bench, asked.repeats)
            size = bench.file.stat().st_size / 2**20
            for name, reduced in (("median", statistics.median), ("least", min)):
                taken = {each: reduced(seconds) for each, seconds in times.items()}
                cells = [f"{qubits:8} {size:8.1f} {name:>8}"]
                cells += [f"{taken[each] * 1e3:8.0f}" for each in TIMES]
                cells += [f"{taken[each] / taken['dd']:8.2f}" for each in ("saved", "taken in")]
                print(" ".join(cells), flush=True)


if __name__ == "__main__":
    main()

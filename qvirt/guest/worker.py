"""The process that reads and runs circuits: ``python -m qvirt.guest.worker PARENT [--cold]``.

It speaks messages.py over its standard input, a socket. It does one thing at a time and is stopped by
killing it. What it needs is loaded before it is asked, unless it is asked earlier: a request is never
kept waiting for more than the step of the warm-up that is being done.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import select
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from qvirt.errors import Conflict, EngineFailed, ErrorInfo, OutOfMemory, QvirtError
from qvirt.guest import confine, messages
from qvirt.guest.messages import (
    HEADER,
    Attempt,
    Calibrate,
    Calibrated,
    Choose,
    Done,
    Draw,
    Drawn,
    Failed,
    Fetch,
    Inspect,
    Kept,
    Piece,
    Planned,
    Progressed,
    Ready,
    Reply,
    Request,
    Save,
    Unsaved,
    Warm,
    Work,
)
from qvirt.model.circuit import CircuitSource
from qvirt.model.estimate import Candidate, Plan
from qvirt.model.order import EngineInfo
from qvirt.model.run import Limits, RunOptions
from qvirt.model.sweep import Sweep
from qvirt.units import show_bytes

if TYPE_CHECKING:
    from qvirt.circuits import Loaded
    from qvirt.simulators.contract import Program
    from qvirt.simulators.workload import Workload

    Between = Callable[[Work, dict[Candidate, Workload], Program], None]

WARM_UP = b"""OPENQASM 2.0;
include "qelib1.inc";
qreg q[2];
creg c[2];
h q[0];
cx q[0], q[1];
measure q -> c;
"""


class Channel:
    """The worker's end of the socket."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        # Unbuffered: what was read ahead would not be seen by ``asked``.
        self._in = end.makefile("rb", buffering=0)

    def asked(self) -> bool:
        """A request, or the end, is waiting."""
        return bool(select.select([self._end], [], [], 0)[0])

    def receive(self) -> Request | None:
        """The next request; None when the guest is gone."""
        header = self._read(HEADER.size)
        if header is None:
            return None
        body = self._read(messages.length(header))
        return None if body is None else messages.request(body)

    def send(self, reply: Reply) -> None:
        self._end.sendall(messages.frame(reply))

    def _read(self, size: int) -> bytearray | None:
        found = bytearray(size)
        left = memoryview(found)
        while left:
            some = self._in.readinto(left)
            if not some:
                return None
            left = left[some:]
        return found


class Worker:
    """Keeps the last circuit that it read, because what was planned is often run next."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._loaded: tuple[CircuitSource, tuple[str, ...], Loaded] | None = None
        self._warm: set[str] = set()

    def serve(self) -> None:
        while (request := self._channel.receive()) is not None:
            self._channel.send(self._answer(request))

    def warm_up(self) -> None:
        """Run a small circuit once on every engine, as far as there is time. Who asks for an engine that
        is broken will hear of it then."""
        from qvirt.simulators.registry import installed, simulators

        for name in filter(installed, simulators()):
            if self._channel.asked():
                return
            self._warm_up(name)

    def _warm_up(self, name: str) -> None:
        """Once, so that what loading an engine takes is in no circuit's account; not for one that is loaded
        only where it is used, and has it in its own."""
        from qvirt.simulators.contract import LoadsLate
        from qvirt.simulators.registry import simulators

        self._warm.add(name)
        engine = simulators().get(name)
        if engine is None or isinstance(engine, LoadsLate):
            return
        limits = Limits(memory=64 << 20, threads=int(os.environ.get("OMP_NUM_THREADS", "1")))
        work = Work(CircuitSource("warm-up", WARM_UP), RunOptions(shots=16, seed=1), limits)
        last = self._loaded
        with suppress(Exception):
            facts = self._load(work.source).facts
            able = (c for c in engine.candidates() if engine.supports(c, facts, work.options) is None)
            self._run(work, (next(able),), _unwatched)
        self._loaded = last

    def _answer(self, request: Request) -> Reply:
        if isinstance(request, (Save, Piece)):
            return Unsaved(Conflict("the circuit has ended: its engine did not stop before").info())
        try:
            confine.limit_memory(_memory(request))
            return self._do(request)
        except QvirtError as error:
            return Failed(error.info())
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # a panic in Rust is no Exception
            return Failed(_failure(error, _memory(request)))

    def _do(self, request: Choose | Attempt | Draw | Calibrate | Inspect) -> Reply:
        if isinstance(request, Choose):
            return self._choose(request)
        if isinstance(request, Attempt):
            return self._run(request.work, request.candidates, self._between)
        if isinstance(request, Inspect):
            from qvirt.guest.keeping import inspected

            return inspected(Path(request.path))
        if isinstance(request, Draw):
            from qvirt.circuits import draw, load

            return Drawn(draw(load(request.source, parameters=None).circuit, request.columns))
        return self._calibrate(request)

    def _choose(self, request: Choose) -> Reply:
        from qvirt.guest import keeping

        work = request.work
        started = time.perf_counter()
        loaded = keeping.begun(self._load(work.source, work.sweep), work)
        parsed = time.perf_counter()
        chosen = _plan(work, loaded, keeping.limits(work, loaded.facts))
        only = _only_attempt(chosen) if request.go_on else None
        planned = Planned(chosen, parsed - started, time.perf_counter() - parsed, only is not None)
        if only is None:
            return planned
        self._channel.send(planned)
        return self._run(work, (only,), self._between)

    def _between(self, work: Work, running: dict[Candidate, Workload], program: Program) -> None:
        """Between two turns: tell how far it is, and save it where that was asked for."""
        self._channel.send(Progressed(program.fraction, program.position))
        while self._channel.asked():
            request = self._channel.receive()
            if not isinstance(request, Save):
                raise SystemExit  # the guest is gone: it asks for nothing else before it has its answer
            self._channel.send(self._save(work, running, program))

    def _save(self, work: Work, running: dict[Candidate, Workload], program: Program) -> Reply:
        """Whatever becomes of it, the run goes on."""
        from qvirt.guest.saving import save

        try:
            save(lambda octets: self._channel.send(Piece(octets)), work, running, program)
        except QvirtError as error:
            return Unsaved(error.info())
        except Exception as error:
            return Unsaved(_failure(error, work.limits.memory))
        return Kept()

    def _fetch(self) -> memoryview:
        """The next piece of the checkpoint to go on from."""
        self._channel.send(Fetch())
        while not isinstance(request := self._channel.receive(), Piece):
            if request is None:
                raise SystemExit
            self._channel.send(Unsaved(Conflict("the run has not gone on from its checkpoint yet").info()))
        return request.octets

    def _run(self, work: Work, candidates: tuple[Candidate, ...], between: Between) -> Done:
        from qvirt.guest import keeping
        from qvirt.guest.results import result
        from qvirt.guest.saving import options_for, prepared
        from qvirt.guest.turns import first_done
        from qvirt.simulators.workload import Workload

        loaded = keeping.begun(self._load(work.source, work.sweep), work)
        work = msgspec.structs.replace(work, limits=keeping.limits(work, loaded.facts))
        for name in {candidate.engine for candidate in candidates} - self._warm:
            self._warm_up(name)
        confine.reset_peak()
        base = confine.memory_used()
        began = time.perf_counter()
        workloads = {}
        start = keeping.start_of(work)
        for candidate in candidates:
            options = options_for(work.options, candidate)
            parts = tuple(Workload(part.circuit, part.facts, options) for part in loaded.parts)
            workloads[candidate] = Workload(loaded.circuit, loaded.facts, options, parts, work.sweep, start)
        candidate, program = first_done(
            {
                each: partial(prepared, each, workload, work, self._fetch)
                for each, workload in workloads.items()
            },
            work.limits.seconds,
            partial(between, work, workloads),
        )
        outcome = program.result()
        peak = max(0, confine.peak_memory() - base)
        file = work.state_file or work.keep
        found = result(outcome, workloads[candidate], candidate, work.limits.threads, peak, file)
        return Done(keeping.kept(found, outcome.state, work), time.perf_counter() - began)

    def _calibrate(self, request: Calibrate) -> Calibrated:
        from qvirt.methods.calibration import calibrate

        return Calibrated(
            calibrate(request.limits, lambda fraction: self._channel.send(Progressed(fraction)))
        )

    def _load(self, source: CircuitSource, sweep: Sweep | None = None) -> Loaded:
        from qvirt.circuits import load

        names = sweep.names if sweep else ()
        if self._loaded is None or self._loaded[:2] != (source, names):
            self._loaded = None
            self._loaded = (source, names, load(source, parameters=names))
        return self._loaded[2]


def _plan(work: Work, loaded: Loaded, limits: Limits) -> Plan:
    from qvirt.simulators import choice, sweep

    if work.sweep is not None:
        rows = len(work.sweep.rows)
        return sweep.plan(loaded.facts, work.options, limits, work.calibration, rows)
    parts = [part.facts for part in loaded.parts]
    return choice.plan(loaded.facts, work.options, limits, work.calibration, parts)


def _unwatched(work: Work, running: dict[Candidate, Workload], program: Program) -> None:
    """Nobody has asked for a warm-up, so nobody is told of it."""


def _only_attempt(plan: Plan) -> Candidate | None:
    """The plan's one attempt, where it has only one and that may take as long as it needs."""
    if len(plan.stages) != 1 or len(plan.stages[0].attempts) != 1 or plan.stages[0].budget is not None:
        return None
    return plan.stages[0].attempts[0].candidate


def _memory(request: Choose | Attempt | Draw | Calibrate | Inspect) -> int:
    limits = request.work.limits if isinstance(request, (Choose, Attempt)) else request.limits
    return limits.memory


def _failure(error: BaseException, memory: int) -> ErrorInfo:
    if isinstance(error, MemoryError) or "bad_alloc" in str(error):
        return OutOfMemory(
            f"more memory was needed than the limit of {show_bytes(memory)}",
            hint="give more with --memory-limit, or use fewer qubits",
        ).info()
    return EngineFailed(f"{type(error).__name__}: {error}").info()


def _engines() -> Iterator[EngineInfo]:
    from qvirt.simulators.registry import broken, simulators

    for name, engine in simulators().items():
        methods = sorted({candidate.method.value for candidate in engine.candidates()})
        yield EngineInfo(name, engine.version(), tuple(methods))
    for name, reason in broken().items():
        yield EngineInfo(name, None, (), reason)


def _take_stdin() -> socket.socket:
    """The socket, moved where nothing that reads standard input can find it."""
    end = socket.socket(fileno=os.dup(0))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return end


def main() -> None:
    confine.confine_worker(int(sys.argv[1]))
    faulthandler.enable()
    channel = Channel(_take_stdin())
    worker = Worker(channel)
    gc.disable()  # nothing of what is imported is garbage: a tenth of the time was spent on looking
    import qvirt.circuits
    import qvirt.simulators.choice
    import qvirt.simulators.workload  # noqa: F401

    gc.freeze()
    gc.enable()
    channel.send(Ready(tuple(_engines())))
    if "--cold" not in sys.argv:
        worker.warm_up()
    channel.send(Warm())
    worker.serve()


if __name__ == "__main__":
    main()

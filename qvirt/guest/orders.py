"""What is done for each kind of order."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from qvirt.errors import Conflict, NotFound, QvirtError, UsageError
from qvirt.guest import memory
from qvirt.guest.devices import Devices
from qvirt.guest.incoming import Incoming
from qvirt.guest.messages import Calibrate, Calibrated, Choose, Draw, Drawn, Start, Work, expect
from qvirt.guest.race import Race, plan_of
from qvirt.guest.states import KeptStates
from qvirt.guest.track import Track
from qvirt.guest.workers import Pool
from qvirt.model.calibration import Calibration
from qvirt.model.checkpoint import CheckpointHead
from qvirt.model.circuit import CircuitSource
from qvirt.model.order import Answer, Order, OrderKind
from qvirt.model.result import Result
from qvirt.model.run import Limits, Method
from qvirt.model.wire import from_json

SEEDS = 2**32
"""A seed that nobody chose is below this: short enough to copy by hand."""


@dataclass(slots=True)
class Machine:
    """What the VM has now: bytes and CPUs for everything in it, and where its files are.

    ``slowdown``: see Limits.
    """

    memory: int
    cpus: int
    directory: Path | None = None
    calibration: Path | None = None
    slowdown: float = 1.0
    devices: Devices = field(default_factory=Devices)


class Orders:
    """Carries out one order after another with the workers of the VM."""

    def __init__(self, machine: Machine, pool: Pool) -> None:
        self._machine = machine
        self._pool = pool
        self._race: Race | None = None
        self._states = KeptStates(machine.directory)
        self._incoming: dict[str, Incoming] = {}

    async def carry_out(self, order: Order, track: Track, begin: Callable[[], None]) -> Answer:
        """Cancelling it ends every process at work on the order. ``begin``: see Race."""
        if order.kind is not OrderKind.DRAW:
            await self._machine.devices.tried()
        if order.kind is OrderKind.RUN:
            return Answer(result=await self._run(order, track, begin))
        async with self._pool.worker() as worker:
            if order.kind is OrderKind.PLAN:
                await worker.ask(Choose(self._work(order), go_on=False))
                begin()
                return Answer(plan=(await plan_of(worker, track)).plan)
            if order.kind is OrderKind.DRAW:
                await worker.ask(Draw(_source(order), order.columns, self._limits(order)))
                begin()
                track.phase = "drawing"
                return Answer(drawing=expect(Drawn, await worker.final(track.advance)).text)
            await worker.ask(Calibrate(self._limits(order)))
            begin()
            track.phase = "calibrating"
            return Answer(calibration=expect(Calibrated, await worker.final(track.advance)).calibration)

    async def _run(self, order: Order, track: Track, begin: Callable[[], None]) -> Result:
        incoming = None if order.resume is None else self._incoming[order.resume]
        if incoming is not None:
            track.phase = "waiting for its checkpoint"
            order, track.resumed_at = _resumed(order, await incoming.head())
        options = order.options
        if options.keep is not None:
            self._states.require_free(options.keep, overwrite=options.overwrite)
        self._race = Race(
            self._pool, self._work(order), track, begin, None if incoming is None else incoming.take
        )
        try:
            return self._kept(order, await self._race.run())
        finally:
            self._race = None
            if options.keep is not None:
                self._states.place(order.id).unlink(missing_ok=True)

    def _kept(self, order: Order, result: Result) -> Result:
        """Its state takes its name among those of the VM, and goes out only where that was asked for too."""
        if result.kept is None:
            return result
        self._states.require_free(result.kept.name, overwrite=order.options.overwrite)
        self._states.take(result.kept, self._states.place(order.id))
        return result if order.options.state else replace(result, state=None)

    def save(self, order: Order) -> AsyncGenerator[memoryview, None]:
        """Where the order stands that is being carried out. Raises Conflict where it is no run."""
        if self._race is None:
            raise Conflict(f"order {order.id} does not run a circuit: there is nothing to save")
        return self._race.save()

    def expect_checkpoint(self, order: Order) -> None:
        """Of an order that goes on from one. Raises Conflict where another does so by that name."""
        if order.resume is not None:
            if order.resume in self._incoming:
                raise Conflict(f"another order goes on from a checkpoint {order.resume!r}")
            self._incoming[order.resume] = Incoming()

    async def give_checkpoint(self, name: str, octets: AsyncIterator[bytes]) -> None:
        """Returns when its order has taken it, or wants it no more. Raises NotFound where none does."""
        if name not in self._incoming:
            raise NotFound(
                f"no order goes on from a checkpoint {name!r}", hint="post the order, then its checkpoint"
            )
        await self._incoming[name].give(octets)

    def forget_checkpoint(self, order: Order) -> None:
        """That of an order that has ended."""
        if order.resume is not None:
            self._incoming.pop(order.resume).drop()

    def state_file(self, order_id: str) -> Path | None:
        return self._machine.directory and self._machine.directory / f"state-{order_id}.npy"

    def _work(self, order: Order) -> Work:
        options = order.options
        if options.seed is None:
            options = replace(options, seed=secrets.randbelow(SEEDS))
        path = self.state_file(order.id)
        start = None
        if options.start is not None:
            start = Start(self._states.find(options.start), str(self._states.file(options.start)))
        keep = None if options.keep is None else str(self._states.place(order.id))
        return Work(
            source=_source(order),
            # What is to be kept must be given by the engine.
            options=replace(options, state=options.state or keep is not None),
            limits=self._limits(order),
            calibration=_calibration(self._machine.calibration),
            state_file=str(path) if path is not None and options.state else None,
            resume=order.resume is not None,
            sweep=order.sweep,
            start=start,
            keep=keep,
        )

    def _limits(self, order: Order) -> Limits:
        """What the VM has left beside its own processes and files in its memory, or less where the
        order asks for less."""
        left = memory.left(self._machine.memory, self._pool.pids(), self._pool.expected)
        left = max(0, left - self._states.memory)
        amount = min(left, order.options.memory_limit or left)
        machine = self._machine
        return Limits(amount, machine.cpus, slowdown=machine.slowdown, devices=machine.devices.found)


def _resumed(order: Order, head: CheckpointHead) -> tuple[Order, float]:
    """The order with the seed and method of the checkpoint, and the share that was done."""
    asked = order.options
    options = replace(
        asked,
        seed=head.options.seed if asked.seed is None else asked.seed,
        engine=head.candidate.engine,
        method=head.candidate.method,
        precision=head.options.precision,
        # The parts of a circuit have devices of their own.
        device=None if head.candidate.method is Method.SPLIT else head.candidate.device_kind,
    )
    return replace(order, options=options), head.fraction or 0.0


def _source(order: Order) -> CircuitSource:
    if order.source is None:
        raise UsageError(f"an order to {order.kind.value} needs a circuit")
    return order.source


def _calibration(path: Path | None) -> Calibration | None:
    """Read anew for each order: it may have been measured since. One that cannot be read is none."""
    try:
        return None if path is None else from_json(path.read_bytes(), Calibration)
    except (OSError, QvirtError):
        return None

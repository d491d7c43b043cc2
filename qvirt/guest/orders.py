"""What is done for each kind of order."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from qvirt.errors import QvirtError, UsageError
from qvirt.guest import memory
from qvirt.guest.messages import Calibrate, Calibrated, Choose, Draw, Drawn, Work, expect
from qvirt.guest.race import Race, plan_of
from qvirt.guest.track import Track
from qvirt.guest.workers import Pool
from qvirt.model.calibration import Calibration
from qvirt.model.circuit import CircuitSource
from qvirt.model.order import Answer, Order, OrderKind
from qvirt.model.run import Limits
from qvirt.model.wire import from_json

SEEDS = 2**32
"""A seed that nobody chose is below this: short enough to copy by hand."""


@dataclass(slots=True)
class Machine:
    """What the VM has now: bytes and CPUs for everything in it, and where its files are."""

    memory: int
    cpus: int
    directory: Path | None = None
    calibration: Path | None = None


class Orders:
    """Carries out one order after another with the workers of the VM."""

    def __init__(self, machine: Machine, pool: Pool) -> None:
        self._machine = machine
        self._pool = pool

    async def carry_out(self, order: Order, track: Track, begin: Callable[[], None]) -> Answer:
        """Cancelling it ends every process at work on the order. ``begin``: see Race."""
        if order.kind is OrderKind.RUN:
            return Answer(result=await Race(self._pool, self._work(order), track, begin).run())
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

    def state_file(self, order_id: str) -> Path | None:
        return self._machine.directory and self._machine.directory / f"state-{order_id}.npy"

    def _work(self, order: Order) -> Work:
        options = order.options
        if options.seed is None:
            options = replace(options, seed=secrets.randbelow(SEEDS))
        path = self.state_file(order.id)
        return Work(
            source=_source(order),
            options=options,
            limits=self._limits(order),
            calibration=_calibration(self._machine.calibration),
            state_file=str(path) if path is not None and options.state else None,
        )

    def _limits(self, order: Order) -> Limits:
        """What the VM has left beside its own processes, or less where the order asks for less."""
        left = memory.left(self._machine.memory, self._pool.pids(), self._pool.expected)
        return Limits(min(left, order.options.memory_limit or left), self._machine.cpus)


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

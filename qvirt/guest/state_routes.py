"""The routes of kept states: listed, given out, taken in, removed."""

from __future__ import annotations

import time
from secrets import token_hex
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from qvirt.guest import memory, openapi
from qvirt.guest.messages import Inspect, Inspected, expect
from qvirt.guest.orders import Machine
from qvirt.guest.states import KeptStates
from qvirt.guest.transfer import receive, streamed
from qvirt.guest.workers import Pool
from qvirt.model.run import Limits, Precision
from qvirt.model.state import KeptState
from qvirt.model.wire import to_json

LONGEST_CIRCUIT = 64
"""Digits of a SHA-256."""


def add_to(guarded: APIRouter, pool: Pool, machine: Machine) -> None:
    states = KeptStates(machine.directory)

    def room() -> int:
        left = memory.left(machine.memory, pool.pids(), pool.expected)
        return max(0, min(left - states.memory, states.free))

    @guarded.get("/v1/states", **openapi.STATES)
    async def listed() -> Response:
        return _json(states.all())

    @guarded.get("/v1/states/{name}", **openapi.KEPT_STATE)
    async def given_out(name: str) -> Response:
        return streamed(states.file(name))

    @guarded.put("/v1/states/{name}", **openapi.GIVE_STATE)
    async def taken_in(
        name: str,
        request: Request,
        overwrite: bool = False,
        created: float | None = None,
        precision: Precision | None = None,
        circuit: Annotated[str | None, Query(max_length=LONGEST_CIRCUIT)] = None,
    ) -> Response:
        states.require_free(name, overwrite=overwrite)
        place = states.place(token_hex(8))
        try:
            await receive(request.stream(), place, room())
            async with pool.worker() as worker:
                await worker.ask(Inspect(str(place), Limits(room(), machine.cpus)))
                found = expect(Inspected, await worker.reply())
            state = KeptState(
                name,
                found.num_qubits,
                precision or found.precision,
                found.norm,
                created or time.time(),
                place.stat().st_size,
                circuit,
            )
            states.require_free(name, overwrite=overwrite)
            states.take(state, place)
        finally:
            place.unlink(missing_ok=True)
        return _json(state)

    @guarded.delete("/v1/states/{name}", **openapi.REMOVE_STATE)
    async def removed(name: str) -> Response:
        states.remove(name)
        return Response(status_code=204)


def _json(value: object) -> Response:
    return Response(to_json(value), media_type="application/json")

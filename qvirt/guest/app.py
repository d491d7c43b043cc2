"""The guest's HTTP interface. It only reads, checks and passes on; jobs.py does the rest."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

from qvirt.errors import ErrorInfo, NotFound, QvirtError, UsageError
from qvirt.guest import openapi, state_routes
from qvirt.guest.identity import Access, take
from qvirt.guest.jobs import MAX_QUEUED, Jobs
from qvirt.guest.lifetime import Lifetime
from qvirt.guest.orders import Machine
from qvirt.guest.transfer import as_it_comes
from qvirt.guest.workers import Pool
from qvirt.model.order import Capabilities, Identity, MachineSize, Order
from qvirt.model.wire import from_json, to_json
from qvirt.units import show_bytes
from qvirt.version import __version__

LARGEST_BODY = 64 << 20
"""Octets of an order: the largest circuit in base64, the largest sweep, and room for its options."""

LONGEST_WAIT = 60.0


def create_app(jobs: Jobs, pool: Pool, machine: Machine, token: str, lifetime: Lifetime) -> FastAPI:
    """The application of one guest; every route but /health wants ``token`` as bearer."""
    access = Access(token)

    async def authorized(request: Request) -> None:
        if not access.granted(request.headers.get("authorization", "")):
            raise HTTPException(401, "the bearer token is missing or wrong", {"WWW-Authenticate": "Bearer"})

    app = FastAPI(
        title="qvirt guest",
        version=__version__,
        summary="Runs circuits inside one quantum virtual machine.",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    guarded = APIRouter(dependencies=[Depends(authorized)])

    @app.get("/health", **openapi.HEALTH)
    async def health() -> Response:
        return Response(b'{"status":"ok"}', media_type="application/json")

    @guarded.get("/v1/capabilities", **openapi.CAPABILITIES)
    async def capabilities() -> Response:
        engines = await pool.engines()
        return _json(
            Capabilities(__version__, engines, machine.memory, machine.cpus, MAX_QUEUED, LARGEST_BODY)
        )

    @guarded.put("/v1/machine", **openapi.MACHINE)
    async def resize(request: Request) -> Response:
        size = from_json(await _body(request), MachineSize)
        machine.memory, machine.cpus = size.memory, size.cpus
        return _json(size)

    @guarded.put("/v1/identity", **openapi.IDENTITY)
    async def identify(request: Request) -> Response:
        take(from_json(await _body(request), Identity), access, lifetime)
        return Response(status_code=204)

    @guarded.get("/metrics", **openapi.METRICS)
    async def metrics() -> Response:
        from qvirt.guest.metrics import text  # here, because it would slow down every start

        return Response(text(jobs, pool, machine), media_type="text/plain; version=0.0.4; charset=utf-8")

    @guarded.get("/openapi.json", include_in_schema=False)
    async def described() -> Response:
        return _json(openapi.document(app))

    _order_routes(guarded, jobs)
    state_routes.add_to(guarded, pool, machine)
    app.include_router(guarded)
    app.add_exception_handler(QvirtError, _failed)
    app.add_exception_handler(StarletteHTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    return app


def _order_routes(guarded: APIRouter, jobs: Jobs) -> None:
    @guarded.post("/v1/jobs", **openapi.SUBMIT)
    async def submit(request: Request, wait: Annotated[float, Query(ge=0, le=LONGEST_WAIT)] = 0) -> Response:
        order = from_json(await _body(request), Order)
        jobs.submit(order)
        return _json(await jobs.settle(order.id, wait), 202)

    @guarded.get("/v1/jobs/{order_id}", **openapi.STATUS)
    async def status(order_id: str, wait: Annotated[float, Query(ge=0, le=LONGEST_WAIT)] = 0) -> Response:
        return _json(await jobs.wait(order_id, wait))

    @guarded.delete("/v1/jobs/{order_id}", **openapi.CANCEL)
    async def cancel(order_id: str) -> Response:
        return _json(await jobs.cancel(order_id))

    @guarded.get("/v1/jobs/{order_id}/result", **openapi.RESULT)
    async def result(order_id: str) -> Response:
        return Response(jobs.answer(order_id), media_type="application/json")

    @guarded.post("/v1/jobs/{order_id}/checkpoint", **openapi.CHECKPOINT)
    async def checkpoint(order_id: str) -> Response:
        return await as_it_comes(jobs.checkpoint(order_id))

    @guarded.put("/v1/checkpoints/{name}", **openapi.GIVE_CHECKPOINT)
    async def give_checkpoint(name: str, request: Request) -> Response:
        await jobs.give_checkpoint(name, request.stream())
        return Response(status_code=204)

    @guarded.get("/v1/jobs/{order_id}/state", **openapi.STATE)
    async def state(order_id: str) -> Response:
        return FileResponse(jobs.state_file(order_id), media_type="application/octet-stream")


def _json(value: object, status: int = 200) -> Response:
    return Response(to_json(value), status, media_type="application/json")


async def _body(request: Request) -> bytes:
    """Raises HTTP 413 before more than LARGEST_BODY octets are in memory."""
    announced = request.headers.get("content-length", "0")
    received = bytearray()
    if announced.isdecimal() and int(announced) <= LARGEST_BODY:
        async for chunk in request.stream():
            received += chunk
            if len(received) > LARGEST_BODY:
                break
        else:
            return bytes(received)
    raise HTTPException(413, f"an order may have up to {show_bytes(LARGEST_BODY)}", {"Connection": "close"})


async def _failed(request: Request, error: Exception) -> Response:
    known = error if isinstance(error, QvirtError) else QvirtError(str(error))
    return _json({"error": known.info()}, known.http_status)


async def _refused(request: Request, error: Exception) -> Response:
    """What the framework itself refuses: no such route, no token, too large."""
    assert isinstance(error, StarletteHTTPException)  # noqa: S101
    code = NotFound.code if error.status_code == 404 else UsageError.code
    response = _json({"error": ErrorInfo(code, str(error.detail))}, error.status_code)
    response.headers.update(error.headers or {})
    return response


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return _json({"error": UsageError(f"{where}: {first['msg']}").info()}, 422)

"""The description of the guest's HTTP interface: schemas from the nouns themselves, and examples."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from qvirt.errors import ErrorInfo, NotFound
from qvirt.model.circuit import CircuitSource
from qvirt.model.estimate import Candidate
from qvirt.model.job import JobState
from qvirt.model.order import (
    Answer,
    Capabilities,
    EngineInfo,
    Identity,
    MachineSize,
    Order,
    OrderKind,
    OrderStatus,
)
from qvirt.model.result import AttemptRecord, Position, Progress, Result, Timings
from qvirt.model.run import Method, Precision, RunOptions
from qvirt.model.state import KeptState
from qvirt.model.wire import schema, to_plain

_BELL = b"OPENQASM 2.0;\nqreg q[2];\ncreg c[2];\nh q[0];\ncx q[0], q[1];\nmeasure q -> c;\n"
_STIM = Candidate("stim", Method.STABILIZER, Precision.DOUBLE)
_ORDER = Order("5f0c2a9d1e", source=CircuitSource("bell.qasm", _BELL), options=RunOptions(shots=1000, seed=7))
_POSITION = Position(operations_done=1000, operations=4000)
_STATUS = OrderStatus(
    _ORDER.id, OrderKind.RUN, JobState.RUNNING, Progress("simulating", 0.25, 1.5, 4.5, _POSITION)
)
_ANSWER = Answer(
    Result(
        shots=1000,
        seed=7,
        counts={"00": 493, "11": 507},
        candidate=_STIM,
        threads=2,
        num_qubits=2,
        num_clbits=2,
        measured_all_added=False,
        timings=Timings(parse=0.0004, plan=0.0003, simulate=0.001, total=0.003),
        peak_memory=4096,
        attempts=(AttemptRecord(_STIM, 0.001, "done"),),
    )
)
_CAPABILITIES = Capabilities(
    "0.1.0", (EngineInfo("stim", "1.15.0", ("stabilizer",)),), 4 << 30, 2, 64, 64 << 20
)
_KEPT = KeptState("psi", 2, Precision.DOUBLE, 1.0, 1.8e9, 192, "9f86d081884c7d65")
_SIZE = MachineSize(8 << 30, 4)
_IDENTITY = Identity("the token from now on", 1_800_000_000.0, b"32 octets of chance", "lab")
_ERROR = {"error": NotFound("there is no order 'x' in this VM").info()}

_NOUNS = (Order, OrderStatus, Answer, KeptState, Capabilities, MachineSize, Identity, ErrorInfo)


def document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, complete: every reference in it resolves."""
    found = app.openapi()
    components = found.setdefault("components", {})
    components.setdefault("schemas", {}).update(schema(*_NOUNS)[1])
    components["schemas"]["Error"] = {
        "type": "object",
        "properties": {"error": {"$ref": "#/components/schemas/ErrorInfo"}},
        "required": ["error"],
    }
    components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    return found


def _content(kind: type, example: object, *, many: bool = False) -> dict[str, Any]:
    reference: dict[str, Any] = {"$ref": f"#/components/schemas/{kind.__name__}"}
    if many:
        reference = {"type": "array", "items": reference}
    return {"application/json": {"schema": reference, "example": to_plain(example)}}


def _error(description: str) -> dict[str, Any]:
    reference = {"$ref": "#/components/schemas/Error"}
    content = {"application/json": {"schema": reference, "example": to_plain(_ERROR)}}
    return {"description": description, "content": content}


def _route(
    summary: str,
    content: dict[str, Any],
    *,
    status: int = 200,
    body: dict[str, Any] | None = None,
    guarded: bool = True,
    errors: dict[int, str] | None = None,
) -> dict[str, Any]:
    """The keyword arguments that FastAPI's route decorators take."""
    failures = ({401: "The bearer token is missing or wrong."} if guarded else {}) | (errors or {})
    extra: dict[str, Any] = {
        "responses": {
            str(status): {"description": summary, "content": content},
            **{str(code): _error(text) for code, text in failures.items()},
        }
    }
    if body is not None:
        extra["requestBody"] = {"required": True, "content": body}
    if guarded:
        extra["security"] = [{"token": []}]
    return {"summary": summary, "status_code": status, "response_model": None, "openapi_extra": extra}


_UNKNOWN = {404: "There is no such order."}

HEALTH = _route(
    "Whether the guest is up.", {"application/json": {"example": {"status": "ok"}}}, guarded=False
)
CAPABILITIES = _route("Engines, versions and limits.", _content(Capabilities, _CAPABILITIES))
MACHINE = _route(
    "Tell a VM that was resized what it has.",
    _content(MachineSize, _SIZE),
    body=_content(MachineSize, _SIZE),
)
IDENTITY = _route(
    "Make a copy of a running VM one of its own.", {}, status=204, body=_content(Identity, _IDENTITY)
)
SUBMIT = _route(
    "Accept an order; the same one twice is one. Answered when it has ended, or after `wait` s.",
    _content(OrderStatus, _STATUS),
    status=202,
    body=_content(Order, _ORDER),
    errors={
        409: "There is another order of this id.",
        413: "The order is too large.",
        422: "The order cannot be read.",
        503: "Too many orders are waiting.",
    },
)
STATUS = _route("The state and progress of an order.", _content(OrderStatus, _STATUS), errors=_UNKNOWN)
CANCEL = _route("Stop an order; harmless once it has ended.", _content(OrderStatus, _STATUS), errors=_UNKNOWN)
RESULT = _route(
    "The answer to a completed order, or what it failed with.",
    _content(Answer, _ANSWER),
    errors=_UNKNOWN | {409: "It has not ended, or was stopped.", 422: "The circuit cannot be run."},
)
_OCTETS = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
CHECKPOINT = _route(
    "Where a running circuit stands, as a checkpoint's file; it goes on.",
    _OCTETS,
    errors=_UNKNOWN
    | {409: "It does not run, or several methods are tried still.", 422: "Its engine has no checkpoint."},
)
GIVE_CHECKPOINT = _route(
    "Give an order the checkpoint that it goes on from (`resume`); answers when that is taken.",
    {},
    status=204,
    body=_OCTETS,
    errors={404: "No order goes on from a checkpoint of this name.", 409: "It has been given already."},
)
STATE = _route(
    "The state vector as an .npy file.",
    _OCTETS,
    errors=_UNKNOWN,
)
STATES = _route("The states that the VM keeps between jobs.", _content(KeptState, [_KEPT], many=True))
_NO_STATE = {404: "The VM keeps no such state."}
KEPT_STATE = _route("A kept state as an .npy file.", _OCTETS, errors=_NO_STATE)
GIVE_STATE = _route(
    "Keep a state: one row of complex numbers of norm 1, as an .npy file without pickles.",
    _content(KeptState, _KEPT),
    body=_OCTETS,
    errors={
        409: "The VM keeps one of this name, and `overwrite` is not given.",
        422: "It is no state, or larger than what the VM has left.",
    },
)
REMOVE_STATE = _route("Keep a state no longer.", {}, status=204, errors=_NO_STATE)
METRICS = _route("Counters for Prometheus.", {"text/plain": {"schema": {"type": "string"}}})

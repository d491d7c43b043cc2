"""What the guest and its worker say to each other, and how it travels.

Each message is one frame: eight octets of length, then MessagePack. The guest asks; the worker answers
each request with any number of ``Progressed``, perhaps a ``Planned``, and one final reply. A ``Save`` may be
asked for while another request is answered, and has its own answer: a ``Piece`` after the other, then
``Kept``. A run that goes on from a checkpoint asks for that (``Fetch``) piece by piece.
"""

from __future__ import annotations

import struct
from typing import TypeAlias, TypeVar

import msgspec

from qvirt.errors import EngineFailed, ErrorInfo, from_info
from qvirt.model.calibration import Calibration
from qvirt.model.circuit import CircuitSource
from qvirt.model.estimate import Candidate, Plan
from qvirt.model.order import EngineInfo
from qvirt.model.result import Position, Result
from qvirt.model.run import Limits, Precision, RunOptions
from qvirt.model.state import KeptState
from qvirt.model.sweep import Sweep

HEADER = struct.Struct(">Q")


class Start(msgspec.Struct, frozen=True):
    """A kept state, and the file of its amplitudes."""

    state: KeptState
    path: str


class Work(msgspec.Struct, frozen=True):
    """A circuit with all that a worker needs to know; the seed in ``options`` is set. ``resume`` says that
    there is a checkpoint to go on from, ``keep`` where a state that is to be kept is written."""

    source: CircuitSource
    options: RunOptions
    limits: Limits
    calibration: Calibration | None = None
    state_file: str | None = None
    resume: bool = False
    sweep: Sweep | None = None
    start: Start | None = None
    keep: str | None = None


class Choose(msgspec.Struct, frozen=True, tag=True):
    """Plan; where ``go_on`` and the plan has only one attempt without a budget, run it too."""

    work: Work
    go_on: bool


class Attempt(msgspec.Struct, frozen=True, tag=True):
    """Run one candidate, or several in turns until one is done; ``work.limits`` are for all of them."""

    work: Work
    candidates: tuple[Candidate, ...]


class Draw(msgspec.Struct, frozen=True, tag=True):
    source: CircuitSource
    columns: int
    limits: Limits


class Calibrate(msgspec.Struct, frozen=True, tag=True):
    limits: Limits


class Inspect(msgspec.Struct, frozen=True, tag=True):
    """Say what state the file holds that somebody has given the VM."""

    path: str
    limits: Limits


class Save(msgspec.Struct, frozen=True, tag=True):
    """Send where the running circuit stands, and go on with it."""


class Piece(msgspec.Struct, frozen=True, tag=True):
    """Some octets of a checkpoint, on their way out or, as the answer to Fetch, in; none after its end."""

    octets: memoryview
    """Into the message that was read: nothing is copied."""


class Ready(msgspec.Struct, frozen=True, tag=True):
    """Said once, when a worker has loaded what every circuit needs."""

    engines: tuple[EngineInfo, ...]


class Warm(msgspec.Struct, frozen=True, tag=True):
    """Said once, when the warm-up has come to its end or was broken off by a request."""


class Planned(msgspec.Struct, frozen=True, tag=True):
    """``parse`` and ``seconds`` are what reading and choosing took; ``goes_on`` says that a run follows."""

    plan: Plan
    parse: float
    seconds: float
    goes_on: bool


class Progressed(msgspec.Struct, frozen=True, tag=True):
    fraction: float | None
    position: Position | None = None


class Done(msgspec.Struct, frozen=True, tag=True):
    """The result of an attempt, without the attempts and the times that only the guest knows; ``seconds``
    is what this one took."""

    result: Result
    seconds: float


class Drawn(msgspec.Struct, frozen=True, tag=True):
    text: str


class Calibrated(msgspec.Struct, frozen=True, tag=True):
    calibration: Calibration


class Inspected(msgspec.Struct, frozen=True, tag=True):
    """A state by which a circuit can begin."""

    num_qubits: int
    precision: Precision
    norm: float


class Kept(msgspec.Struct, frozen=True, tag=True):
    """The end of the answer to Save."""


class Unsaved(msgspec.Struct, frozen=True, tag=True):
    """The end of the answer to Save where there is no whole checkpoint."""

    error: ErrorInfo


class Fetch(msgspec.Struct, frozen=True, tag=True):
    """Asks for the next piece of the checkpoint to go on from."""


class Failed(msgspec.Struct, frozen=True, tag=True):
    error: ErrorInfo


Request: TypeAlias = Choose | Attempt | Draw | Calibrate | Inspect | Save | Piece
Reply: TypeAlias = (
    Ready
    | Warm
    | Planned
    | Progressed
    | Done
    | Drawn
    | Calibrated
    | Inspected
    | Failed
    | Fetch
    | Piece
    | Kept
    | Unsaved
)

M = TypeVar("M")
_encoder = msgspec.msgpack.Encoder()
_requests: msgspec.msgpack.Decoder[Request] = msgspec.msgpack.Decoder(Request)
_replies: msgspec.msgpack.Decoder[Reply] = msgspec.msgpack.Decoder(Reply)


def frame(message: Request | Reply) -> bytearray:
    found = bytearray(HEADER.size)
    _encoder.encode_into(message, found, HEADER.size)
    HEADER.pack_into(found, 0, len(found) - HEADER.size)
    return found


def expect(kind: type[M], reply: Reply) -> M:
    """``reply`` as what it must be. Raises what a ``Failed`` says."""
    if isinstance(reply, Failed):
        raise from_info(reply.error)
    if not isinstance(reply, kind):
        raise EngineFailed(f"the worker answered with {type(reply).__name__}, not {kind.__name__}")
    return reply


def length(header: bytes | bytearray) -> int:
    (size,) = HEADER.unpack(header)
    return int(size)


def request(body: bytes | bytearray) -> Request:
    return _requests.decode(body)


def reply(body: bytes) -> Reply:
    """Raises msgspec.MsgspecError where a worker has sent something else."""
    return _replies.decode(body)

"""What a checkpoint is of: the head of its file, which is read without the engine."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from pathlib import Path

from qvirt.errors import CheckpointRefused, QvirtError
from qvirt.model.estimate import Candidate
from qvirt.model.result import Position
from qvirt.model.run import RunOptions
from qvirt.model.wire import from_json, to_json

FORMAT = 2
MAGIC = b"qvirt-checkpoint "
LONGEST_HEAD = 1 << 20


@dataclass(frozen=True, slots=True)
class CheckpointHead:
    """``circuit`` is the SHA-256 of the source, ``options`` what was asked of it (the seed is set) as far as
    it decides the counts; ``created`` seconds since the epoch, ``fraction`` how much was done."""

    candidate: Candidate
    engine_version: str
    circuit: str
    options: RunOptions
    created: float
    fraction: float | None = None
    position: Position | None = None

    def difference(self, other: CheckpointHead) -> str | None:
        """What keeps a run of ``other`` from going on here, in words; None where nothing does."""
        pairs: list[tuple[str, object, object]] = [
            ("circuit", self.circuit[:16], other.circuit[:16]),
            ("engine", str(_of_kind(self.candidate)), str(_of_kind(other.candidate))),
            ("version of the engine", self.engine_version, other.engine_version),
        ]
        pairs += [
            (name, getattr(self.options, name), getattr(other.options, name))
            for name in self.options.__slots__
        ]
        differing = [f"{name} is {mine}, not {theirs}" for name, mine, theirs in pairs if mine != theirs]
        return ", its ".join(differing) or None


def _of_kind(candidate: Candidate) -> Candidate:
    """On any device of its kind the counts are the same."""
    return replace(candidate, device=candidate.device and candidate.device_kind)


def deciding(options: RunOptions) -> RunOptions:
    """``options`` without what does not change the counts, once there is a candidate."""
    found = replace(options, engine=None, method=None, device=None, memory_limit=None, time_limit=None)
    return replace(found, keep=None, overwrite=False)


@dataclass(frozen=True, slots=True)
class KeptCheckpoint:
    """The checkpoint that the host has of a job."""

    octets: int
    head: CheckpointHead


def head_line(head: CheckpointHead) -> bytes:
    """The first line of a checkpoint's file: what it is, its format, a checksum, the head as JSON."""
    octets = to_json(head)
    return MAGIC + f"{FORMAT} {zlib.crc32(octets):08x} ".encode() + octets + b"\n"


def read_head(line: bytes) -> CheckpointHead:
    """Raises CheckpointRefused with the reason."""
    if not line.startswith(MAGIC):
        raise CheckpointRefused("it is no checkpoint of qvirt", hint="`qvirt job checkpoint` makes one")
    if not line.endswith(b"\n"):
        raise cut_off()
    version, _, rest = line[len(MAGIC) :].partition(b" ")
    checksum, _, octets = rest.partition(b" ")
    if version != str(FORMAT).encode():
        raise CheckpointRefused(
            f"the checkpoint is of format {version[:8].decode(errors='replace')}, not {FORMAT}",
            hint="resume it with the qvirt that wrote it",
        )
    if checksum != f"{zlib.crc32(octets[:-1]):08x}".encode():
        raise damaged("its head does not match its checksum")
    try:
        return from_json(octets, CheckpointHead)
    except QvirtError as error:
        raise CheckpointRefused(f"the head of the checkpoint cannot be understood: {error}") from None


def head_of(path: Path) -> CheckpointHead:
    """Of a checkpoint's file, of which nothing else is read."""
    try:
        with path.open("rb") as file:
            return read_head(file.readline(LONGEST_HEAD))
    except OSError as error:
        raise CheckpointRefused(f"the checkpoint cannot be read: {error.strerror}") from None


def cut_off() -> CheckpointRefused:
    return CheckpointRefused("the checkpoint is cut off", hint="it was not written or copied to its end")


def damaged(how: str) -> CheckpointRefused:
    return CheckpointRefused(f"the checkpoint is damaged: {how}", hint="use another copy of it, or run anew")

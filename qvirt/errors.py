"""Every exception of qvirt, in one tree.

    QvirtError
    ├── UsageError          the call is wrong                                  exit 2
    ├── CircuitError        the circuit file is wrong (line, column)           exit 1
    ├── DoesNotFit          refused before it was run: memory, qubits          exit 3
    ├── Unsupported         no engine can do what was asked                    exit 1
    ├── CheckpointRefused   damaged, or of another run                         exit 1
    ├── EngineFailed        a simulator raised or its process died             exit 1
    │   ├── OutOfMemory     a run passed its memory limit                      exit 3
    │   └── GaveUp          an engine saw that its budget would not suffice    exit 1
    ├── Stopped
    │   ├── Cancelled       stopped by a person                                exit 4
    │   └── TimedOut        stopped by its time limit                          exit 4
    ├── NotFound            no such job, VM or file                            exit 5
    ├── Conflict            not possible in the state the object is in         exit 5
    ├── JobLost             the qvirt process that ran it is gone              exit 6
    ├── VMFailed            a virtual machine did not start or has died        exit 6
    ├── Unavailable         something that is not installed or not running     exit 6
    └── StateError          qvirt's own files: disk full, not writable         exit 7

A message says what happened, to which object; the hint says what to do next.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class ErrorInfo:
    """An error as data: what crosses a process boundary and stands in JSON output."""

    code: str
    message: str
    hint: str | None = None
    file: str | None = None
    line: int | None = None
    column: int | None = None


class QvirtError(Exception):
    code: ClassVar[str] = "error"
    http_status: ClassVar[int] = 500
    exit_status: ClassVar[int] = 1

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        file: str | None = None,
        line: int | None = None,
        column: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.file = file
        self.line = line
        self.column = column

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)
        return f"{place}: {self.message}" if place else self.message

    def info(self) -> ErrorInfo:
        return ErrorInfo(self.code, self.message, self.hint, self.file, self.line, self.column)


class UsageError(QvirtError):
    code = "usage"
    http_status = 422
    exit_status = 2


class CircuitError(QvirtError):
    code = "circuit"
    http_status = 422


class DoesNotFit(QvirtError):
    code = "does_not_fit"
    http_status = 422
    exit_status = 3


class Unsupported(QvirtError):
    code = "unsupported"
    http_status = 422


class CheckpointRefused(QvirtError):
    code = "checkpoint_refused"
    http_status = 422


class EngineFailed(QvirtError):
    code = "engine_failed"


class OutOfMemory(EngineFailed):
    code = "out_of_memory"
    exit_status = 3


class GaveUp(EngineFailed):
    code = "gave_up"


class Stopped(QvirtError):
    code = "stopped"
    http_status = 409
    exit_status = 4


class Cancelled(Stopped):
    code = "cancelled"


class TimedOut(Stopped):
    code = "timed_out"


class NotFound(QvirtError):
    code = "not_found"
    http_status = 404
    exit_status = 5


class Conflict(QvirtError):
    code = "conflict"
    http_status = 409
    exit_status = 5


class JobLost(QvirtError):
    code = "lost"
    exit_status = 6


class VMFailed(QvirtError):
    code = "vm_failed"
    http_status = 502
    exit_status = 6


class Unavailable(QvirtError):
    code = "unavailable"
    http_status = 503
    exit_status = 6


class StateError(QvirtError):
    code = "state"
    exit_status = 7


def _tree(root: type[QvirtError]) -> dict[str, type[QvirtError]]:
    found = {root.code: root}
    for child in root.__subclasses__():
        found |= _tree(child)
    return found


def from_info(info: ErrorInfo) -> QvirtError:
    """The exception that ``info`` was made from; an unknown code gives a plain QvirtError."""
    kind = _tree(QvirtError).get(info.code, QvirtError)
    return kind(info.message, hint=info.hint, file=info.file, line=info.line, column=info.column)

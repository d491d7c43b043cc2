"""In the worker: kept states, begun with and written."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from qvirt.circuits.facts import of_any_state
from qvirt.circuits.load import Loaded
from qvirt.errors import DoesNotFit, StateError, UsageError
from qvirt.guest.messages import Inspected, Work
from qvirt.guest.states import in_memory
from qvirt.model.circuit import CircuitFacts
from qvirt.model.result import Result
from qvirt.model.run import Limits, Precision
from qvirt.model.state import KeptState
from qvirt.simulators.starting import blocks
from qvirt.units import show_bytes

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

LARGEST_ERROR = 1e-6
"""Of the norm of a state that comes from elsewhere."""

_PRECISIONS = {"<c8": Precision.SINGLE, "<c16": Precision.DOUBLE}


def begun(loaded: Loaded, work: Work) -> Loaded:
    """The circuit with what is true of it where it begins. Raises UsageError where the state has more or
    fewer qubits."""
    if work.start is None:
        return loaded
    state, found = work.start.state, loaded.facts.num_qubits
    if state.num_qubits != found:
        raise UsageError(
            f"the state {state.name} has {_qubits(state.num_qubits)}, the circuit {_qubits(found)}",
            hint="a circuit begins in a state of as many qubits as it has itself",
        )
    return replace(loaded, facts=of_any_state(loaded.facts), parts=())


def start_of(work: Work) -> NDArray[np.complexfloating] | None:
    return None if work.start is None else opened(Path(work.start.path))


def limits(work: Work, facts: CircuitFacts) -> Limits:
    """What is left to run in beside the state that will be written. Raises DoesNotFit where nothing is."""
    file = work.keep or work.state_file
    if file is None:
        return work.limits
    folder = Path(file).parent
    size, memory = 16 << facts.num_qubits, work.limits.memory
    disk = shutil.disk_usage(folder).free
    takes_memory = work.keep is not None or in_memory(folder)
    if size >= (min(memory, disk) if takes_memory else disk):
        raise DoesNotFit(
            f"the file of a state of {_qubits(facts.num_qubits)} takes {show_bytes(size)}, and the VM has "
            f"{show_bytes(memory)} of memory and {show_bytes(disk)} for files left",
            hint="remove states that it keeps (`qvirt state rm`), or use a VM with more room",
        )
    return replace(work.limits, memory=memory - size) if takes_memory else work.limits


def kept(found: Result, state: NDArray[np.complex128] | None, work: Work) -> Result:
    """``found``, whose state was written to a file, with what is kept of it."""
    if work.keep is None:
        return found
    assert state is not None and found.state is not None and work.options.keep is not None  # noqa: S101
    if work.state_file is not None:
        os.link(work.state_file, work.keep)
    name, circuit, octets = work.options.keep, work.source.sha256, found.state.bytes
    described = KeptState(
        name, found.num_qubits, found.candidate.precision, _norm(state), time.time(), octets, circuit
    )
    return replace(found, kept=described)


def inspected(path: Path) -> Inspected:
    """What an .npy file from elsewhere holds. Raises UsageError where it is no state."""
    state = opened(path)
    norm = _norm(state)
    if not abs(norm - 1.0) <= LARGEST_ERROR:
        raise UsageError(
            f"the norm of the state is {norm:.9g}, not 1", hint="divide the amplitudes by their norm"
        )
    return Inspected(len(state).bit_length() - 1, _PRECISIONS[state.dtype.str], norm)


def opened(path: Path) -> NDArray[np.complexfloating]:
    """The amplitudes, mapped and not read. Raises UsageError for what is no such file."""
    try:
        found: NDArray[Any] = np.lib.format.open_memmap(path, mode="r")
    except FileNotFoundError:
        raise StateError("the state was removed before the circuit began") from None
    except (ValueError, OSError, EOFError, SyntaxError) as error:
        raise UsageError(f"it is no .npy file of a state: {error}", hint="numpy.save makes one") from None
    if found.ndim != 1 or found.dtype.str not in _PRECISIONS:
        raise UsageError(
            f"it holds {found.dtype} of shape {found.shape}, and not the amplitudes of a state",
            hint="a state is one row of complex64 or complex128, little-endian",
        )
    if len(found) < 2 or len(found) & (len(found) - 1):
        raise UsageError(f"it holds {len(found):,} amplitudes, which is no power of two")
    return found


def _norm(state: NDArray[np.complexfloating]) -> float:
    parts = (block.astype(np.complex128) for _, block in blocks(state))
    return float(sum(np.vdot(part, part).real for part in parts) ** 0.5)


def _qubits(number: int) -> str:
    return f"{number} qubit{'' if number == 1 else 's'}"

"""QPY, Qiskit's own binary format. It can make a parser allocate anything: read it only in a worker."""

from __future__ import annotations

import io
import struct
import warnings

from qiskit import QuantumCircuit, qpy

from qvirt.circuits.flatten import flatten
from qvirt.circuits.limits import ParseLimits
from qvirt.errors import CircuitError

_MAGIC = b"QISKIT"
_FILE_HEADER = struct.Struct("!6sBBBBQ")
_SIZES = struct.Struct("!H1cHII")


def sniff(data: bytes) -> bool:
    return data.startswith(_MAGIC)


def load(data: bytes, limits: ParseLimits) -> QuantumCircuit:
    made_by = _check_header(data, limits)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            circuits = qpy.load(io.BytesIO(data))
    except (MemoryError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        raise CircuitError(
            f"not a readable QPY file: {str(error).strip(chr(39)) or type(error).__name__}",
            hint=f"it says that Qiskit {made_by} made it; save it again, as QPY or OpenQASM 3",
        ) from error
    return flatten(circuits[0], limits)


def dump(circuit: QuantumCircuit) -> bytes:
    stream = io.BytesIO()
    qpy.dump(circuit, stream)
    return stream.getvalue()


def _check_header(data: bytes, limits: ParseLimits) -> str:
    """The version of Qiskit that wrote the file. The layout is documented in ``qiskit.qpy``."""
    try:
        _, version, major, minor, patch, programs = _FILE_HEADER.unpack_from(data)
        after = _FILE_HEADER.size + (version >= 10) + (version >= 5) + (8 if version >= 16 else 0)
        _, _, _, qubits, clbits = _SIZES.unpack_from(data, after)
    except struct.error:
        raise CircuitError("the QPY file is cut off: its header is not complete") from None
    if programs != 1:
        raise CircuitError(f"the QPY file holds {programs} circuits", hint="save each in a file of its own")
    if version > 1 and (qubits > limits.qubits or clbits > limits.clbits):
        raise CircuitError(
            f"the circuit has {qubits:,} qubits and {clbits:,} classical bits; "
            f"the limits are {limits.qubits:,} and {limits.clbits:,}"
        )
    return f"{major}.{minor}.{patch}"

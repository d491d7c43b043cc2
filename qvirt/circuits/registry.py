"""The formats that there are, in the order in which they are tried on a file."""

from __future__ import annotations

from qvirt.circuits.contract import CircuitFormat
from qvirt.circuits.formats import gate_list, openqasm2, openqasm3, qpy
from qvirt.model.circuit import Format

FORMATS: dict[Format, CircuitFormat] = {
    Format.QPY: qpy,
    Format.JSON: gate_list,
    Format.OPENQASM3: openqasm3,
    Format.OPENQASM2: openqasm2,
}

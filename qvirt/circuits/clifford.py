"""Which gates are Clifford gates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import CircuitInstruction

from qvirt.circuits.angles import is_free

_FIXED = frozenset(
    {"id", "x", "y", "z", "h", "s", "sdg", "sx", "sxdg", "cx", "cy", "cz", "swap", "iswap", "dcx", "ecr"}
)
_NEVER = frozenset(
    {"t", "tdg", "ch", "cs", "csdg", "csx", "ccx", "ccz", "cswap", "rccx", "rcccx", "mcx", "c3sx", "mcphase"}
)
_QUARTER_TURNS = frozenset({"rx", "ry", "rz", "p", "u", "u1", "u2", "u3", "r", "rxx", "ryy", "rzz", "rzx"})
"""Clifford where every angle is a multiple of pi/2; other gates with angles need a look at the matrix."""

_TOLERANCE = 1e-8
"""Radians: a file that writes pi/2 with nine digits means pi/2."""


def is_clifford(step: CircuitInstruction) -> bool:
    """Of a standard gate. Angles off the multiples of pi/2 that cancel each other are not looked for."""
    name = step.name
    if name in _FIXED:
        return True
    if name in _NEVER:
        return False
    if name == "unitary":
        return len(step.qubits) <= 2 and _has_tableau(step.operation.to_matrix())
    angles = step.params
    if any(map(is_free, angles)):
        return False
    if not are_quarter_turns(angles):
        return False
    return name in _QUARTER_TURNS or _is_clifford_at(step)


def are_quarter_turns(angles: Sequence[float]) -> bool:
    """Whether every angle (radians) is a multiple of pi/2."""
    for angle in angles:
        quarters = angle / (math.pi / 2)
        if abs(quarters - round(quarters)) > _TOLERANCE * max(1.0, abs(quarters)):
            return False
    return True


def _is_clifford_at(step: CircuitInstruction) -> bool:
    quarters = tuple(round(angle / (math.pi / 2)) % 16 for angle in step.params)
    return _known(step.operation.base_class, quarters)


@lru_cache(maxsize=4096)
def _known(kind: type, quarters: tuple[int, ...]) -> bool:
    return _has_tableau(kind(*(count * math.pi / 2 for count in quarters)).to_matrix())


def _has_tableau(matrix: NDArray[np.complex128]) -> bool:
    """Up to global phase. stim takes what is within 1e-3 of a Clifford, so its answer is compared."""
    import stim

    try:
        tableau = stim.Tableau.from_unitary_matrix(matrix.astype(np.complex64), endian="little")
    except ValueError:
        return False
    clifford = tableau.to_unitary_matrix(endian="little")
    overlap = abs(np.vdot(clifford, matrix)) / len(matrix)
    return bool(abs(overlap - 1) < 1e-6)

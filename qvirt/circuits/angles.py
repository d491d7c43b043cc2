"""Angles are numbers, neither NaN nor infinite, or expressions with free parameters."""

from __future__ import annotations

import math

import numpy as np
from qiskit.circuit import CircuitInstruction, ParameterExpression

from qvirt.errors import CircuitError


def numeric(step: CircuitInstruction) -> CircuitInstruction:
    """``step`` itself, or the same gate with numbers where it had expressions without free parameters.

    Free parameters stay. Raises CircuitError naming the gate; definitions and bodies inside are not looked
    into.
    """
    if step.is_control_flow():
        return step
    rewrite = False
    if step.name == "unitary" and not np.isfinite(step.operation.to_matrix()).all():
        raise CircuitError("the matrix of a unitary gate has entries that are not finite numbers")
    for value in step.params:
        if isinstance(value, (float, int, complex)):
            if not _is_finite(value):
                raise CircuitError(f"gate {step.name!r} has the parameter {value}, not a finite number")
        elif isinstance(value, ParameterExpression):
            number(value, f"a parameter of gate {step.name!r}")
            rewrite = rewrite or not value.parameters
    if not (rewrite and step.is_standard_gate()):
        return step
    params = [value if is_free(value) else float(value) for value in step.params]
    return CircuitInstruction(step.operation.base_class(*params), step.qubits)


def number(value: ParameterExpression | float, what: str) -> ParameterExpression | float:
    """``value`` as a number, or itself where it has free parameters.

    Raises CircuitError where it (``what`` in the message) is not finite.
    """
    if is_free(value):
        return value
    try:
        result = float(value)
    except (TypeError, ValueError, OverflowError):
        result = math.nan
    if not math.isfinite(result):
        raise CircuitError(f"{what} is {value}, not a finite number")
    return result


def is_free(value: object) -> bool:
    return isinstance(value, ParameterExpression) and bool(value.parameters)


def _is_finite(value: complex) -> bool:
    try:
        return math.isfinite(value.real) and math.isfinite(value.imag)
    except OverflowError:  # an int too large for a float
        return False

"""Angles must be numbers: neither free parameters nor NaN nor infinite."""

from __future__ import annotations

import math

import numpy as np
from qiskit.circuit import CircuitInstruction, ParameterExpression

from qvirt.errors import CircuitError


def numeric(step: CircuitInstruction) -> CircuitInstruction:
    """``step`` itself, or the same gate with numbers where it had expressions without free parameters.

    Raises CircuitError naming the gate; definitions and bodies inside are not looked into.
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
            rewrite = True
    if not (rewrite and step.is_standard_gate()):
        return step
    params = [float(value) for value in step.params]
    return CircuitInstruction(step.operation.base_class(*params), step.qubits)


def number(value: ParameterExpression | float, what: str) -> float:
    """Raises CircuitError where ``value`` (``what`` in the message) has free parameters or is not finite."""
    if isinstance(value, ParameterExpression) and value.parameters:
        names = ", ".join(sorted(parameter.name for parameter in value.parameters))
        raise CircuitError(
            f"{what} has no value: {names}", hint="give every parameter a value before saving the circuit"
        )
    try:
        result = float(value)
    except (TypeError, ValueError, OverflowError):
        result = math.nan
    if not math.isfinite(result):
        raise CircuitError(f"{what} is {value}, not a finite number")
    return result


def _is_finite(value: complex) -> bool:
    try:
        return math.isfinite(value.real) and math.isfinite(value.imag)
    except OverflowError:  # an int too large for a float
        return False

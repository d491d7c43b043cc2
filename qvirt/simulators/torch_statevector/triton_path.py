"""Whether the Triton kernels can be used; without them the plain path does it all."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec

import numpy as np
import torch

from qvirt.model.run import Precision
from qvirt.simulators.torch_statevector.amplitudes import Amplitudes, format_for
from qvirt.simulators.torch_statevector.operations import Dense, Diagonal, Operation
from qvirt.simulators.torch_statevector.plain import PlainUnitary
from qvirt.simulators.torch_statevector.unitary import Traits, Unitary

_LEAST_CAPABILITY = (8, 0)
"""Below it Triton does not use tensor cores, and the kernels do not fit in the registers."""

_LEAST_TRITON = (3, 5)
"""Products of float64 on tensor cores do not compile before it; torch 2.9 brings it."""

_TRIAL_QUBITS = 13
_TOLERANCE = {
    Precision.DOUBLE: 1e-12,
    Precision.SINGLE: 1e-5,
    Precision.HALF: 0.01,
    Precision.BFLOAT16: 0.05,
    Precision.FLOAT8: 0.3,
}
"""Of the distance between two states, with room for the rounding of each sweep."""


def triton_unitary(operations: Sequence[Operation], num_qubits: int, traits: Traits) -> Unitary | None:
    """None where the plain path has to do it."""
    if not traits.device.startswith("cuda") or refusal(traits.device, traits.precision) is not None:
        return None
    from qvirt.simulators.torch_statevector.triton_unitary import LEAST_QUBITS, TritonUnitary

    return TritonUnitary(operations, num_qubits, traits) if num_qubits >= LEAST_QUBITS else None


@cache
def refusal(device: str, precision: Precision) -> str | None:
    """Why the kernels are not used on a device; None where each of them gave the plain path's answer."""
    if find_spec("triton") is None:
        return "triton is not installed"
    if device.startswith("cuda") and (found := torch.cuda.get_device_capability(device)) < _LEAST_CAPABILITY:
        return "compute capability {}.{} is below {}.{}".format(*found, *_LEAST_CAPABILITY)
    # Whatever fails in compiling or launching, from a missing C compiler on, comes as an error of its own.
    try:
        if _triton_version() < _LEAST_TRITON:
            return "triton is too old: the kernels need {}.{}".format(*_LEAST_TRITON)
        distance = _distance(Traits(device, precision))
    except Exception as error:
        return str(error).strip().partition("\n")[0] or type(error).__name__
    return (
        None if distance <= _TOLERANCE[precision] else f"its kernels gave another state, {distance:.3g} away"
    )


def _triton_version() -> tuple[int, ...]:
    import triton  # its package has other names in some builds of torch

    return tuple(int(part) for part in triton.__version__.split(".")[:2])


def _distance(traits: Traits) -> float:
    from qvirt.simulators.torch_statevector.triton_unitary import TritonUnitary

    operations, states = _trial(), []
    for kind in (TritonUnitary, PlainUnitary):
        kept = format_for(traits.precision, traits.device)
        amplitudes = Amplitudes(1, _TRIAL_QUBITS, kept, traits.device)
        amplitudes.zero()
        unitary: Unitary = kind(operations, _TRIAL_QUBITS, traits)
        for sweep in range(len(unitary)):
            unitary.run(amplitudes, sweep)
        real, imaginary = amplitudes.planes(amplitudes.chunk(slice(None), 0, 1 << _TRIAL_QUBITS))
        states.append(torch.stack((real, imaginary)))
    return float(torch.linalg.vector_norm(states[0] - states[1]))


def _trial() -> list[Operation]:
    """All qubits in superposition, then every kernel: low and high matrices, a phase, and a table."""
    hadamard = np.array([[1, 1], [1, -1]], np.complex128) / np.sqrt(2)
    angles = np.linspace(0.1, 1.7, _TRIAL_QUBITS + 3)
    turned = np.diag(np.exp(1j * angles[:4])) @ np.kron(hadamard, hadamard)
    every = range(_TRIAL_QUBITS)
    return [
        *(Dense((qubit,), hadamard) for qubit in every),
        *(
            Diagonal((qubit, (qubit + 5) % _TRIAL_QUBITS), np.exp(1j * angles[qubit : qubit + 4]))
            for qubit in every
        ),
        *(Dense((qubit, (qubit + 7) % _TRIAL_QUBITS), turned) for qubit in every),
        Diagonal((0,), np.exp(1j * angles[:2]), tuple(every[1:]), 0),
    ]

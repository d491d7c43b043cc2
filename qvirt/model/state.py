"""A state that a guest keeps between jobs."""

from __future__ import annotations

from dataclasses import dataclass

from qvirt.model.run import Precision


@dataclass(frozen=True, slots=True)
class KeptState:
    """2**n amplitudes as an .npy file of ``octets``, in Qiskit's order.

    ``precision`` is what they were computed in, ``created`` seconds since the epoch, ``circuit`` the SHA-256
    of the source that ended in it: None for one that was imported.
    """

    name: str
    num_qubits: int
    precision: Precision
    norm: float
    created: float
    octets: int
    circuit: str | None = None

"""A stabilizer state as octets and back, exactly."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import stim
from numpy.typing import NDArray

from qvirt.simulators.checkpoint import fill


def octets(state: stim.TableauSimulator) -> NDArray[np.uint8]:
    """Its inverse tableau, packed: where X and Z of each qubit go, then the signs."""
    return np.concatenate(
        [part.ravel() for part in state.current_inverse_tableau().to_numpy(bit_packed=True)]
    )


def read(num_qubits: int, chunks: Iterator[bytes | memoryview]) -> stim.TableauSimulator:
    """What ``octets`` was made of."""
    row = (num_qubits + 7) // 8
    packed = np.empty((4 * num_qubits + 2) * row, np.uint8)
    fill(chunks, packed)
    x2x, x2z, z2x, z2z = packed[: 4 * num_qubits * row].reshape(4, num_qubits, row)
    x_signs, z_signs = packed[4 * num_qubits * row :].reshape(2, row)
    state = stim.TableauSimulator(seed=0)
    state.set_inverse_tableau(
        stim.Tableau.from_numpy(x2x=x2x, x2z=x2z, z2x=z2x, z2z=z2z, x_signs=x_signs, z_signs=z_signs)
    )
    return state

"""A run of gates, compiled into sweeps over the amplitudes: what a fast path has to offer.

A path may keep its amplitudes in another order than it found them: ``moved`` says where they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from qvirt.model.run import Precision

if TYPE_CHECKING:
    from qvirt.simulators.torch_statevector.amplitudes import Amplitudes
    from qvirt.simulators.torch_statevector.operations import Operation


@dataclass(frozen=True, slots=True)
class Traits:
    """What a path is chosen by. ``device`` is torch's name of it: cpu, cuda:0, mps."""

    device: str = "cpu"
    precision: Precision = Precision.DOUBLE
    threads: int = 1


class Unitary(Protocol):
    """Compiling the same operations with the same traits gives the same sweeps, in any process."""

    @property
    def moved(self) -> Sequence[int]:
        """What was at bit position p before the first sweep is at ``moved[p]`` after the last."""

    def __len__(self) -> int:
        """Sweeps."""

    def run(self, amplitudes: Amplitudes, index: int) -> None:
        """Sweep ``index`` over every row; the sweeps are run in their order, each once.

        ``amplitudes.tensor`` may be replaced by ``amplitudes.scratch()``, a second buffer of its
        shape that is kept from sweep to sweep; what is taken is in ``sizes.work_bytes``.
        """


def compile_unitary(operations: Sequence[Operation], num_qubits: int, traits: Traits) -> Unitary:
    """By the fastest path there is. The operations' qubits are bit positions of the amplitudes' index."""
    from qvirt.simulators.torch_statevector import blocked, rounded
    from qvirt.simulators.torch_statevector.plain import PlainUnitary
    from qvirt.simulators.torch_statevector.triton_path import triton_unitary

    fused = triton_unitary(operations, num_qubits, traits)
    if fused is not None:
        return fused
    if blocked.is_for(operations, traits):
        return blocked.BlockedUnitary(operations, num_qubits, traits)
    if rounded.is_for(operations, traits):
        return rounded.RoundedUnitary(operations, num_qubits, traits)
    return PlainUnitary(operations, num_qubits, traits)

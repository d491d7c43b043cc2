"""What a stabilizer state says exactly: its amplitudes, its readings, the means of Paulis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import stim
from numpy.typing import NDArray
from qiskit.quantum_info import SparsePauliOp


@dataclass(frozen=True, slots=True)
class Outcomes:
    """All that some qubits can read, each equally likely: ``base`` plus any sum of ``flips``, modulo 2.

    Shapes (bits,) and (number of flips, bits).
    """

    base: NDArray[np.uint8]
    flips: NDArray[np.uint8]

    def sample(self, shots: int, generator: np.random.Generator) -> NDArray[np.uint8]:
        chosen = generator.integers(0, 2, (shots, len(self.flips)), np.uint8)
        # Sums of up to 2^24 ones are exact in single precision, and its products are fast.
        sums = chosen.astype(np.float32) @ self.flips.astype(np.float32)
        bits: NDArray[np.uint8] = (sums.astype(np.int64) & 1).astype(np.uint8) ^ self.base
        return bits

    def chances(self) -> NDArray[np.float64]:
        """Of every reading; bit i of the index is that of qubit i of those that are read."""
        place = 1 << np.arange(len(self.base))
        found = np.array([int(place @ self.base)])
        for flip in self.flips:
            found = np.concatenate([found, found ^ int(place @ flip)])
        chances = np.zeros(1 << len(self.base))
        chances[found] = 1 / len(found)
        return chances


def outcomes(state: stim.TableauSimulator, qubits: Sequence[int]) -> Outcomes:
    """``state`` is measured on ``qubits``, each different."""
    flips = []
    for qubit in qubits:
        if state.peek_z(qubit) == 0:
            one, kickback = state.measure_kickback(qubit)
            if one:
                state.do_pauli_string(kickback)
            flips.append(kickback.to_numpy()[0][list(qubits)])
    base = np.array([state.peek_z(qubit) < 0 for qubit in qubits], np.uint8)
    return Outcomes(base, np.array(flips, np.uint8).reshape(-1, len(qubits)))


def amplitudes(state: stim.TableauSimulator) -> NDArray[np.complex128]:
    """Little-endian, up to a global phase; exact, though Stim computes them in single precision."""
    vector = state.state_vector(endian="little")
    size = np.count_nonzero(abs(vector) > 1e-6) ** -0.5
    exact: NDArray[np.complex128] = np.round(vector / size).astype(np.complex128) * size
    return exact


def means(program: str, observable: SparsePauliOp) -> float:
    """The mean of ``observable`` after a program without readings, noise and all, exactly.

    A Pauli that the noiseless state does not fix has mean 0. For one that it fixes, Stim's error model
    lists the independent errors that flip it; each of probability p shortens the mean by 1 - 2p.
    """
    total = 0.0
    for group in observable.group_commuting():
        labels = [_product(pauli) for pauli in group.paulis.to_labels()]
        named = [label for label in labels if label]
        circuit = stim.Circuit(program + "".join(f"MPP {label}\n" for label in named))
        signs = iter(1.0 - 2.0 * circuit.reference_sample())
        for place in range(len(named)):
            circuit.append("DETECTOR", [stim.target_rec(place - len(named))])
        shortened = iter(_shortened(circuit, len(named)))
        for label, factor in zip(labels, group.coeffs.real, strict=True):
            total += factor * (next(signs) * next(shortened) if label else 1.0)
    return total


def _shortened(circuit: stim.Circuit, detectors: int) -> NDArray[np.float64]:
    """For each detector, the product of 1 - 2p over the errors that flip it; random ones have p = 1/2."""
    lengths = np.ones(detectors)
    for error in circuit.detector_error_model(allow_gauge_detectors=True):
        if error.type == "error":
            flipped = [target.val for target in error.targets_copy() if target.is_relative_detector_id()]
            lengths[flipped] *= 1.0 - 2.0 * error.args_copy()[0]
    return lengths


def _product(letters: str) -> str:
    """``XIZ`` as Stim writes it: ``Z0*X2``."""
    return "*".join(f"{letter}{qubit}" for qubit, letter in enumerate(reversed(letters)) if letter != "I")

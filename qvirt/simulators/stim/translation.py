"""Qiskit circuits as Stim programs."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import stim
from qiskit import QuantumCircuit
from qiskit.circuit import CircuitInstruction, Clbit, Qubit

from qvirt.errors import Unsupported
from qvirt.model.run import Noise

_NAMES = {
    "id": "I",
    "x": "X",
    "y": "Y",
    "z": "Z",
    "h": "H",
    "s": "S",
    "sdg": "S_DAG",
    "sx": "SQRT_X",
    "sxdg": "SQRT_X_DAG",
    "cx": "CX",
    "cy": "CY",
    "cz": "CZ",
    "swap": "SWAP",
    "iswap": "ISWAP",
}
_PAULIS = {"x": "X", "y": "Y", "z": "Z"}

Instructions = Sequence[tuple[str, Sequence[int]]]
"""Stim's names, each with the targets, counted among the gate's own qubits."""


class NotFeedback(Exception):
    """A condition that cannot be written as a Pauli gate controlled by one reading."""


class Gates:
    """Clifford gates in Stim's words; what a gate is made of is found once."""

    def __init__(self) -> None:
        self._known: dict[Hashable, Instructions] = {}

    def lines(self, step: CircuitInstruction, qubits: Sequence[int]) -> str:
        if step.name in _NAMES:
            return f"{_NAMES[step.name]} {_spaced(qubits)}\n"
        return "".join(
            f"{name} {_spaced([qubits[target] for target in targets])}\n"
            for name, targets in self._instructions(step)
        )

    def _instructions(self, step: CircuitInstruction) -> Instructions:
        key = (step.name, *step.params) if step.is_standard_gate() else id(step.operation)
        if key not in self._known:
            try:
                tableau = stim.Tableau.from_unitary_matrix(step.matrix, endian="little")
            except ValueError:
                raise Unsupported(f"the gate {step.name} is no Clifford gate") from None
            self._known[key] = [
                (part.name, [target.value for target in part.targets_copy()])
                for part in tableau.to_circuit("elimination")
            ]
        return self._known[key]


class Translation:
    """``program`` is in Stim's language; ``record_of`` says which of its readings each clbit holds last."""

    def __init__(self, circuit: QuantumCircuit, noise: Noise | None) -> None:
        """Raises NotFeedback, and Unsupported for a gate that is no Clifford gate."""
        self.record_of: dict[int, int] = {}
        self.readings = 0
        self._gates = Gates()
        self._noise = noise
        self._lines: list[str] = []
        self._qubit = {qubit: number for number, qubit in enumerate(circuit.qubits)}
        self._clbit = {clbit: number for number, clbit in enumerate(circuit.clbits)}
        for step in circuit.data:
            self._add(step, [self._qubit[qubit] for qubit in step.qubits])

    @property
    def program(self) -> str:
        return "".join(self._lines)

    def _add(self, step: CircuitInstruction, qubits: list[int]) -> None:
        name = step.name
        if name == "measure":
            self._lines.append(f"M {qubits[0]}\n")
            self.record_of[self._clbit[step.clbits[0]]] = self.readings
            self.readings += 1
        elif name == "reset":
            self._lines.append(f"R {qubits[0]}\n")
        elif name == "if_else":
            self._add_feedback(step, qubits)
        elif name not in ("barrier", "delay"):
            self._lines.append(self._gates.lines(step, qubits))
            self._lines.append(_noise_lines(self._noise, qubits))

    def _add_feedback(self, step: CircuitInstruction, qubits: list[int]) -> None:
        """``if (c == v)``: the gates always where v is 0, and once more where c reads 1."""
        clbit, wanted = _one_bit(step.operation.condition)
        record = self.record_of.get(self._clbit[clbit])
        for block, value in zip(step.operation.blocks, (wanted, 1 - wanted), strict=False):
            place = dict(zip(block.qubits, qubits, strict=True))
            for gate, target in _paulis(block, place):
                if value == 0:
                    self._lines.append(f"{gate} {target}\n")
                if record is not None:
                    self._lines.append(f"C{gate} rec[{record - self.readings}] {target}\n")


def _one_bit(condition: Any) -> tuple[Clbit, int]:
    """The clbit that a condition is on, and the value that it wants."""
    if isinstance(condition, tuple):
        target, wanted = condition
        if isinstance(target, Clbit):
            return target, int(wanted)
        if len(target) == 1:
            return target[0], int(wanted)
    elif isinstance(getattr(condition, "var", None), Clbit):
        return condition.var, 1
    raise NotFeedback


def _paulis(block: QuantumCircuit, place: Mapping[Qubit, int]) -> list[tuple[str, int]]:
    found = []
    for step in block.data:
        if step.name in _PAULIS:
            found.append((_PAULIS[step.name], place[step.qubits[0]]))
        elif step.name not in ("id", "barrier", "delay"):
            raise NotFeedback
    return found


def _noise_lines(noise: Noise | None, qubits: Sequence[int]) -> str:
    """What follows a gate.

    Noise says how likely the qubits are to be replaced by noise, which one time in four (of one qubit;
    in sixteen, of two) is what was there; Stim says how likely they are to be changed.
    """
    if noise is None or not noise.on_gates:
        return ""
    rate, share = (noise.depolarizing_1q, 3 / 4) if len(qubits) == 1 else (noise.depolarizing_2q, 15 / 16)
    flips = (1 - (1 - noise.phase_damping) ** 0.5) / 2
    return f"DEPOLARIZE{len(qubits)}({rate * share}) {_spaced(qubits)}\nZ_ERROR({flips}) {_spaced(qubits)}\n"


def _spaced(numbers: Sequence[int]) -> str:
    return " ".join(map(str, numbers))

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import Clbit
from qiskit.result.postprocess import format_counts_memory

from qvirt.errors import StateError
from qvirt.guest.results import _keep, bit_strings


@pytest.mark.parametrize("sizes", [(3,), (1, 1), (2, 3, 1), (5, 70)])
def test_registers_are_written_as_qiskit_writes_them(sizes: tuple[int, ...]) -> None:
    registers = [ClassicalRegister(size, f"c{index}") for index, size in enumerate(sizes)]
    circuit = QuantumCircuit(QuantumRegister(1), *registers)
    header = {"creg_sizes": [[r.name, r.size] for r in registers], "memory_slots": sum(sizes)}
    written = bit_strings(circuit)
    for bits in (0, 1, 2 ** sum(sizes) - 1, 0b10110 % 2 ** sum(sizes)):
        assert written(bits) == format_counts_memory(hex(bits), header)


def test_clbits_without_a_register_stand_together_and_lose_nothing() -> None:
    circuit = QuantumCircuit(1)
    circuit.add_bits([Clbit(), Clbit()])
    circuit.add_register(ClassicalRegister(2, "c"))
    circuit.add_bits([Clbit()])
    assert bit_strings(circuit)(0b1_01_10) == "1 01 10"


def test_a_circuit_without_clbits_has_one_empty_outcome() -> None:
    assert bit_strings(QuantumCircuit(2))(0) == ""


def test_a_state_is_kept_as_little_endian_complex128(tmp_path: Path) -> None:
    path = tmp_path / "state.npy"
    state = np.array([0.6, 0.8j], dtype=np.complex128)
    kept = _keep(state, str(path))
    assert (kept.amplitudes, kept.bytes) == (2, path.stat().st_size)
    read = np.load(path, allow_pickle=False)
    assert read.dtype == np.dtype("<c16")
    assert np.array_equal(read, state)


def test_a_state_that_cannot_be_written_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="No such file"):
        _keep(np.zeros(2, np.complex128), str(tmp_path / "missing" / "state.npy"))
    with pytest.raises(StateError, match="no directory"):
        _keep(np.zeros(2, np.complex128), None)

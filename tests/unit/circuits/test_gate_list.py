"""The JSON gate list: what docs/circuits.md says of it."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from circuit_files import read
from qiskit import QuantumCircuit
from qiskit.quantum_info import Operator

from qvirt.circuits import ParseLimits, dump
from qvirt.circuits.formats.gate_list import ALIASES, SCHEMA
from qvirt.circuits.standard_gates import standard_gates
from qvirt.errors import CircuitError
from qvirt.model.circuit import Format


def listed(*gates: dict[str, Any], qubits: int = 3, **more: Any) -> str:
    return json.dumps({"num_qubits": qubits, "gates": list(gates), **more})


def gate(name: str, *qubits: int, **more: Any) -> dict[str, Any]:
    return {"type": name, "qubits": list(qubits), **more}


def test_names_in_any_case_and_by_their_aliases() -> None:
    loaded = read(listed(gate("H", 0), gate("Cnot", 0, 1), gate("TOFFOLI", 0, 1, 2), gate("cX", 1, 2)))
    assert loaded.facts.operations == {"h": 1, "cx": 2, "ccx": 1, "measure": 3}
    assert set(ALIASES.values()) <= {*standard_gates(), "measure"}


@pytest.mark.parametrize("name", standard_gates())
def test_every_standard_gate(name: str) -> None:
    known = standard_gates()[name]
    angles = [0.3 * (i + 1) for i in range(known.num_params)]
    text = listed(gate(name.upper(), *range(known.num_qubits), params=angles), qubits=known.num_qubits)
    expected = QuantumCircuit(known.num_qubits)
    expected.append(known.make(*angles), range(known.num_qubits))
    assert Operator(read(text).circuit.remove_final_measurements(inplace=False)).equiv(Operator(expected))


def test_what_is_no_gate() -> None:
    loaded = read(
        listed(gate("RESET", 2), gate("X", 0), gate("barrier", 0, 1, 2), gate("MEASURE", 0, 2, clbits=[4, 1]))
    )
    assert loaded.facts.operations == {"reset": 1, "x": 1, "barrier": 1, "measure": 2}
    assert loaded.facts.num_clbits == 5
    assert loaded.facts.terminal_measurements
    assert read(listed(gate("M", 0, clbits=[0]), num_clbits=3)).facts.num_clbits == 3


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (gate("HH", 0), "gate 1 (HH): there is no gate"),
        (gate("CX", 0, 0), "gate 1 (CX): the same qubit is named twice"),
        (gate("CX", 0, 3), "no qubit 3: they are 0 to 2"),
        (gate("CX", 0, -1), "no qubit -1"),
        (gate("CX", 0), "takes 0 params and 2 qubits, not 0 and 1"),
        (gate("RX", 0), "takes 1 params"),
        (gate("X", 0, params=[1]), "takes 0 params"),
        (gate("X", 0, clbits=[1]), "takes no clbits"),
        (gate("MEASURE", 0), "as many clbits"),
        (gate("RESET", 0, 1), "takes 1 qubit"),
        (gate("BARRIER", 0, params=[1]), "takes no params"),
        (gate("X", 0, angle=1), "unknown field `angle` - at `gates[1]`"),
        (gate("RX", 0, params=["pi"]), "gate 1 (RX): 'pi' is neither a number nor the name"),
        (gate("RX", 0, params=[None]), "gates[1].params[0]"),
        ({"type": "X", "qubits": [True]}, "gates[1].qubits[0]"),
        ({"type": "X"}, "missing required field `qubits` - at `gates[1]`"),
    ],
)
def test_an_error_names_the_gate(bad: dict[str, Any], words: str) -> None:
    with pytest.raises(CircuitError) as caught:
        read(listed(gate("H", 0), bad))
    assert words in caught.value.message


def test_no_control_flow_can_be_written() -> None:
    circuit = QuantumCircuit(1, 1)
    with circuit.if_test((0, 1)):
        circuit.x(0)
    with pytest.raises(CircuitError, match="if_else"):
        dump(circuit, Format.JSON)


def test_the_schema_names_every_field() -> None:
    definitions = SCHEMA["$defs"]
    assert definitions["GateList"]["properties"].keys() == {"num_qubits", "gates", "num_clbits", "name"}
    assert definitions["GateEntry"]["properties"].keys() == {"type", "qubits", "params", "clbits"}
    assert definitions["GateList"]["required"] == ["num_qubits", "gates"]


def test_the_documented_example_and_limits() -> None:
    text = (Path(__file__).parents[3] / "docs/circuits.md").read_text("utf-8")
    example = text[text.index("    {\n") : text.index("\n\n| field")]
    assert read(example).facts.operations == {"h": 1, "cx": 1, "rzz": 1, "measure": 2}
    for field in fields(ParseLimits):
        value = 32 if field.name == "bytes" else field.default
        assert f"| {value:,} " in text, field.name
    for alias, name in ALIASES.items():
        assert f"`{alias.upper()}` (`{name.upper()}`)" in text

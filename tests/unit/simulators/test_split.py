"""Circuits whose qubits fall into independent parts."""

from __future__ import annotations

from collections import Counter
from itertools import accumulate

import pytest
from qiskit import QuantumCircuit

from qvirt.circuits.load import load
from qvirt.circuits.parts import FEW_PARTS, MOST_PARTS
from qvirt.circuits.parts import split as divided
from qvirt.model.circuit import CircuitSource
from qvirt.model.run import Limits, RunOptions
from qvirt.simulators import choice, split
from qvirt.simulators.contract import Outcome
from qvirt.simulators.workload import Workload

LIMITS = Limits(memory=1 << 30, threads=2)
OPTIONS = RunOptions(shots=200, seed=3, per_shot_memory=True)


def source(text: str) -> CircuitSource:
    return CircuitSource("test", f'OPENQASM 3.0;\ninclude "stdgates.inc";\n{text}'.encode())


def run(text: str) -> Outcome:
    loaded = load(source(text))
    parts = tuple(Workload(part.circuit, part.facts, OPTIONS) for part in loaded.parts)
    program = choice.prepare(split.CANDIDATE, Workload(loaded.circuit, loaded.facts, OPTIONS, parts), LIMITS)
    while not program.advance(1.0):
        pass
    return program.result()


def pairs(number: int) -> str:
    """The first qubit of each is 1 in some of the shots, the second in the same ones; clbits backwards."""
    last = 2 * number - 1
    lines = [f"qubit[{2 * number}] q; bit[{2 * number}] c;"]
    for a in range(0, 2 * number, 2):
        lines.append(f"ry(1.{a % 7 + 1}) q[{a}]; t q[{a}]; cx q[{a}], q[{a + 1}];")
        lines.append(f"c[{last - a}] = measure q[{a}]; c[{last - a - 1}] = measure q[{a + 1}];")
    return "\n".join(lines)


def test_a_part_has_the_clbits_that_it_writes_and_all_where_it_branches() -> None:
    loaded = load(
        source(
            "qubit[6] q; bit[5] c; bit d;\n"
            "h q[0]; cx q[0], q[1]; c[4] = measure q[1]; c[2] = measure q[0];\n"
            "h q[2]; cx q[2], q[3]; c[1] = measure q[2]; if (c[1]) { x q[3]; }\n"
            "h q[4]; cx q[4], q[5];\n"
        )
    )
    clbits = [
        [loaded.circuit.find_bit(clbit).index for clbit in part.circuit.clbits] for part in loaded.parts
    ]
    assert clbits[:2] == [[4, 2], [0, 1, 2, 3, 4, 5]]
    assert [len(part.circuit.cregs) for part in loaded.parts[:2]] == [0, 2]


@pytest.mark.parametrize("number", [2, 17, 120])
def test_the_bits_of_all_parts_are_joined_shot_by_shot(number: int) -> None:
    outcome = run(pairs(number))
    assert outcome.memory is not None
    assert Counter(outcome.memory) == Counter(outcome.counts)
    assert sum(outcome.counts.values()) == OPTIONS.shots
    for bits in outcome.memory:
        assert bits & int("01" * number, 2) == bits >> 1 & int("01" * number, 2)
    ones = [sum(bits >> clbit & 1 for bits in outcome.memory) for clbit in range(2 * number)]
    assert all(0 < each < OPTIONS.shots for each in ones)


@pytest.mark.parametrize(
    ("widths", "parts"),
    [
        ([2] * FEW_PARTS, [2] * FEW_PARTS),
        ([2] * (FEW_PARTS + 1), [8] * 25 + [2]),
        ([1, 20] * 120, [8] * 15 + [20] * 120),
        ([20] * 150, [20] * 150),
        ([9] * (MOST_PARTS + 1), []),
        ([1] * 500, []),
    ],
)
def test_many_small_parts_are_put_together(widths: list[int], parts: list[int]) -> None:
    ends = list(accumulate(widths))
    circuit = QuantumCircuit(ends[-1])
    for end, width in zip(ends, widths, strict=True):
        for qubit in range(end - width, end - 1):
            circuit.cx(qubit, qubit + 1)
    components = tuple(tuple(range(end - width, end)) for end, width in zip(ends, widths, strict=True))
    made = divided(circuit, components)
    assert sorted(part.num_qubits for part in made) == sorted(parts)
    assert sum(part.size() for part in made) == (circuit.size() if parts else 0)


def test_what_is_certain_ends_in_its_own_clbit() -> None:
    outcome = run(
        "qubit[6] q; bit[9] c; x q[0]; cx q[0], q[1]; t q[0]; x q[4]; cx q[4], q[5]; t q[4]; h q[2];\n"
        "cx q[2], q[3]; c[8] = measure q[0]; c[3] = measure q[1]; c[0] = measure q[5];"
    )
    assert outcome.counts == {1 << 8 | 1 << 3 | 1: OPTIONS.shots}


def test_the_memory_of_the_joined_shots_is_in_the_forecast() -> None:
    loaded = load(source(pairs(40)))
    parts = [part.facts for part in loaded.parts]
    few, many = (
        choice.plan(loaded.facts, RunOptions(shots=shots, seed=1), LIMITS, parts=parts)
        for shots in (1000, 10_000_000)
    )
    (chosen,) = [e for stage in few.stages for e in stage.attempts if e.candidate == split.CANDIDATE]
    assert chosen.memory < 1 << 29
    assert "needs" in next(r.reason for r in many.rejected if r.candidate == split.CANDIDATE)

"""What is forecast for the results of a sweep is what they take."""

from __future__ import annotations

import random
import tracemalloc

import pytest
from qiskit import QuantumCircuit

from qvirt.circuits.facts import analyse
from qvirt.guest import messages
from qvirt.guest.messages import Done, expect
from qvirt.guest.results import result
from qvirt.model.circuit import Format
from qvirt.model.estimate import Candidate
from qvirt.model.order import Answer
from qvirt.model.result import Expectation
from qvirt.model.run import Method, Precision, RunOptions
from qvirt.model.sweep import Sweep
from qvirt.model.wire import to_json
from qvirt.simulators.contract import Outcome
from qvirt.simulators.sweep import result_bytes
from qvirt.simulators.workload import Workload

CANDIDATE = Candidate("qsim", Method.STATEVECTOR, Precision.SINGLE)


@pytest.mark.parametrize(
    ("rows", "distinct", "bits", "observables"),
    [
        (40, 1000, 10, 0),
        (20, 1000, 60, 0),
        (3000, 1, 1, 0),
        (1000, 1, 1, 5),
    ],
)
def test_results_take_what_is_forecast(rows: int, distinct: int, bits: int, observables: int) -> None:
    generator = random.Random(1)
    circuit = QuantumCircuit(bits, bits)
    names = tuple(f"{'Z' * index:I<10}" for index in range(1, observables + 1))
    options = RunOptions(shots=distinct, seed=1, observables=names)
    sweep = Sweep(("a", "b"), tuple((generator.random(), generator.random()) for _ in range(rows)))
    work = Workload(circuit, analyse(circuit, Format.QPY), options, sweep=sweep)

    def outcome() -> Outcome:
        means = tuple(Expectation(name, generator.random(), generator.random()) for name in names)
        return Outcome({generator.getrandbits(bits): 1000 for _ in range(distinct)}, expectations=means)

    tracemalloc.start()
    try:
        outcomes = Outcome({}, rows=tuple(outcome() for _ in range(rows)))
        found = result(outcomes, work, CANDIDATE, 1, 0, None)
        frame = messages.frame(Done(found, 0.1))
        received = expect(Done, messages.reply(frame[messages.HEADER.size :]))
        answer = to_json(Answer(result=received.result))
        taken = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(answer) > rows
    assert taken <= result_bytes(rows, bits, options) <= 2.5 * taken

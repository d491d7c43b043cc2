"""How much faster are 1,000 parameter sets in one go than 1,000 runs?

    python benchmarks/sweep.py [--rows 1000] [--qubits 10] [--layers 3] [--shots 1024] [--repeats 3]

An ansatz of layers of RY and RZ on every qubit and a chain of CX, all angles free. ``torch`` is what
`qvirt run --params` does where it is installed; ``aer`` binds and runs one set after another as qvirt does
without it; ``AerSimulator`` is Qiskit Aer by itself, all bound circuits in one call or with its own
parameter_binds. They take turns, so that a slow spell of the machine touches all of them; the median counts.
No time counts before the answers agree: expectation values to 1e-9, counts within six standard deviations.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit_aer import AerSimulator

from qvirt.circuits import analyse
from qvirt.model.circuit import Format
from qvirt.model.estimate import Candidate
from qvirt.model.run import Limits, Method, Precision, RunOptions
from qvirt.model.sweep import Sweep
from qvirt.simulators.contract import Outcome
from qvirt.simulators.sweep import prepare
from qvirt.simulators.workload import Workload

THREADS = 2
SEED = 3
CHECKED = 50
"""Rows whose counts are compared."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name, amount in (("rows", 1000), ("qubits", 10), ("layers", 3), ("shots", 1024), ("repeats", 3)):
        parser.add_argument(f"--{name}", type=int, default=amount)
    asked = parser.parse_args()
    circuit = ansatz(asked.qubits, asked.layers)
    values = np.random.default_rng(SEED).uniform(-math.pi, math.pi, (asked.rows, circuit.num_parameters))
    names = tuple(parameter.name for parameter in circuit.parameters)
    sweep = Sweep(names, tuple(map(tuple, values.tolist())))
    check(circuit, sweep, asked.shots)
    options = RunOptions(shots=asked.shots, seed=SEED)
    ways: dict[str, Callable[[], object]] = {
        "torch": lambda: rows("torch", circuit, sweep, options),
        "aer": lambda: rows("aer", circuit, sweep, options),
        "AerSimulator, one call": lambda: bound(circuit, values, asked.shots),
        "AerSimulator, parameter_binds": lambda: binds(circuit, values, asked.shots),
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(asked.repeats):
        for name, run in ways.items():
            begun = time.perf_counter()
            run()
            taken[name].append(time.perf_counter() - begun)
    gates = circuit.size() - asked.qubits
    print(
        f"{asked.rows:,} rows, {asked.qubits} qubits, {gates} gates, {asked.shots:,} shots, {THREADS} threads"
    )
    fastest = statistics.median(taken["torch"])
    for name, seconds in taken.items():
        median = statistics.median(seconds)
        each = median / asked.rows * 1e3
        spread = f"{min(seconds):.2f} to {max(seconds):.2f}"
        print(f"{name:30} {median:7.2f} s ({spread})  {each:6.2f} ms a row  {median / fastest:5.1f} x torch")


def ansatz(qubits: int, layers: int) -> QuantumCircuit:
    circuit = QuantumCircuit(qubits)
    for layer in range(layers):
        for qubit in range(qubits):
            circuit.ry(Parameter(f"y{layer}_{qubit}"), qubit)
            circuit.rz(Parameter(f"z{layer}_{qubit}"), qubit)
        for qubit in range(qubits - 1):
            circuit.cx(qubit, qubit + 1)
    circuit.measure_all()
    return circuit


def rows(engine: str, circuit: QuantumCircuit, sweep: Sweep, options: RunOptions) -> Sequence[Outcome]:
    work = Workload(circuit, analyse(circuit, Format.QPY), options, sweep=sweep)
    candidate = Candidate(engine, Method.STATEVECTOR, Precision.DOUBLE)
    program = prepare(candidate, work, Limits(2 << 30, THREADS))
    while not program.advance(0.2):
        pass
    return program.result().rows


def bound(circuit: QuantumCircuit, values: np.ndarray, shots: int) -> object:
    circuits = [circuit.assign_parameters(row) for row in values]
    return simulator().run(circuits, shots=shots, seed_simulator=SEED).result().get_counts()


def binds(circuit: QuantumCircuit, values: np.ndarray, shots: int) -> object:
    columns = {parameter: values[:, i].tolist() for i, parameter in enumerate(circuit.parameters)}
    run = simulator().run(circuit, shots=shots, seed_simulator=SEED, parameter_binds=[columns])
    return run.result().get_counts()


def simulator() -> AerSimulator:
    return AerSimulator(method="statevector", max_parallel_threads=THREADS)


def check(circuit: QuantumCircuit, sweep: Sweep, shots: int) -> None:
    """Also has every engine loaded before a time is taken."""
    n = circuit.num_qubits
    observables = ("Z" * n, f"0.5*{'X' * n} - {'Y' * 2 + 'I' * (n - 2)}")
    options = RunOptions(shots=shots, seed=SEED, observables=observables)
    part = Sweep(sweep.names, sweep.rows[:CHECKED])
    found = [rows(engine, circuit, part, options) for engine in ("torch", "aer")]
    for one, other in zip(*found, strict=True):
        for mean, expected in zip(one.expectations, other.expectations, strict=True):
            assert abs(mean.value - expected.value) < 1e-9, (mean, expected)
        for outcome in one.counts.keys() | other.counts.keys():
            a, b = (each.counts.get(outcome, 0) for each in (one, other))
            assert abs(a - b) < 6 * math.sqrt(a + b + 1), (outcome, a, b)
    bound(circuit, np.array(sweep.rows[:2]), shots)
    binds(circuit, np.array(sweep.rows[:2]), shots)
    print(f"{len(part.rows)} rows checked: expectation values and counts of torch and aer agree")


if __name__ == "__main__":
    main()

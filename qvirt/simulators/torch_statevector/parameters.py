"""One circuit with free parameters, run for many sets of them: compiled once, each set a row of a batch."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import CircuitInstruction, Parameter, ParameterExpression
from qiskit.circuit.controlledgate import ControlledGate
from qiskit.exceptions import QiskitError

from qvirt.errors import Unsupported, UsageError
from qvirt.model.result import Expectation, Position
from qvirt.model.run import Limits, Precision
from qvirt.simulators.checkpoint import Checkpoint, of_no_sweep
from qvirt.simulators.contract import Outcome
from qvirt.simulators.lowering import lower
from qvirt.simulators.observables import parse_observable
from qvirt.simulators.sampling import read_indices
from qvirt.simulators.torch_statevector import cost
from qvirt.simulators.torch_statevector.joining import joined
from qvirt.simulators.torch_statevector.operations import (
    LARGEST_MATRIX,
    Dense,
    Diagonal,
    Matrix,
    Operation,
    basis,
    operation,
    placed,
)
from qvirt.simulators.torch_statevector.plain import PlainUnitary
from qvirt.simulators.torch_statevector.state import State
from qvirt.simulators.torch_statevector.unitary import Traits
from qvirt.simulators.workload import Workload

Floats = NDArray[np.float64]

_TILE_BITS = 16
"""log2 of the amplitudes of the rows that gates work on at a time: a megabyte, for the cache of one core."""

_ORDERS = 5
"""Matrix elements of Qiskit's gates are sums of exp(i k angle / 2) with k from -2 to 2."""

_MOST_ANGLES = 3


class ParameterSweep:
    """The circuit measures at its end, and ``work.sweep`` has a row for each set.

    Row r draws its shots from the seed and r, so that they do not depend on how many rows fit at a time.
    """

    def __init__(self, work: Workload, limits: Limits, precision: Precision = Precision.DOUBLE) -> None:
        assert work.sweep is not None  # noqa: S101
        circuit, options = work.circuit, work.options
        if cost.is_noisy(options):
            raise Unsupported("noise on gates cannot be had for many sets of parameters at a time")
        self._circuit = circuit
        order = [work.sweep.names.index(parameter.name) for parameter in circuit.parameters]
        self._values = np.asarray(work.sweep.rows, np.float64)[:, order]
        self._options = options
        self._traits = Traits("cpu", precision, limits.threads)
        self._unitary, self._clbit_of = _parted(circuit)
        self._observables = {text: parse_observable(text, circuit.num_qubits) for text in options.observables}
        self._at_once = cost.rows_at_once(circuit.num_qubits, len(circuit.data), precision, limits)
        self._outcomes: list[Outcome] = []

    @property
    def fraction(self) -> float:
        return len(self._outcomes) / len(self._values)

    @property
    def position(self) -> Position:
        return Position(rows_done=len(self._outcomes), rows=len(self._values))

    def advance(self, seconds: float) -> bool:
        """As many rows as fit in memory, at least once."""
        torch.set_num_threads(1)
        end = time.perf_counter() + seconds
        while len(self._outcomes) < len(self._values):
            first = len(self._outcomes)
            self._outcomes += self._rows(first, self._values[first : first + self._at_once])
            if time.perf_counter() > end:
                break
        return len(self._outcomes) == len(self._values)

    def checkpoint(self) -> Checkpoint:
        raise of_no_sweep()

    def result(self) -> Outcome:
        return Outcome({}, rows=tuple(self._outcomes))

    def _rows(self, first: int, values: Floats) -> list[Outcome]:
        state = State.zero(len(values), self._circuit.num_qubits, self._traits)
        operations, wires = _bound(self._unitary, values)
        unitary = PlainUnitary(
            joined(operations), state.num_qubits, self._traits, tile_bits=_TILE_BITS, most=64
        )
        for index in range(len(unitary)):
            unitary.run(state.amplitudes, index)
        state.renamed(wires)
        means = {text: state.expectation(each) for text, each in self._observables.items()}
        drawn = state.sample_each(
            self._options.shots, [self._generator(first + i) for i in range(len(values))]
        )
        places = {clbit: state.wires[qubit] for clbit, qubit in self._clbit_of.items()}
        found = []
        for row, indices in enumerate(drawn):
            readings = read_indices(indices, places, self._circuit.num_clbits)
            if self._options.noise is not None:
                readings = readings.flipped(places, self._options.noise, self._generator(first + row, 1))
            expectations = tuple(
                Expectation(text, float(means[text][row]), 0.0) for text in self._options.observables
            )
            found.append(Outcome(readings.counts(), expectations=expectations))
        return found

    def _generator(self, row: int, stream: int = 0) -> np.random.Generator:
        return np.random.default_rng([self._options.seed or 0, row, stream])


def _parted(circuit: QuantumCircuit) -> tuple[QuantumCircuit, dict[int, int]]:
    """The gates, lowered, and which qubit each clbit reads."""
    gates = QuantumCircuit(circuit.qubits)
    clbit_of: dict[int, int] = {}
    for step in circuit.data:
        if step.name == "measure":
            clbit_of[circuit.find_bit(step.clbits[0]).index] = circuit.find_bit(step.qubits[0]).index
        elif step.is_control_flow() or step.name == "reset" or set(step.qubits) & _read(circuit, clbit_of):
            raise Unsupported("a parameter sweep needs a circuit that measures at its end only")
        elif step.name not in ("barrier", "delay"):
            gates._append(step)
    return lower(gates, basis(), LARGEST_MATRIX), clbit_of


def _read(circuit: QuantumCircuit, clbit_of: dict[int, int]) -> set[Any]:
    return {circuit.qubits[qubit] for qubit in clbit_of.values()}


def _bound(circuit: QuantumCircuit, values: Floats) -> tuple[list[Operation], list[int]]:
    """The gates for every row, and where the swaps have left the qubits."""
    column = {parameter: values[:, number] for number, parameter in enumerate(circuit.parameters)}
    wires = list(range(circuit.num_qubits))
    found: list[Operation] = []
    for step in circuit.data:
        on = [circuit.find_bit(qubit).index for qubit in step.qubits]
        if step.name == "swap":
            wires[on[0]], wires[on[1]] = wires[on[1]], wires[on[0]]
            continue
        angles = [_angles(each, column, len(values)) for each in step.params] if _is_free(step) else []
        made = _batched(step, angles, on) if angles else operation(step, on)
        found.append(placed(made, wires))
    return found, wires


def _is_free(step: CircuitInstruction) -> bool:
    return any(isinstance(each, ParameterExpression) and each.parameters for each in step.params)


def _angles(value: Any, column: dict[Parameter, Floats], rows: int) -> Floats:
    try:
        found = _evaluated(value, column, rows)
    except (QiskitError, ArithmeticError) as error:
        raise UsageError(
            f"the angle {value} cannot be computed for every row of the sweep: {error}"
        ) from error
    if not np.isfinite(found).all():
        raise UsageError(f"the angle {value} is not finite for every row of the sweep")
    return found


def _evaluated(value: Any, column: dict[Parameter, Floats], rows: int) -> Floats:
    if not isinstance(value, ParameterExpression):
        return np.full(rows, float(value))
    if isinstance(value, Parameter):
        return column[value]
    used = list(value.parameters)
    slopes = [value.gradient(parameter) for parameter in used]
    if all(isinstance(slope, (int, float)) for slope in slopes):
        zero = float(value.bind(dict.fromkeys(used, 0.0)))
        parts = (slope * column[parameter] for slope, parameter in zip(slopes, used, strict=True))
        return np.asarray(sum(parts, np.full(rows, zero)))
    sets = zip(*(column[parameter] for parameter in used), strict=True)
    return np.array([float(value.bind(dict(zip(used, each, strict=True)))) for each in sets])


def _batched(step: CircuitInstruction, angles: Sequence[Floats], on: Sequence[int]) -> Operation:
    gate = step.operation
    if isinstance(gate, ControlledGate) and not step.is_standard_gate():
        inner = _matrices(type(gate.base_gate), angles)
        return _as_kind(inner, on[gate.num_ctrl_qubits :], on[: gate.num_ctrl_qubits], gate.ctrl_state)
    return _as_kind(_matrices(type(gate), angles), on, (), 0)


def _as_kind(matrices: Matrix, on: Sequence[int], controls: Sequence[int], values: int) -> Operation:
    diagonal = np.einsum("rii->ri", matrices)
    if np.count_nonzero(matrices) == np.count_nonzero(diagonal):
        return Diagonal(tuple(on), diagonal.copy(), tuple(controls), values)
    return Dense(tuple(on), matrices, tuple(controls), values)


def _matrices(kind: Any, angles: Sequence[Floats]) -> Matrix:
    """Of a gate for many angles: (rows, 2**k, 2**k)."""
    terms = _series(kind, len(angles)) if len(angles) <= _MOST_ANGLES else None
    if terms is None:
        return np.array([kind(*each).to_matrix() for each in zip(*angles, strict=True)])
    orders, coefficients = terms
    phases = np.exp(0.5j * (orders @ np.array(angles))).T
    return np.asarray(np.tensordot(phases, coefficients, 1))


@lru_cache(maxsize=256)
def _series(kind: Any, num_angles: int) -> tuple[NDArray[np.int64], Matrix] | None:
    """A gate's matrix as a trigonometric polynomial in half its angles, by Fourier transform.

    The orders (terms, angles) and the matrices that they have; None where it is none of these.
    """
    grid = 4 * np.pi * np.arange(_ORDERS) / _ORDERS
    sampled = np.array([kind(*each).to_matrix() for each in product(grid, repeat=num_angles)])
    size = sampled.shape[-1]
    axes = tuple(range(num_angles))
    series = np.fft.fftn(sampled.reshape(*(_ORDERS,) * num_angles, size, size), axes=axes) / len(sampled)
    series = series.reshape(-1, size, size)
    orders = np.array(list(product(np.fft.fftfreq(_ORDERS, 1 / _ORDERS).astype(int), repeat=num_angles)))
    series[np.abs(series) < 1e-12] = 0
    used = np.flatnonzero(np.abs(series).sum((1, 2)))
    test = np.array([0.3, 1.1, -2.3][:num_angles])
    made = np.tensordot(np.exp(0.5j * (orders[used] @ test)), series[used], 1)
    return (orders[used], series[used]) if np.allclose(made, kind(*test).to_matrix(), atol=1e-10) else None

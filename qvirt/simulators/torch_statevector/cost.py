"""What the torch engine takes: amounts of work, memory, and how shots are gone through. It loads nothing."""

from __future__ import annotations

import sys

from qvirt.model.circuit import CircuitFacts
from qvirt.model.estimate import Candidate
from qvirt.model.run import Limits, Method, Precision, RunOptions
from qvirt.simulators.active import width
from qvirt.simulators.contract import Constants
from qvirt.simulators.sampling import reading_memory
from qvirt.simulators.torch_statevector import blocks, sizes

LOAD_SECONDS = 1.3
"""What the first circuit of a process waits for torch."""

LOAD_MEMORY = 200 << 20

BASE_MEMORY = 32 << 20
_GATE_MEMORY = 2400
_MOST_AMPLITUDES = 1 << 22
"""Of a batch of states: with more of them it does not get faster."""

LOSS = {Precision.FLOAT8: 7.2e-4, Precision.BFLOAT16: 3.7e-6, Precision.HALF: 4.5e-8}
"""What a sweep takes from the fidelity: measured on random circuits of 8 to 14 qubits, with 2 to 5 sweeps."""

MOST_COMPARED_QUBITS = 22
"""Up to which the fidelity is measured, by running the circuit in double precision too."""

MOST_SWEPT_QUBITS = 13
"""Up to which a batch of parameter sets is faster than one after another with fused gates: measured."""

_MOST_SWEPT = 1 << 18
_MOST_ROWS = 1024
"""Amplitudes and rows of a batch of parameter sets, so that it can be watched: about 0.2 seconds' work."""

_CONSTANTS: dict[Method, Constants] = {
    Method.STATEVECTOR: {
        "run": 1e-3,
        "gate": 1.8e-5,
        "sweep": 2.5e-9,
        "tile": 7e-9,
        "amplitude": 1e-9,
        "shot": 1.3e-7,
        "term": 1.5e-8,
        "step": 2.5e-4,
        "work": 1.5e-9,
        "branch": 1e-3,
    },
    Method.DENSITY_MATRIX: {
        "run": 1.4e-3,
        "gate": 2e-5,
        "sweep": 1.7e-9,
        "amplitude": 5e-9,
        "shot": 1.4e-7,
        "term": 1e-8,
        "work": 1e-8,
        "branch": 1e-3,
    },
}
"""Fitted with two threads, in double precision."""


def constants(candidate: Candidate) -> Constants:
    found = _CONSTANTS[candidate.method]
    if candidate.precision is Precision.DOUBLE:
        return found
    return {**found, "sweep": found["sweep"] / 2}


def is_noisy(options: RunOptions) -> bool:
    return options.noise is not None and options.noise.on_gates


def is_terminal(facts: CircuitFacts) -> bool:
    return facts.terminal_measurements and not facts.control_flow


def is_one_state(candidate: Candidate, facts: CircuitFacts, options: RunOptions) -> bool:
    """One final state says all; else there is one for every history of chance."""
    return is_terminal(facts) and (candidate.method is Method.DENSITY_MATRIX or not is_noisy(options))


def sweeps(candidate: Candidate, facts: CircuitFacts, options: RunOptions) -> bool:
    """Many sets of parameters go together, and that is faster than one after another."""
    exact = candidate.method is Method.STATEVECTOR and not candidate.precision.is_reduced
    small = facts.num_qubits <= MOST_SWEPT_QUBITS and not facts.resets
    return exact and small and is_one_state(candidate, facts, options)


def rows_at_once(num_qubits: int, gates: int, precision: Precision, limits: Limits) -> int:
    """Rows of a sweep."""
    each = _row_bytes(num_qubits, gates, precision)
    fits = (limits.memory - _sweep_base(num_qubits, precision)) // each
    return max(1, min(fits, _MOST_ROWS, _MOST_SWEPT >> num_qubits))


def sweep_memory(candidate: Candidate, facts: CircuitFacts, limits: Limits, rows: int) -> int:
    qubits, precision = facts.num_qubits, candidate.precision
    at_once = min(rows, rows_at_once(qubits, facts.size, precision, limits))
    return _sweep_base(qubits, precision) + at_once * _row_bytes(qubits, facts.size, precision)


def _sweep_base(num_qubits: int, precision: Precision) -> int:
    return BASE_MEMORY + LOAD_MEMORY + sizes.work_bytes(1 << 20, num_qubits, precision, "cpu")


def _row_bytes(num_qubits: int, gates: int, precision: Precision) -> int:
    """With the matrices of gates, of which joined ones are on up to two qubits."""
    return sizes.state_bytes(1, num_qubits, precision) + 3 * 16 * 16 * gates + (16 << num_qubits)


def sweep_seconds(facts: CircuitFacts, options: RunOptions, rows: int) -> float:
    """Measured in double precision on one thread, with 2 to 16 qubits."""
    amplitudes = 2.0**facts.num_qubits
    terms = sum(1 + text.count("+") + text.count("-") for text in options.observables)
    row = 5e-5 + 1.3e-7 * options.shots + facts.gates * (1.5e-6 + 2.5e-9 * amplitudes)
    return 1e-4 * facts.gates + rows * (row + 1.5e-8 * terms * amplitudes)


def is_loaded() -> bool:
    return "torch" in sys.modules


def index_bits(candidate: Candidate, facts: CircuitFacts, options: RunOptions) -> int:
    """Of an amplitude."""
    qubits = width(facts, options)
    return 2 * qubits if candidate.method is Method.DENSITY_MATRIX else qubits


def held(candidate: Candidate, facts: CircuitFacts, options: RunOptions, shots: int) -> int:
    """States that there are at once at most, where ``shots`` are gone through together."""
    if is_one_state(candidate, facts, options):
        return 1
    if _is_drawn(candidate, options):
        # Rows are copied where they split.
        return 2 * shots + 1
    return min(shots, _splits(facts)) + 2


def shots_at_once(
    candidate: Candidate, facts: CircuitFacts, options: RunOptions, limits: Limits, device: str
) -> int:
    if is_one_state(candidate, facts, options):
        return options.shots
    bits, precision = index_bits(candidate, facts, options), candidate.precision
    work = _work_bytes(options.shots, bits, precision, device, limits)
    states = (limits.memory - _fixed(facts, options) - work) // sizes.state_bytes(1, bits, precision)
    if _is_drawn(candidate, options):
        return max(1, min(options.shots, (states - 1) // 2, _MOST_AMPLITUDES >> bits))
    fits = held(candidate, facts, options, options.shots) <= states
    return options.shots if fits else max(1, min(options.shots, states - 2))


def _is_drawn(candidate: Candidate, options: RunOptions) -> bool:
    """Noise is, so that each shot may have a state of its own."""
    return is_noisy(options) and candidate.method is not Method.DENSITY_MATRIX


def _splits(facts: CircuitFacts) -> int:
    """Branches that may wait while one is gone through."""
    loops = facts.operations.keys() & {"while_loop", "for_loop"}
    return sys.maxsize if loops else facts.collapses


def memory(
    candidate: Candidate, facts: CircuitFacts, options: RunOptions, limits: Limits, device: str
) -> int:
    """Bytes, never below what is taken. States are changed in place, a tile at a time."""
    bits, precision = index_bits(candidate, facts, options), candidate.precision
    shots = shots_at_once(candidate, facts, options, limits, device)
    states = held(candidate, facts, options, shots)
    size = sizes.state_bytes(states, bits, precision) + _work_bytes(shots, bits, precision, device, limits)
    if options.state:
        size += 32 << bits
    if compares(candidate, facts, options, limits):
        size += (16 + 48) << bits
    return _fixed(facts, options) + size


def _work_bytes(rows: int, bits: int, precision: Precision, device: str, limits: Limits) -> int:
    """Beside the states: of the plain path, or of the one in blocks."""
    plain = sizes.work_bytes(rows, bits, precision, device)
    return max(plain, blocks.work_bytes(bits, precision, limits.threads)) if device == "cpu" else plain


def compares(candidate: Candidate, facts: CircuitFacts, options: RunOptions, limits: Limits) -> bool:
    """The fidelity is measured: the state in double precision fits beside the other, and so do copies."""
    if not candidate.precision.is_reduced or not is_one_state(candidate, facts, options):
        return False
    qubits = width(facts, options)
    return qubits <= MOST_COMPARED_QUBITS and (80 << qubits) + _fixed(facts, options) <= limits.memory


def features(candidate: Candidate, facts: CircuitFacts, options: RunOptions) -> dict[str, float]:
    """Amounts of work; where there are many histories, what they take is ``work`` and ``step``."""
    amplitudes = 2.0 ** index_bits(candidate, facts, options)
    terms = sum(1 + text.count("+") + text.count("-") for text in options.observables)
    found = {"run": 1.0, "shot": float(options.shots), "amplitude": amplitudes}
    noisy = is_noisy(options)
    if is_one_state(candidate, facts, options):
        # A channel is joined with its gate, but ends most blocks.
        gates = facts.gates * (3.0 if noisy else 1.0)
        passes = facts.passes * (3.0 if noisy else 1.0)
        # Formats that are not computed with are read and rounded at every sweep.
        tile = passes if candidate.precision.is_reduced else 0.0
        found |= {"gate": gates, "sweep": passes * amplitudes, "tile": tile * amplitudes}
        return found | {"term": terms * amplitudes}
    if _is_drawn(candidate, options):
        # Rows go together, and split where they are struck.
        steps = 2.0 * facts.size
        found |= {"step": steps, "work": steps * amplitudes * options.shots / 2}
        return found | {"term": terms * amplitudes * options.shots}
    branches = float(min(options.shots, 1 << min(facts.collapses, 30)))
    return found | {
        "branch": branches,
        "work": facts.size * amplitudes * branches / 2,
        "amplitude": amplitudes * branches,
        "term": terms * amplitudes * branches,
    }


def _fixed(facts: CircuitFacts, options: RunOptions) -> int:
    load = 0 if is_loaded() else LOAD_MEMORY
    return BASE_MEMORY + load + _GATE_MEMORY * facts.size + reading_memory(facts, options)

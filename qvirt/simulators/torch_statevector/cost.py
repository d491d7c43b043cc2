"""What the torch engine takes: amounts of work, memory, and how shots are gone through. It loads nothing."""

from __future__ import annotations

import sys

from qvirt.model.circuit import CircuitFacts
from qvirt.model.estimate import Candidate
from qvirt.model.run import Device, Limits, Method, Precision, RunOptions
from qvirt.simulators.active import width
from qvirt.simulators.contract import Constants
from qvirt.simulators.sampling import reading_memory
from qvirt.simulators.torch_statevector import blocks, devices, sizes

LOAD_SECONDS = 1.3
"""What the first circuit of a process waits for torch."""

LOAD_MEMORY = 200 << 20

BASE_MEMORY = 32 << 20
_GATE_MEMORY = 2400
_MOST_AMPLITUDES = 1 << 22
"""Of a batch of states: with more of them it does not get faster."""

_FUSED_SHARE = 0.5
"""Of a GPU's bandwidth, that a fused pass reaches: assumed."""

_PLAIN_PASSES = 4.0
_GATES_A_PASS = 3.0
_GATE_LAUNCHES = 12
_READ_LAUNCHES = 40
_READ_BYTES = 128
"""By what the plain path does: the passes and the operations of a gate, the gates of one that would be fused,
the operations of a reading, and what that moves for each amplitude."""

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
        "run": 2e-3,
        "gate": 7e-5,
        "sweep": 2e-10,
        "window": 4.2e-9,
        "tile": 7e-9,
        "amplitude": 4.8e-9,
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
"""In double precision, with two threads; those of state vectors were fitted to runs in single precision."""


def constants(candidate: Candidate) -> Constants:
    found = _CONSTANTS[candidate.method]
    if candidate.precision is Precision.DOUBLE:
        return found
    halved = {name: found[name] / 2 for name in ("sweep", "window") if name in found}
    return {**found, **halved}


def is_noisy(options: RunOptions) -> bool:
    return options.noise is not None and options.noise.on_gates


def is_terminal(facts: CircuitFacts) -> bool:
    return facts.terminal_measurements and not facts.control_flow


def is_one_state(candidate: Candidate, facts: CircuitFacts, options: RunOptions) -> bool:
    """One final state says all; else there is one for every history of chance."""
    return is_terminal(facts) and (candidate.method is Method.DENSITY_MATRIX or not is_noisy(options))


def sweeps(candidate: Candidate, facts: CircuitFacts, options: RunOptions) -> bool:
    """Many sets of parameters go together, and that is faster than one after another."""
    if candidate.device is not None:
        return False
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


def device_constants(candidate: Candidate, device: Device) -> Constants:
    """From what the trial has measured of a GPU. What a pass takes of the bandwidth there is assumed, and
    not measured on any yet."""
    amplitude = 2 * candidate.precision.amplitude_bytes / device.bandwidth
    fused = amplitude / _FUSED_SHARE
    plain = amplitude * _PLAIN_PASSES
    found = constants(candidate)
    return {
        **found,
        "run": found["run"] + _READ_LAUNCHES * device.launch,
        "gate": found["gate"] + (1 if device.triton else _GATE_LAUNCHES) * device.launch,
        "sweep": fused if device.triton else plain * _GATES_A_PASS,
        "window": 0.0,
        "tile": 0.0,
        "amplitude": _READ_BYTES / device.bandwidth,
        "term": _READ_BYTES / device.bandwidth,
        "step": found.get("step", 0.0) + _GATE_LAUNCHES * device.launch,
        "work": plain,
        "branch": found["branch"] + _READ_LAUNCHES * device.launch,
    }


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


def shots_at_once(candidate: Candidate, facts: CircuitFacts, options: RunOptions, limits: Limits) -> int:
    if is_one_state(candidate, facts, options):
        return options.shots
    bits, precision = index_bits(candidate, facts, options), candidate.precision
    room = _room(candidate, facts, options, limits) - _work_bytes(options.shots, candidate, bits, limits)
    states = room // sizes.state_bytes(1, bits, precision)
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


def memory(candidate: Candidate, facts: CircuitFacts, options: RunOptions, limits: Limits) -> tuple[int, int]:
    """Bytes of the host and of the GPU, never below what is taken. States are changed in place, a tile at a
    time; a GPU that shares the host's memory takes its part of that."""
    bits = index_bits(candidate, facts, options)
    shots = shots_at_once(candidate, facts, options, limits)
    states = held(candidate, facts, options, shots)
    inside = sizes.state_bytes(states, bits, candidate.precision)
    inside += _work_bytes(shots, candidate, bits, limits)
    read = 32 << bits if options.state else 0
    if compares(candidate, facts, options, limits):
        inside += 16 << bits
        read += 48 << bits
    host = _fixed(facts, options) + read
    device = limits.device(candidate.device)
    if device is None:
        return host + inside, 0
    inside += _GATE_MEMORY * facts.size  # matrices and tables are on both sides
    host += 0 if devices.is_started(device.name) else device.host_memory
    host += sizes.copied_bytes(shots, bits, device.kind)
    return (host + inside if device.kind == "mps" else host), inside


def _room(candidate: Candidate, facts: CircuitFacts, options: RunOptions, limits: Limits) -> int:
    """Bytes for states and the work on them, where they are kept."""
    device = limits.device(candidate.device)
    return limits.memory - _fixed(facts, options) if device is None else device.memory


def _work_bytes(rows: int, candidate: Candidate, bits: int, limits: Limits) -> int:
    """Beside the states: of the plain path, or of the one in blocks."""
    plain = sizes.work_bytes(rows, bits, candidate.precision, candidate.device or "cpu")
    if candidate.device is not None:
        return plain
    return max(plain, blocks.work_bytes(bits, candidate.precision, limits.threads))


def compares(candidate: Candidate, facts: CircuitFacts, options: RunOptions, limits: Limits) -> bool:
    """The fidelity is measured: the state in double precision fits beside the other, and so do copies."""
    if not candidate.precision.is_reduced or not is_one_state(candidate, facts, options):
        return False
    qubits = width(facts, options)
    if qubits > MOST_COMPARED_QUBITS:
        return False
    device = limits.device(candidate.device)
    if device is None:
        return (80 << qubits) + _fixed(facts, options) <= limits.memory
    if device.kind == "mps":
        return False  # it has no double precision
    return 32 << qubits <= device.memory and (48 << qubits) + _fixed(facts, options) <= limits.memory


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
        found["window"] = facts.windows * amplitudes
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

"""What Aer's methods take: amounts of work, memory, and how shots are gone through."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from qvirt.model.circuit import CircuitFacts
from qvirt.model.estimate import Candidate
from qvirt.model.run import Limits, Method, RunOptions
from qvirt.simulators.active import width
from qvirt.simulators.contract import Constants, predicted
from qvirt.simulators.sampling import reading_memory

FUSED_FROM = 13
"""Qubits from which joining gates pays (measured; on four qubits Aer's fusion took 5 s for 6000 gates)."""

SHARED_FROM = 17
"""Qubits from which several threads work on one state (a density matrix counts twice).

From 15 on two threads are faster on a machine that is quiet. On a busy one they wait for each other at
every gate, which made 40 ms of work at 16 qubits take 400.
"""

MOST_QUBITS = {Method.STATEVECTOR: 50, Method.DENSITY_MATRIX: 25, Method.EXTENDED_STABILIZER: 63}

CERTAIN_BOND_BITS = 6.0
"""log2 of the bond dimension up to which the work of a matrix product state is known well enough."""

BATCH = 4096
"""Shots that are gone through at a time."""

READ_BLOCK = 4 << 20
"""Bytes of vectors that are read from a matrix product state at a time; some ten times that is taken."""

_BRANCHING_FROM = 11
"""Qubits from which sharing a state pays however many histories there are."""

_LONG_BATCH = 100_000

_BASE_MEMORY = 1 << 20
"""What a run takes beside the state in a worker that has loaded Aer; 0.3 MiB were measured."""
_STATEVECTOR_MEMORY = 3 << 19
"""What a state vector takes beside that; 1.6 to 2.4 MiB were measured with it."""
_GATE_MEMORY = 1700
_GENERATOR_MEMORY = 2600
"""Bytes of Aer's random generator: one for every shot, and another at every split that the shot takes."""

SEGMENT_SECONDS = 1.0
MOVING_SHARE = 0.05
"""Share of the time that saving and setting the state between segments may take."""

_MOVE_SECONDS = 1e-7
"""For an amplitude, from one segment to the next: 0.6e-7 to 1.1e-7 were measured at 20 to 22 qubits."""

_MOVING = 10
"""States' worth of memory that this takes: 9 were measured in single precision, 6 in double."""

_SHOTS = {"trial": 2.5e-5, "branch": 6e-5, "step": 6e-7, "work": 6e-10}
CONSTANTS: dict[Method, Constants] = {
    Method.STATEVECTOR: {
        "run": 4e-4,
        "gate": 1.1e-5,
        "apply": 2.8e-9,
        "sweep": 2.3e-9,
        "dense": 5.6e-9,
        "amplitude": 1.5e-8,
        "shot": 2e-7,
        "term": 3e-9,
        **_SHOTS,
    },
    Method.DENSITY_MATRIX: {
        "run": 4e-4,
        "gate": 2e-5,
        "noise": 1e-2,
        "pair": 1.2e-8,
        "apply": 1e-9,
        "amplitude": 1e-8,
        "shot": 2e-7,
        "term": 3e-9,
        **_SHOTS,
        "work": 1.5e-9,
    },
    Method.MPS: {"run": 1e-3, "gate": 2e-5, "bond": 1e-8, "row": 2e-7, "read": 5e-9, "shot": 1e-6, **_SHOTS},
    Method.STABILIZER: {"run": 5e-4, "gate": 1e-5, "row": 1e-9, "shot": 1e-6, "read": 2e-8, **_SHOTS},
    Method.EXTENDED_STABILIZER: {"run": 1e-3, "gate": 1e-5, "read": 2e-5},
}


@dataclass(frozen=True, slots=True)
class ShotPolicy:
    """``parallel`` shots at the same time; ``branched``: those that read the same share one state."""

    branched: bool
    batch: int
    parallel: int
    histories: int
    """Of one batch, at most."""


def metropolis_steps(qubits: int) -> int:
    """Each shot of an extended stabilizer is a random walk; its time to mix grows with the qubits."""
    return 500 + 100 * qubits


def is_noisy(options: RunOptions) -> bool:
    return options.noise is not None and options.noise.on_gates


def is_one_state(candidate: Candidate, facts: CircuitFacts, options: RunOptions) -> bool:
    """One final state, gone through once, says all; else there is one for every history of chance."""
    exact_noise = candidate.method is Method.DENSITY_MATRIX
    return facts.terminal_measurements and (exact_noise or not is_noisy(options))


def shot_policy(
    candidate: Candidate, facts: CircuitFacts, options: RunOptions, limits: Limits | None = None
) -> ShotPolicy:
    """Branches are never more than fit: Aer 0.18 writes past its states where they are."""
    if is_one_state(candidate, facts, options):
        return ShotPolicy(False, min(_LONG_BATCH, options.shots), 1, 1)
    held = state_memory(candidate, facts, options)
    memory = limits.memory - _BASE_MEMORY if limits else sys.maxsize
    threads = limits.threads if limits else 1
    batch = min(BATCH, options.shots)
    # Beyond what Aer needs: with less than twice the memory of its states it runs no shot at all.
    parallel = max(1, min(threads, memory // (2 * held)))
    splits = min(facts.collapses, 30)
    at_once = max(1, min(batch, memory // (2 * held)))
    histories = min(at_once, 1 << splits)
    loops = facts.operations.keys() & {"for_loop", "while_loop"}
    branched = (
        candidate.method in (Method.STATEVECTOR, Method.DENSITY_MATRIX)
        and not (loops or options.observables or options.noise)
        and (16 * histories <= batch or width(facts, options) >= _BRANCHING_FROM)
        and at_once >= 16
        # Aer warns that its branches are unstable there.
        and sys.platform != "darwin"
    )
    if not branched:
        return ShotPolicy(False, batch, parallel, batch)
    if histories == at_once:
        batch = at_once
    return ShotPolicy(True, batch, 1, histories)


def features(
    candidate: Candidate, facts: CircuitFacts, options: RunOptions, limits: Limits | None = None
) -> dict[str, float]:
    """Amounts of work; where there are many histories, what one takes is ``work`` and ``step``."""
    once = is_one_state(candidate, facts, options)
    found: dict[str, float] = {"run": 1, "gate": facts.gates, "shot": options.shots}
    passes = 1.0
    if not once:
        policy = shot_policy(candidate, facts, options, limits)
        batches = -(-options.shots // policy.batch)
        passes = batches * policy.histories if policy.branched else options.shots
        found |= {"run": batches, "gate": batches * facts.size, "trial": options.shots}
        found["branch"] = passes if policy.branched else 0
        # Noise is drawn and joined with the gates anew for every shot.
        found["step"] = passes * facts.size * (8 if is_noisy(options) else 1)
    terms = sum(1 + text.count("+") + text.count("-") for text in options.observables)
    qubits = width(facts, options)
    match candidate.method:
        case Method.STATEVECTOR:
            amplitudes = 2.0**qubits
            found |= _sweeps(facts, qubits) if once else {"work": passes * _touched(facts, qubits)}
            found |= {"amplitude": amplitudes, "term": terms * amplitudes * passes}
        case Method.DENSITY_MATRIX:
            amplitudes = 4.0**qubits
            pairs = (facts.two_qubit_gates + 6 * facts.larger_gates) * amplitudes
            found |= {"pair": pairs, "apply": facts.one_qubit_gates * amplitudes} if once else {}
            work = passes * facts.size * amplitudes
            found |= {"noise": float(is_noisy(options))} if once else {"work": work}
            found |= {"amplitude": amplitudes, "term": terms * amplitudes * passes}
        case Method.MPS:
            found |= _mps_features(facts, options.shots, qubits)
            found["bond"] *= passes
        case Method.STABILIZER:
            found |= {"row": passes * facts.gates * qubits, "read": options.shots * qubits * qubits}
        case Method.EXTENDED_STABILIZER:
            found["read"] = (
                options.shots * metropolis_steps(qubits) * (1 + 0.1 * (facts.gates - facts.clifford_gates))
            )
    return found


def _sweeps(facts: CircuitFacts, qubits: int) -> dict[str, float]:
    """Diagonal gates and gates with many controls leave most of their pass to the memory."""
    if qubits < FUSED_FROM:
        return {"apply": facts.gates * 2.0**qubits}
    light = (facts.diagonal_gates + facts.larger_gates) / max(1, facts.gates)
    sweeps = facts.passes * 2.0**qubits
    return {"sweep": sweeps, "dense": sweeps * max(0.0, 1.0 - light)}


def _touched(facts: CircuitFacts, qubits: int) -> float:
    return (facts.gates if qubits < FUSED_FROM else 4 * facts.passes) * 2.0**qubits


def _mps_features(facts: CircuitFacts, shots: int, qubits: int) -> dict[str, float]:
    """At most as many prefixes are read as there are shots, and no more than 2 to the qubits read so far."""
    split = min(qubits, shots.bit_length())
    rows = 2.0**split + max(0, qubits - split) * shots
    return {"bond": facts.bond_cost, "row": rows, "read": rows * 4.0 ** min(facts.bond_bits, 15.0)}


def state_memory(candidate: Candidate, facts: CircuitFacts, options: RunOptions) -> int:
    """Bytes of one state."""
    qubits, size = width(facts, options), candidate.precision.amplitude_bytes
    match candidate.method:
        case Method.STATEVECTOR:
            return size << qubits
        case Method.DENSITY_MATRIX:
            return size << (2 * qubits)
        case Method.MPS:
            return _mps_memory(facts, qubits)
        case Method.STABILIZER:
            return max(1 << 12, qubits * qubits)
        case _:
            return 1 << min(40, 20 + int(0.23 * (facts.gates - facts.clifford_gates)))


def _mps_memory(facts: CircuitFacts, qubits: int) -> int:
    """The tensors at the bound, the copies that are read, and the matrices of the largest SVD."""
    bond = 2.0 ** min(facts.bond_bits, 30.0)
    tensors = sum(32.0 * min(bond, 2.0 ** min(place, qubits - place, 60)) ** 2 for place in range(qubits))
    return int(min(3 * tensors + 64 * bond * bond * 4, 2.0**60))


def segments(candidate: Candidate, facts: CircuitFacts, options: RunOptions, limits: Limits) -> int:
    """How many times Aer is called for one final state: often enough to be watched, where that costs little
    of the time and there is memory for it."""
    dense = candidate.method in (Method.STATEVECTOR, Method.DENSITY_MATRIX)
    if not dense or not is_one_state(candidate, facts, options):
        return 1
    seconds = predicted(features(candidate, facts, options, limits), CONSTANTS[candidate.method])
    state = state_memory(candidate, facts, options)
    move = _MOVE_SECONDS * state / candidate.precision.amplitude_bytes
    if _MOVING * state + _fixed_memory(facts, options) > limits.memory:
        return 1
    return max(1, int(min(seconds / SEGMENT_SECONDS, MOVING_SHARE * seconds / move)))


def memory(candidate: Candidate, facts: CircuitFacts, options: RunOptions, limits: Limits) -> int:
    """Bytes beside the loaded library; for dense states never below what is taken."""
    held, qubits = state_memory(candidate, facts, options), width(facts, options)
    if not is_one_state(candidate, facts, options):
        policy = shot_policy(candidate, facts, options, limits)
        held *= policy.histories if policy.branched else policy.parallel
        generators = 3 + min(facts.collapses, 12) if policy.branched else 1
        held += _GENERATOR_MEMORY * generators * policy.batch
    elif candidate.method is Method.STATEVECTOR:
        held += _STATEVECTOR_MEMORY
        if options.probabilities:
            held += 16 << qubits
        if options.state and candidate.precision.amplitude_bytes < 16:
            held += 16 << qubits
    elif candidate.method is Method.MPS:
        held += 10 * READ_BLOCK + ((48 << qubits) if options.state else 0)
    if options.start or segments(candidate, facts, options, limits) > 1:
        held = max(held, _MOVING * state_memory(candidate, facts, options))
    return _fixed_memory(facts, options) + held


def _fixed_memory(facts: CircuitFacts, options: RunOptions) -> int:
    """What is taken beside the states."""
    return _BASE_MEMORY + _GATE_MEMORY * facts.size + reading_memory(facts, options)

"""Dense state vectors by qsim (Google): the fastest on a CPU, in single precision only.

What single precision costs was measured against double: after 30,000 gates on 10 qubits the fidelity is
1 - 2e-11, after 3,000 on 20 qubits 1 - 3e-12. States are normalised before they are read.

The native module is loaded by itself: the package ``qsimcirq`` would import Cirq, which takes two
seconds. A call to it holds the interpreter's lock and ends only when it is done (or killed), so a long
circuit is run piece by piece where memory allows: a piece takes the state of the last one.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import CircuitInstruction
from qiskit.circuit.controlledgate import ControlledGate
from qiskit.circuit.library import get_standard_gate_name_mapping

from qvirt.errors import EngineFailed, Unavailable
from qvirt.model.circuit import CircuitFacts
from qvirt.model.estimate import Candidate, Estimate
from qvirt.model.result import Expectation
from qvirt.model.run import Limits, Method, Precision, RunOptions
from qvirt.simulators.contract import Constants, Outcome
from qvirt.simulators.lowering import lower
from qvirt.simulators.observables import mean, parse_observable
from qvirt.simulators.sampling import (
    clbit_probabilities,
    draw,
    final_state_refusal,
    read_indices,
    reading_memory,
)
from qvirt.simulators.workload import Workload

CANDIDATE = Candidate("qsim", Method.STATEVECTOR, Precision.SINGLE)

PIECE = 1000
"""Gates in one native call: starting one costs as much as some forty gates."""

_MODULES = ("qsim_avx512", "qsim_avx2", "qsim_sse", "qsim_basic")
_LARGEST_MATRIX = 6
_LARGEST_PLAIN = 3
"""Gates on more qubits are given with their controls, which touch only a part of the amplitudes."""

_MOST_QUBITS = 40
_UNUSED_OPTIONS = {"s": 1, "v": 0, "z": False, "r": 1, "g": False, "gmode": 0, "gsst": 32, "gdb": 16}
"""Seed, verbosity, flushing of denormals (it would stay on for the process) and GPU: all must be given."""

_BASE_MEMORY = 16 << 20
_GATE_MEMORY = 1200


class QsimSimulator:
    name = "qsim"
    stops_by_itself = False

    def version(self) -> str | None:
        with suppress(PackageNotFoundError):
            return version("qsimcirq")
        return None

    def candidates(self) -> tuple[Candidate, ...]:
        return (CANDIDATE,)

    def supports(self, candidate: Candidate, facts: CircuitFacts, options: RunOptions) -> str | None:
        if _width(facts, options) > _MOST_QUBITS:
            return f"a state vector of {_width(facts, options)} qubits is too large for any machine"
        return final_state_refusal(facts, options)

    def features(self, candidate: Candidate, facts: CircuitFacts, options: RunOptions) -> dict[str, float]:
        amplitudes = 2.0 ** _width(facts, options)
        many = facts.operations.get("mcx", 0) + facts.operations.get("mcphase", 0)
        # Blocks of three qubits hold few gates on two, and hardly two on three.
        pairs = facts.two_qubit_gates + 2.5 * (facts.larger_gates - many)
        return {
            "run": 1,
            "gate": facts.gates,
            "pair": pairs * amplitudes,
            "sweep": (facts.passes + many) * amplitudes,
            "amplitude": amplitudes * (1 + facts.gates // PIECE),
            "shot": options.shots,
            "term": amplitudes * sum(1 + text.count("+") + text.count("-") for text in options.observables),
        }

    def constants(self, candidate: Candidate) -> Constants:
        """With two threads."""
        return {
            "run": 1e-4,
            "gate": 5.3e-6,
            "pair": 2e-10,
            "sweep": 6e-11,
            "amplitude": 4.5e-9,
            "shot": 2.9e-7,
            "term": 7e-9,
        }

    def estimate(
        self,
        candidate: Candidate,
        facts: CircuitFacts,
        options: RunOptions,
        limits: Limits,
        constants: Constants,
    ) -> Estimate:
        features = self.features(candidate, facts, options)
        qubits = _width(facts, options)
        pieces = _in_pieces(qubits, facts.gates, limits)
        gates = _GATE_MEMORY * min(facts.gates, PIECE if pieces else facts.gates)
        running = (8 << qubits) * (2 if pieces else 1)
        reading = (8 << qubits) * (3 if options.state or options.probabilities else 1)
        return Estimate(
            candidate,
            memory=_BASE_MEMORY + gates + max(running, reading + reading_memory(facts, options)),
            seconds=sum(constants.get(name, 0.0) * amount for name, amount in features.items()),
            error=1.5,
            certain=True,
            reason=f"a dense state vector of {qubits} qubits by the fastest engine for it",
        )

    def prepare(
        self, candidate: Candidate, work: Workload, limits: Limits, checkpoint: bytes | None = None
    ) -> QsimProgram:
        return QsimProgram(_native(), work, limits, checkpoint)


class QsimProgram:
    """Qubits that nothing acts on are left out, unless the whole state is asked for."""

    def __init__(
        self, native: ModuleType, work: Workload, limits: Limits, checkpoint: bytes | None = None
    ) -> None:
        unitary, clbit_of = work.terminal
        self._native = native
        self._work = work
        self._circuit = lower(unitary, _basis(), _LARGEST_MATRIX)
        self._threads = limits.threads
        active = _active(work.facts, work.options)
        place = {qubit: number for number, qubit in enumerate(active)}
        self._place = {bit: place.get(number, 0) for number, bit in enumerate(self._circuit.qubits)}
        self._width = len(active)
        self._clbit_of = {clbit: place[qubit] for clbit, qubit in clbit_of.items()}
        self._piece = PIECE if _in_pieces(self._width, work.facts.gates, limits) else len(self._circuit.data)
        self._done = 0
        self._state: NDArray[np.float32] | None = None
        if checkpoint:
            self._done = int.from_bytes(checkpoint[:8], "little")
            self._state = np.frombuffer(checkpoint[8:], "<f4")

    @property
    def fraction(self) -> float:
        steps = len(self._circuit.data)
        return self._done / steps if steps else float(self._state is not None)

    def advance(self, seconds: float) -> bool:
        """One piece, however long it takes."""
        piece = self._circuit.data[self._done : self._done + max(1, self._piece)]
        options = {
            "c": self._translate(piece),
            # Fusing more pays off once the state no longer fits in the cache.
            "f": 2 if self._width < 16 else 3,
            "t": self._threads,
            **_UNUSED_OPTIONS,
        }
        before = 0 if self._state is None else self._state
        # qsim takes the process down where it is refused memory; numpy raises MemoryError.
        np.empty(2 << self._width, np.float32)
        self._state = self._native.qsim_simulate_fullstate(options, before)
        if len(self._state) != 2 << self._width:
            raise EngineFailed(f"qsim gave no state of {self._width} qubits")
        self._done += len(piece)
        return self._done == len(self._circuit.data)

    def checkpoint(self) -> bytes:
        if self._state is None:
            return b""
        return self._done.to_bytes(8, "little") + self._state.tobytes()

    def result(self) -> Outcome:
        assert self._state is not None, "a result is asked for after the program has run"  # noqa: S101
        work, options, noise = self._work, self._work.options, self._work.options.noise
        state = self._state.view(np.complex64)
        generator = np.random.default_rng(work.seed)
        indices = draw(state, options.shots, generator)
        readings = read_indices(indices, self._clbit_of, work.facts.num_clbits)
        readings = readings.flipped(self._clbit_of, noise, generator)
        return Outcome(
            readings.counts(),
            memory=readings.memory() if options.per_shot_memory else None,
            probabilities=clbit_probabilities(state, self._clbit_of, noise)
            if options.probabilities
            else None,
            expectations=tuple(
                Expectation(text, mean(state, parse_observable(text, self._width)), 0.0)
                for text in options.observables
            ),
            state=self._full_state(state) if options.state else None,
        )

    def _full_state(self, state: NDArray[np.complex64]) -> NDArray[np.complex128]:
        full = state.astype(np.complex128)
        full *= np.exp(1j * float(self._circuit.global_phase)) / np.linalg.norm(full)
        return full

    def _translate(self, steps: Sequence[CircuitInstruction]) -> Any:
        native, circuit = self._native, self._native.Circuit()
        circuit.num_qubits = self._width
        for time, step in enumerate(steps):
            qubits = [self._place[qubit] for qubit in step.qubits]
            gate = step.operation if len(qubits) > _LARGEST_PLAIN else None
            if isinstance(gate, ControlledGate):
                controls = [gate.ctrl_state >> bit & 1 for bit in range(gate.num_ctrl_qubits)]
                self._add(circuit, time, qubits[len(controls) :], gate.base_gate.to_matrix())
                native.control_last_gate(qubits[: len(controls)], controls, circuit)
            else:
                self._add(circuit, time, qubits, step.matrix)
        return circuit

    def _add(self, circuit: Any, time: int, qubits: list[int], matrix: NDArray[np.complex128]) -> None:
        # qsim, like Cirq, has a gate's first qubit as the highest bit of its matrix.
        numbers = np.ascontiguousarray(matrix).view(np.float64).ravel().tolist()
        self._native.add_matrix_gate(time, qubits[::-1], numbers, circuit)


@cache
def _native() -> ModuleType:
    """The module for this CPU, as ``qsimcirq`` itself would choose it."""
    return _load(_MODULES[_load("qsim_decide").detect_instructions()])


def _load(name: str) -> ModuleType:
    full_name = f"qsimcirq.{name}"
    # Loaded twice it ends the process, so it is kept where ``import qsimcirq`` finds it too.
    if full_name in sys.modules:
        return sys.modules[full_name]
    package = importlib.util.find_spec("qsimcirq")
    for folder in (package.submodule_search_locations or ()) if package else ():
        for suffix in EXTENSION_SUFFIXES:
            path = Path(folder) / f"{name}{suffix}"
            spec = importlib.util.spec_from_file_location(full_name, path)
            if path.exists() and spec is not None and spec.loader is not None:
                module = sys.modules[full_name] = importlib.util.module_from_spec(spec)
                spec.loader.exec_module(module)
                return module
    raise Unavailable(f"qsimcirq has no module {name} here", hint="pip install 'qvirt[qsim]'")


@cache
def _basis() -> frozenset[str]:
    """Gates with a small matrix, or with many controls and a small matrix."""
    known = get_standard_gate_name_mapping().items()
    return frozenset({name for name, gate in known if gate.num_qubits} | {"unitary", "mcx", "mcphase"})


def _active(facts: CircuitFacts, options: RunOptions) -> Sequence[int]:
    if options.state or options.observables:
        return range(facts.num_qubits)
    return sorted(qubit for part in facts.components for qubit in part) or range(1)


def _width(facts: CircuitFacts, options: RunOptions) -> int:
    return len(_active(facts, options))


def _in_pieces(qubits: int, gates: int, limits: Limits) -> bool:
    """Between pieces there are two states."""
    return gates > PIECE and 2 * (8 << qubits) + _BASE_MEMORY <= limits.memory

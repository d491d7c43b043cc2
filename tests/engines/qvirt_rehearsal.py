"""An engine whose circuits do what a test needs, found by qvirt as any engine of a third party is.

With ``--method`` its behaviour follows from the method; without, the number of qubits names a scenario.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass

from qvirt.errors import EngineFailed, GaveUp, Unsupported
from qvirt.model.circuit import CircuitFacts
from qvirt.model.estimate import Candidate, Estimate
from qvirt.model.result import Position
from qvirt.model.run import Limits, Method, Precision, RunOptions
from qvirt.simulators.checkpoint import Checkpoint
from qvirt.simulators.contract import Outcome
from qvirt.simulators.workload import Workload

LONG = 600.0

BY_METHOD = {
    Method.PRODUCT: "answers",
    Method.STATEVECTOR: "goes on",
    Method.MPS: "is stuck",
    Method.DENSITY_MATRIX: "takes memory",
    Method.STABILIZER: "crashes",
    Method.EXTENDED_STABILIZER: "prints",
    Method.DECISION_DIAGRAM: "takes shared memory",
}

SURE = 5.0
"""Seconds that a sure method is said to take; a gamble is tried for a quarter of it."""

Scenario = dict[Method, tuple[str, float, bool]]
"""What each method does, the seconds that it is said to take, and whether that is certain."""

SCENARIOS: dict[int, Scenario] = {
    2: {Method.PRODUCT: ("answers", 0.01, True)},
    3: {Method.MPS: ("answers", 0.01, False), Method.STATEVECTOR: ("goes on", SURE, True)},
    4: {Method.MPS: ("is stuck", 0.01, False), Method.STATEVECTOR: ("answers", SURE, True)},
    5: {Method.MPS: ("crashes", 0.01, False), Method.STATEVECTOR: ("answers", SURE, True)},
    6: {Method.MPS: ("takes memory", 0.01, False), Method.STATEVECTOR: ("answers", 20 * SURE, True)},
    7: {Method.MPS: ("is stuck", 0.01, False), Method.DECISION_DIAGRAM: ("answers", 0.02, False)},
    8: {Method.MPS: ("gives up", 0.01, False), Method.DECISION_DIAGRAM: ("gives up", 0.02, False)},
    10: {Method.MPS: ("is stuck", 0.01, False)},
    9: {Method.MPS: ("crashes", 0.01, False), Method.DECISION_DIAGRAM: ("fails", 0.02, False)},
}


taken_forever: list[mmap.mmap] = []


@dataclass
class RehearsalProgram:
    behaviour: str
    work: Workload
    started: float
    fraction: float | None = None
    position: Position | None = None

    def advance(self, seconds: float) -> bool:
        if self.behaviour == "is stuck":  # holds the interpreter, as native code may
            ctypes.PyDLL(None).sleep(int(LONG))
        elif self.behaviour == "goes on":
            time.sleep(seconds)
            self.fraction = (time.monotonic() - self.started) / LONG
            return False
        elif self.behaviour == "takes memory":
            taken = []
            while True:
                taken.append(bytearray(64 << 20))
        elif self.behaviour == "takes shared memory":  # which no rlimit counts
            while True:
                shared = mmap.mmap(-1, 64 << 20)
                shared.write(bytes(64 << 20))
                taken_forever.append(shared)
        elif self.behaviour == "crashes":
            ctypes.string_at(0)
        elif self.behaviour == "prints":
            os.write(1, b"printed by native code\n")
        elif self.behaviour == "fails":
            raise EngineFailed("this engine was told to fail")
        elif self.behaviour == "gives up":
            raise GaveUp("this engine was told to give up")
        return True

    def checkpoint(self) -> Checkpoint:
        raise Unsupported("a rehearsal cannot be saved")

    def result(self) -> Outcome:
        return Outcome({0: self.work.options.shots})


class RehearsalSimulator:
    name = "rehearsal"
    stops_by_itself: frozenset[Method] = frozenset({Method.MPS})

    def version(self) -> str | None:
        return "1.0"

    def candidates(self) -> tuple[Candidate, ...]:
        return tuple(Candidate(self.name, method, Precision.DOUBLE) for method in BY_METHOD)

    def supports(self, candidate: Candidate, facts: CircuitFacts, options: RunOptions) -> str | None:
        if options.engine != self.name:
            return "it is only rehearsing"
        if options.method is None and candidate.method not in SCENARIOS[facts.num_qubits]:
            return "it does not appear in this scenario"
        return None

    def features(self, candidate: Candidate, facts: CircuitFacts, options: RunOptions) -> dict[str, float]:
        return {}

    def constants(self, candidate: Candidate) -> Mapping[str, float]:
        return {}

    def estimate(
        self,
        candidate: Candidate,
        facts: CircuitFacts,
        options: RunOptions,
        limits: Limits,
        constants: Mapping[str, float],
    ) -> Estimate:
        seconds, certain = 0.01, True
        if options.method is None:
            _, seconds, certain = SCENARIOS[facts.num_qubits][candidate.method]
        return Estimate(candidate, 1024, seconds, 1.0, certain, "as the scenario says")

    def prepare(
        self, candidate: Candidate, work: Workload, limits: Limits, checkpoint: Checkpoint | None = None
    ) -> RehearsalProgram:
        behaviour = BY_METHOD[candidate.method]
        if work.options.method is None:
            behaviour = SCENARIOS[work.facts.num_qubits][candidate.method][0]
        return RehearsalProgram(behaviour, work, time.monotonic())

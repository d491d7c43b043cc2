"""What the branches of a run have shown so far, and what is made of it at the end."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qvirt.model.result import Expectation
from qvirt.model.run import Precision
from qvirt.simulators.contract import Outcome
from qvirt.simulators.observables import parse_observable
from qvirt.simulators.sampling import Readings, clbit_probabilities, read_indices
from qvirt.simulators.torch_statevector import cost
from qvirt.simulators.torch_statevector.state import State
from qvirt.simulators.torch_statevector.trajectories import Branch
from qvirt.simulators.workload import Workload

_MOST_LOSS = 0.01
"""Of the fidelity, without a warning."""


class Tally:
    """``clbit_of`` is clbit -> qubit of the states, of the readings that come last. ``exact`` says that one
    state is all there is, so that its means have no error."""

    def __init__(
        self, work: Workload, clbit_of: dict[int, int], phase: float, precision: Precision, exact: bool
    ) -> None:
        self._work = work
        self._precision = precision
        self._loss = 0.0
        self._compared = False
        self._clbit_of = clbit_of
        self._phase = phase
        self._exact = exact
        self._observables = {
            text: parse_observable(text, work.facts.num_qubits) for text in work.options.observables
        }
        self._rows: list[NDArray[np.uint8]] = []
        self._sums = {text: np.zeros(2) for text in self._observables}
        self._last: dict[str, Any] = {}

    def add(self, branch: Branch, generator: np.random.Generator, double: State | None = None) -> None:
        """A branch at its end, in which only the last readings are left to be done.

        ``double`` is the same state in double precision, where there is one to compare with.
        """
        options, state = self._work.options, branch.state
        self._compare(branch, double)
        wires = {clbit: state.wires[qubit] for clbit, qubit in self._clbit_of.items()}
        indices = state.sample(branch.shots, generator)
        readings = read_indices(indices, wires, self._work.facts.num_clbits)
        readings = readings.flipped(wires, options.noise, generator).over(branch.bits, wires)
        self._rows.append(readings.rows)
        for text, observable in self._observables.items():
            means = state.expectation(observable)
            self._sums[text] += (branch.shots @ means, branch.shots @ means**2)
        if options.probabilities:
            qubits = sorted(set(self._clbit_of.values()))
            places = {clbit: qubits.index(qubit) for clbit, qubit in self._clbit_of.items()}
            chances = state.marginal(qubits)[0]
            self._last["probabilities"] = clbit_probabilities(chances, places, options.noise)
        if options.state:
            self._last["state"] = state.numpy() * np.exp(1j * self._phase)

    def outcome(self, generator: np.random.Generator) -> Outcome:
        # Branches come one after another.
        rows = self.rows if self._exact else generator.permutation(self.rows)
        readings = Readings(rows)
        return Outcome(
            readings.counts(),
            memory=readings.memory() if self._work.options.per_shot_memory else None,
            expectations=tuple(self._mean(text) for text in self._work.options.observables),
            **self._last,
            **self._fidelity(),
        )

    @property
    def rows(self) -> NDArray[np.uint8]:
        """One a shot, as Readings has them."""
        if len(self._rows) != 1:
            width = (max(1, self._work.facts.num_clbits) + 7) // 8
            self._rows = [np.concatenate([np.empty((0, width), np.uint8), *self._rows])]
        return self._rows[0]

    @rows.setter
    def rows(self, rows: NDArray[np.uint8]) -> None:
        self._rows = [rows]

    @property
    def sums(self) -> dict[str, Any]:
        """Of the means over the shots and of their squares, and of the fidelity that was lost."""
        return {"means": {text: sums.tolist() for text, sums in self._sums.items()}, "loss": self._loss}

    @sums.setter
    def sums(self, sums: dict[str, Any]) -> None:
        self._sums = {text: np.array(each) for text, each in sums["means"].items()}
        self._loss = sums["loss"]

    def _compare(self, branch: Branch, double: State | None) -> None:
        if double is not None:
            overlap = np.vdot(branch.state.numpy(), double.numpy())
            self._loss += branch.total * max(0.0, 1.0 - float(abs(overlap)) ** 2)
            self._compared = True
        else:
            lost = -math.expm1(-cost.LOSS.get(self._precision, 0.0) * branch.passes)
            self._loss += branch.total * lost

    def _fidelity(self) -> dict[str, Any]:
        if self._precision not in cost.LOSS:
            return {}
        loss = self._loss / self._work.options.shots
        how = "measured against double" if self._compared else "estimated from the number of passes"
        warning = (
            f"amplitudes kept in {self._precision.value} have lost {loss:.1%} of the fidelity, "
            f"{how}: take a higher --precision for exact answers"
        )
        return {
            "metadata": {"fidelity": 1.0 - loss, "fidelity_is": how},
            "warnings": (warning,) if loss > _MOST_LOSS else (),
        }

    def _mean(self, text: str) -> Expectation:
        shots = self._work.options.shots
        total, squares = self._sums[text]
        mean = total / shots
        if self._exact:
            return Expectation(text, mean, 0.0)
        if shots == 1:
            return Expectation(text, mean, float(np.abs(self._observables[text].coeffs).sum()))
        variance = max(0.0, squares / shots - mean**2) * shots / (shots - 1)
        return Expectation(text, mean, (variance / shots) ** 0.5)

"""From what a program found to what a user gets: bit strings as Qiskit writes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from qvirt.errors import StateError
from qvirt.model.estimate import Candidate
from qvirt.model.result import Expectation, Result, Row, StateFile, Timings
from qvirt.model.sweep import Sweep
from qvirt.simulators.contract import Outcome

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from qiskit import QuantumCircuit

    from qvirt.simulators.workload import Workload

UNTIMED = Timings(0.0, 0.0, 0.0, 0.0)


def result(
    outcome: Outcome,
    work: Workload,
    candidate: Candidate,
    threads: int,
    peak_memory: int,
    state_file: str | None,
) -> Result:
    """Without the attempts and the times, which the guest knows; the state vector goes to ``state_file``."""
    written = bit_strings(work.circuit)
    return Result(
        shots=work.options.shots,
        seed=work.seed,
        counts={written(bits): count for bits, count in outcome.counts.items()},
        candidate=candidate,
        threads=threads,
        num_qubits=work.facts.num_qubits,
        num_clbits=work.facts.num_clbits,
        measured_all_added=work.facts.measured_all_added,
        timings=UNTIMED,
        peak_memory=peak_memory,
        attempts=(),
        memory=None if outcome.memory is None else tuple(map(written, outcome.memory)),
        probabilities=(
            None
            if outcome.probabilities is None
            else {written(bits): chance for bits, chance in outcome.probabilities.items()}
        ),
        expectations=tuple(_plain(mean) for mean in outcome.expectations),
        state=None if outcome.state is None else _keep(outcome.state, state_file),
        warnings=outcome.warnings,
        metadata=dict(outcome.metadata),
        rows=None if work.sweep is None else _rows(outcome.rows, work.sweep, written),
    )


def _rows(outcomes: Sequence[Outcome], sweep: Sweep, written: Callable[[int], str]) -> tuple[Row, ...]:
    return tuple(
        Row(
            dict(zip(sweep.names, values, strict=True)),
            {written(bits): count for bits, count in outcome.counts.items()},
            tuple(_plain(mean) for mean in outcome.expectations),
        )
        for values, outcome in zip(sweep.rows, outcomes, strict=True)
    )


def _plain(mean: Expectation) -> Expectation:
    """Engines compute in numpy, whose numbers are not JSON's."""
    return Expectation(mean.observable, float(mean.value), float(mean.standard_error))


def bit_strings(circuit: QuantumCircuit) -> Callable[[int], str]:
    """Writes an integer whose bit i is clbit i: clbit 0 rightmost, a space between registers.

    Clbits that follow one another and are in no register stand together.
    """
    sizes: list[int] = []
    before: object = None
    for clbit in circuit.clbits:
        registers = circuit.find_bit(clbit).registers
        register = registers[0][0] if registers else None
        if sizes and register == before:
            sizes[-1] += 1
        else:
            sizes.append(1)
        before = register
    width = sum(sizes)
    if len(sizes) < 2:
        return lambda bits: f"{bits:0{width}b}" if width else ""
    ends = [sum(sizes[index:]) for index in range(len(sizes), -1, -1)]

    def separated(bits: int) -> str:
        text = f"{bits:0{width}b}"
        return " ".join(text[start:end] for start, end in pairwise(ends))

    return separated


def _keep(state: NDArray[np.complex128], path: str | None) -> StateFile:
    import numpy as np

    if path is None:
        raise StateError("this VM has no directory for state vectors")
    try:
        np.save(path, np.asarray(state, dtype="<c16"), allow_pickle=False)
    except OSError as error:
        Path(path).unlink(missing_ok=True)
        raise StateError(f"the state vector cannot be written: {error.strerror or error}") from error
    return StateFile(amplitudes=state.size, bytes=Path(path).stat().st_size)

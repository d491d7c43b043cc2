"""The one place that calls Qiskit Aer."""

from __future__ import annotations

import logging
import os
from functools import cache
from typing import TYPE_CHECKING, Any

from qvirt.errors import EngineFailed, OutOfMemory
from qvirt.model.estimate import Candidate
from qvirt.model.run import Limits, Method
from qvirt.simulators.aer.cost import FUSED_FROM, SHARED_FROM, metropolis_steps

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from qiskit_aer import AerSimulator
    from qiskit_aer.noise import NoiseModel

_FUSED_FROM = {Method.STATEVECTOR: FUSED_FROM, Method.DENSITY_MATRIX: 6}

_SPINS = "10000"
"""How often a thread looks for work before it sleeps. Without end, as is the default, 20 ms of work took
a second where another process had the core; without it, small states are twice as slow."""


def execute(
    circuit: QuantumCircuit,
    candidate: Candidate,
    limits: Limits,
    *,
    shots: int,
    seed: int,
    threads: int,
    noise: NoiseModel | None = None,
    **options: Any,
) -> dict[str, Any]:
    """The data that ``circuit`` saved, and its counts and memory, as Aer gives them.

    Raises OutOfMemory, or EngineFailed with Aer's message.
    """
    run_options = {
        "method": candidate.method.value,
        "precision": candidate.precision.value,
        "shots": shots,
        "seed_simulator": seed,
        "noise_model": noise,
        # Aer would take the host's memory and cores for its own.
        "max_memory_mb": max(1, limits.memory >> 20),
        "max_parallel_threads": threads,
        "fusion_threshold": _FUSED_FROM.get(candidate.method),
        "statevector_parallel_threshold": SHARED_FROM - 1,
        # The default cuts off what is below 1e-10, which a large state's amplitudes may be.
        "zero_threshold": 0.0,
        "extended_stabilizer_metropolis_mixing_time": metropolis_steps(circuit.num_qubits),
        **options,
    }
    try:
        # What ``run`` does, less the thread that it starts and the copy of a single-precision state
        # in double precision.
        output = load()._execute_circuits_job([circuit], None, run_options, format_result=False)
    except MemoryError:
        raise OutOfMemory(f"{candidate}: there was not enough memory") from None
    except Exception as error:
        raise EngineFailed(f"{candidate}: {error}") from error
    result = output["results"][0] if output.get("results") else {}
    if output.get("success") and result.get("success"):
        data: dict[str, Any] = result["data"]
        return data
    message = str(result.get("status") or output.get("status"))
    if "memory" in message or "bad_alloc" in message:
        raise OutOfMemory(f"{candidate}: {message}")
    raise EngineFailed(f"{candidate}: {message}")


@cache
def load() -> AerSimulator:
    """Loading Aer gives Qiskit's circuits their ``save`` instructions too."""
    os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)
    from qiskit_aer import AerSimulator

    # Failures are raised with their message; Aer would log them to stderr too.
    logging.getLogger("qiskit_aer").addHandler(logging.NullHandler())
    return AerSimulator()

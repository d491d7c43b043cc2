"""What dense methods are said to need against what they take, each in a worker that has run nothing yet.

In one that has, a small state finds room in what the last one left, and its peak says nothing.
"""

from __future__ import annotations

import sys
from pathlib import Path
from secrets import token_hex

import numpy as np
import pytest

from qvirt.host.host import Host
from qvirt.methods.families import circuit
from qvirt.model.circuit import CircuitSource
from qvirt.model.order import Order, OrderKind
from qvirt.model.run import Method, Precision, RunOptions
from qvirt.model.vm import VMSpec
from qvirt.paths import Paths
from qvirt.settings import Settings

SINGLE, DOUBLE = Precision.SINGLE, Precision.DOUBLE


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Host:
    return Host(Paths(tmp_path_factory.mktemp("forecast")), Settings())


@pytest.mark.skipif(sys.platform != "linux", reason="macOS does not tell the peak of one run")
@pytest.mark.parametrize(
    ("engine", "method", "precision", "qubits"),
    [
        *(("qsim", Method.STATEVECTOR, SINGLE, qubits) for qubits in (20, 22, 24, 26)),
        *(("aer", Method.STATEVECTOR, SINGLE, qubits) for qubits in (20, 23, 26)),
        *(("aer", Method.STATEVECTOR, DOUBLE, qubits) for qubits in (20, 22, 25)),
        *(("aer", Method.DENSITY_MATRIX, SINGLE, qubits) for qubits in (10, 12)),
        *(("aer", Method.DENSITY_MATRIX, DOUBLE, qubits) for qubits in (10, 11)),
    ],
)
def test_a_dense_forecast_is_never_below_the_truth_nor_far_above(
    host: Host, engine: str, method: Method, precision: Precision, qubits: int
) -> None:
    options = RunOptions(seed=1, engine=engine, method=method, precision=precision)
    source = CircuitSource("random.qasm", circuit("random", qubits, seed=1, depth=2).encode())
    with host.machine(VMSpec(f"cold-{token_hex(4)}", memory=2 << 30, spares=0)) as vm:
        host.vms.wait(vm, 60)
        plan = host.ask(Order(token_hex(5), OrderKind.PLAN, source, options), vm).plan
        result = host.ask(Order(token_hex(5), source=source, options=options), vm).result
    assert plan is not None
    assert result is not None
    forecast = plan.stages[0].attempts[0].memory
    assert result.peak_memory <= forecast <= 1.15 * result.peak_memory


@pytest.mark.skipif(sys.platform != "linux", reason="macOS does not tell the peak of one run")
@pytest.mark.parametrize(
    ("engine", "precision"), [("qsim", SINGLE), ("aer", SINGLE), ("aer", DOUBLE), ("torch", DOUBLE)]
)
def test_the_forecast_of_a_run_from_a_kept_state_is_never_below_the_truth(
    host: Host, tmp_path: Path, engine: str, precision: Precision
) -> None:
    if engine == "torch":
        pytest.importorskip("torch")
    state = np.zeros(1 << 21, np.complex128)
    state[5] = 1
    np.save(tmp_path / "psi.npy", state)
    options = RunOptions(seed=1, engine=engine, precision=precision, method=Method.STATEVECTOR, start="psi")
    source = CircuitSource("random.qasm", circuit("random", 21, seed=1, depth=2).encode())
    with host.machine(VMSpec(f"cold-{token_hex(4)}", memory=2 << 30, spares=0)) as vm:
        host.vms.wait(vm, 60)
        host.states.read(vm, "psi", tmp_path / "psi.npy")
        plan = host.ask(Order(token_hex(5), OrderKind.PLAN, source, options), vm).plan
        result = host.ask(Order(token_hex(5), source=source, options=options), vm).result
    assert plan is not None
    assert result is not None
    assert result.peak_memory <= plan.stages[0].attempts[0].memory

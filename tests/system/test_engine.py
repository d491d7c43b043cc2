"""The Python interface, name by name."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

import qvirt
from qvirt import Engine, QuantumBackend, QuantumJobResult, QuantumVMConfig
from qvirt.errors import Conflict, DoesNotFit, NotFound, QvirtError, Unavailable, Unsupported, UsageError

BELL = {"num_qubits": 2, "gates": [{"type": "H", "qubits": [0]}, {"type": "CX", "qubits": [0, 1]}]}
EXAMPLES = Path(__file__).parents[2] / "examples"


@asynccontextmanager
async def lab(home: Path) -> AsyncIterator[Engine]:
    async with Engine(home) as engine:
        await engine.create_vm(QuantumVMConfig("lab", num_qubits=10, memory_mb=1024, cpu_cores=2))
        yield engine


def within(home: Path, use: Callable[[Engine], Awaitable[None]]) -> None:
    async def run() -> None:
        async with lab(home) as engine:
            await use(engine)

    asyncio.run(run())


def test_the_alias_is_the_engine() -> None:
    assert qvirt.QuantumVirtualizationEngine is Engine
    with pytest.raises(AttributeError):
        qvirt.nothing_of_this_name  # noqa: B018


def test_circuits_of_every_kind_on_one_vm(tmp_path: Path) -> None:
    cirq = pytest.importorskip("cirq", reason="the extra cirq is not installed")
    from qiskit import QuantumCircuit

    async def use(engine: Engine) -> None:
        qiskit_circuit = QuantumCircuit(2, 2)
        qiskit_circuit.x(0)
        qiskit_circuit.measure([0, 1], [0, 1])
        first, second = cirq.LineQubit.range(2)
        cirq_circuit = cirq.Circuit(cirq.X(first), cirq.measure(first, second, key="m"))
        text = 'OPENQASM 2.0; include "qelib1.inc"; qreg q[2]; creg c[2]; x q[0]; measure q -> c;'
        for circuit in (qiskit_circuit, cirq_circuit, text):
            result = await engine.execute_circuit(circuit, "lab", shots=10, seed=1)
            assert (result.status, result.error) == ("completed", None)
            assert result.counts == {"01": 10}, circuit
        result = await engine.execute_circuit(BELL, "lab", shots=100)
        assert result.counts.keys() == {"00", "11"}
        assert result.execution_time > 0
        assert result.metadata["shots"] == 100

    within(tmp_path, use)


def test_exact_values_and_a_chosen_engine(tmp_path: Path) -> None:
    async def use(engine: Engine) -> None:
        result = await engine.execute_circuit(BELL, "lab", "aer", observables=("ZZ", "XX"), statevector=True)
        assert isinstance(result, QuantumJobResult)
        assert result.expectation_values == pytest.approx({"ZZ": 1.0, "XX": 1.0})
        assert result.statevector is not None
        assert np.abs(result.statevector) == pytest.approx([2**-0.5, 0, 0, 2**-0.5])
        assert result.metadata["candidate"]["engine"] == "aer"

    within(tmp_path, use)


def test_a_wrong_circuit_is_a_result_and_a_wrong_call_an_exception(tmp_path: Path) -> None:
    async def use(engine: Engine) -> None:
        failed = await engine.execute_circuit(
            {"num_qubits": 1, "gates": [{"type": "X", "qubits": [7]}]}, "lab"
        )
        assert (failed.status, failed.counts) == ("failed", {})
        assert "7" in (failed.error or "")
        with pytest.raises(NotFound):
            await engine.execute_circuit(BELL, "nowhere")
        with pytest.raises(UsageError):
            await engine.execute_circuit(42, "lab")
        with pytest.raises(UsageError):
            await engine.execute_circuit(BELL, "lab", shots=0)

    within(tmp_path, use)


def test_vms_are_listed_unique_and_gone_when_destroyed(tmp_path: Path) -> None:
    async def use(engine: Engine) -> None:
        (listed,) = engine.list_vms()
        assert (listed["name"], listed["state"], listed["memory"]) == ("lab", "running", 1 << 30)
        with pytest.raises(Conflict):
            await engine.create_vm(QuantumVMConfig("lab", num_qubits=2))
        await engine.destroy_vm("lab")
        assert engine.list_vms() == []
        with pytest.raises(NotFound):
            await engine.destroy_vm("lab")

    within(tmp_path, use)


@pytest.mark.parametrize(
    ("config", "error"),
    [
        (QuantumVMConfig("Bad Name"), UsageError),
        (QuantumVMConfig("x", container_type="cloud"), UsageError),
        (QuantumVMConfig("x", image="some/image"), Unsupported),
        (QuantumVMConfig("x", volumes={"/data": "/tmp"}), Unsupported),
        (QuantumVMConfig("x", ports={80: 80}), UsageError),
        (QuantumVMConfig("x", num_qubits=40), DoesNotFit),
    ],
)
def test_what_cannot_be_made_is_refused_and_leaves_nothing(
    tmp_path: Path, config: QuantumVMConfig, error: type[QvirtError]
) -> None:
    async def run() -> None:
        async with Engine(tmp_path) as engine:
            with pytest.raises(error):
                await engine.create_vm(config)
            assert engine.list_vms() == []

    asyncio.run(run())


def test_a_backend_that_is_not_there_is_refused(tmp_path: Path) -> None:
    async def use(engine: Engine) -> None:
        if engine.hardware_info.backend.value == "cuda":
            pytest.skip("this machine has a GPU that works")
        with pytest.raises(Unavailable, match="cuda"):
            await engine.execute_circuit(BELL, "lab", QuantumBackend.CUDA)
        with pytest.raises(Unavailable, match="GPU"):
            await engine.create_vm(QuantumVMConfig("g", num_qubits=2, gpu_enabled=True))

    within(tmp_path, use)


def test_the_benchmark_checks_its_answers(tmp_path: Path) -> None:
    async def use(engine: Engine) -> None:
        rows = await engine.benchmark(num_qubits=6)
        assert {row.family for row in rows} == {"qft", "qv"}
        assert all(row.median and row.check != "failed" for row in rows)

    within(tmp_path, use)


def test_the_example_runs(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, EXAMPLES / "engine.py"],
        env={**os.environ, "QVIRT_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "a dict: completed" in done.stdout


def test_a_state_is_kept_and_begun_in(tmp_path: Path) -> None:
    first = {"num_qubits": 2, "gates": [{"type": "H", "qubits": [0]}]}
    then = {"num_qubits": 2, "gates": [{"type": "CX", "qubits": [0, 1]}]}

    async def use(engine: Engine) -> None:
        kept = await engine.execute_circuit(first, "lab", keep="psi")
        assert kept.metadata["kept"]["name"] == "psi"
        found = await engine.execute_circuit(then, "lab", "aer", start="psi", seed=1, statevector=True)
        assert found.statevector is not None
        assert found.statevector == pytest.approx([2**-0.5, 0, 0, 2**-0.5])
        taken = await engine.execute_circuit(then, "lab", keep="psi")
        assert (taken.status, "psi" in str(taken.error)) == ("failed", True)
        again = await engine.execute_circuit(then, "lab", keep="psi", overwrite=True)
        assert again.status == "completed"

    within(tmp_path, use)


def test_a_sweep_gives_a_result_for_each_set(tmp_path: Path) -> None:
    source = """OPENQASM 3.0; include "stdgates.inc"; input float a; input float b;
        qubit[1] q; bit[1] c; ry(a) q[0]; rz(b) q[0]; c = measure q;"""
    sets = [{"a": 0.0, "b": 1.0}, {"b": 2.0, "a": np.pi}, {"a": np.pi / 3, "b": 0.0}]

    async def use(engine: Engine) -> None:
        found = await engine.execute_sweep(source, sets, "lab", shots=100, seed=1, observables=("Z",))
        assert [each.expectation_values["Z"] for each in found] == pytest.approx([1, -1, 0.5], abs=1e-6)
        assert [each.counts for each in found[:2]] == [{"0": 100}, {"1": 100}]
        assert [each.metadata["parameters"] for each in found] == sets
        assert len({each.job_id for each in found}) == 1
        (failed,) = await engine.execute_sweep(source, [{"a": 1.0}], "lab")
        assert (failed.status, failed.counts) == ("failed", {})
        with pytest.raises(UsageError, match="set 2"):
            await engine.execute_sweep(source, [{"a": 1.0, "b": 1.0}, {"a": 1.0}], "lab")
        with pytest.raises(UsageError, match="at least one"):
            await engine.execute_sweep(source, [], "lab")

    within(tmp_path, use)

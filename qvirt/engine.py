"""The Python interface: thin names over the same Host that the command line uses.

    engine = Engine()
    await engine.create_vm(QuantumVMConfig("lab", num_qubits=20))
    result = await engine.execute_circuit(circuit, vm_name="lab", shots=1000)
    await engine.destroy_vm("lab")

What takes time is a coroutine. VMs that an Engine made end with it (``close``, or the block of ``async
with``). Counts are in Qiskit's bit order whatever the circuit was written in.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from qvirt import settings
from qvirt.errors import DoesNotFit, Unavailable, UsageError
from qvirt.host.bench import AUTO, Request, Row, bench
from qvirt.host.host import Host
from qvirt.host.loop import Finished, Saving
from qvirt.host.specs import Wanted
from qvirt.model.circuit import CircuitSource
from qvirt.model.hardware import Backend, Hardware
from qvirt.model.job import Job, JobState
from qvirt.model.result import Row as SweptRow
from qvirt.model.run import Precision, RunOptions
from qvirt.model.sweep import Sweep
from qvirt.model.vm import VM, VMSpec
from qvirt.model.wire import to_plain
from qvirt.paths import Paths, default_home
from qvirt.probe import probe
from qvirt.units import show_bytes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

T = TypeVar("T")

DEFAULT_VM = "python"


class QuantumBackend(str, Enum):
    """What a simulation computes on; AUTO takes the best that the machine has."""

    AUTO = "auto"
    CUDA = Backend.CUDA.value
    MPS = Backend.MPS.value
    AVX512 = Backend.AVX512.value
    AVX2 = Backend.AVX2.value
    NEON = Backend.NEON.value
    PLAIN = Backend.PLAIN.value


@dataclass(frozen=True, slots=True)
class QuantumVMConfig:
    """``container_type`` is a runtime: ``process``, ``docker``, ``qemu``, ``libvirt`` or ``auto``.

    ``volumes`` are host folders by the folder that shows them in the VM, read-only. No VM publishes
    ``ports``: circuits reach it through qvirt.
    """

    name: str
    backend: QuantumBackend = QuantumBackend.AUTO
    num_qubits: int = 20
    memory_mb: int = 4096
    cpu_cores: int = 4
    gpu_enabled: bool = False
    container_type: str = "process"
    image: str | None = None
    ports: Mapping[int, int] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    volumes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class QuantumJobResult:
    """``status`` is a JobState's value; ``statevector`` 2**n amplitudes, little-endian, where asked for."""

    job_id: str
    status: str
    counts: dict[str, int]
    statevector: NDArray[np.complex128] | None
    expectation_values: dict[str, float]
    execution_time: float
    error: str | None
    metadata: dict[str, Any]


class Engine:
    """Creates VMs and runs circuits on them. ``home`` is the state directory, the user's by default."""

    def __init__(self, home: Path | None = None) -> None:
        self._paths = Paths(home or default_home())
        # The store and the VMs' lifelines belong to one thread; it lives as long as the engine.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="qvirt")
        self._host = self._thread.submit(Host, self._paths, settings.load()).result()
        self._vms: dict[str, VM] = {}

    async def __aenter__(self) -> Engine:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.close)

    def close(self) -> None:
        """End the VMs that this engine made."""
        for vm in self._vms.values():
            self._thread.submit(self._host.vms.destroy, vm).result()
        self._vms.clear()
        self._thread.submit(self._host.close).result()
        self._thread.shutdown()

    @cached_property
    def hardware_info(self) -> Hardware:
        """What this machine is; probed once."""
        return probe(bandwidth_cache=self._paths.bandwidth)

    async def create_vm(self, config: QuantumVMConfig) -> str:
        """Make a VM and wait until it answers; its name. Raises QvirtError with the reason."""
        _check(config)
        self._require(config.backend, config.gpu_enabled)
        wanted = Wanted(
            name=config.name,
            runtime=config.container_type,
            memory=config.memory_mb << 20,
            cpus=min(config.cpu_cores, max(1, int(self.hardware_info.usable.cpus))),
            gpu=config.gpu_enabled,
            image=config.image,
            environment=dict(config.environment),
            volumes=tuple(f"{here}:{there}" for there, here in config.volumes.items()),
        )

        def create() -> VM:
            return self._created(self._host.specify(wanted, None, lambda stage: None))

        self._vms[config.name] = await self._in_thread(create)
        return config.name

    async def destroy_vm(self, name: str) -> None:
        """End a VM. Raises NotFound."""

        def destroy() -> None:
            self._host.vms.destroy(self._host.vms.find(name))

        await self._in_thread(destroy)
        self._vms.pop(name, None)

    async def execute_circuit(
        self,
        circuit: Any,
        vm_name: str | None = None,
        backend: QuantumBackend | str | None = None,
        shots: int = 1024,
        *,
        seed: int | None = None,
        observables: tuple[str, ...] = (),
        statevector: bool = False,
        checkpoint_every: float | None = None,
        start: str | None = None,
        keep: str | None = None,
        overwrite: bool = False,
    ) -> QuantumJobResult:
        """Run a circuit: a dict (JSON gate list), a Qiskit or Cirq circuit, or OpenQASM text.

        It is saved every ``checkpoint_every`` seconds, for ``resume_job``. The VM can ``keep`` the state
        that it ends in, under a name, and ``start`` another in that; ``overwrite`` replaces one of the name.

        ``backend`` is a QuantumBackend, or the name of a simulation engine (``aer``, ``stim`` ...).
        Without ``vm_name`` a VM of this engine's own is made on first use. A circuit that fails gives a
        result with ``error``; a wrong call raises.
        """
        source = source_of(circuit)
        options = RunOptions(
            shots,
            seed,
            self._engine_of(backend),
            observables=observables,
            state=statevector,
            start=start,
            keep=keep,
            overwrite=overwrite,
        )
        return await self._run(
            lambda: (self._host.submit(source, options), source), vm_name, checkpoint_every
        )

    async def execute_sweep(
        self,
        circuit: Any,
        parameters: Sequence[Mapping[str, float]],
        vm_name: str | None = None,
        backend: QuantumBackend | str | None = None,
        shots: int = 1024,
        *,
        seed: int | None = None,
        observables: tuple[str, ...] = (),
    ) -> list[QuantumJobResult]:
        """Run a circuit with free parameters, read once, for each set of their values; see
        ``execute_circuit``.

        They are one job: where that fails, it is the one result.
        """
        source, sweep = source_of(circuit), sweep_of(parameters)
        options = RunOptions(shots, seed, self._engine_of(backend), observables=observables)
        whole = await self._finish(lambda: (self._host.submit(source, options, sweep), source), vm_name, None)
        rows = whole.result.rows if whole.result is not None else None
        return [self._result(whole)] if rows is None else [self._result(whole, row) for row in rows]

    def _engine_of(self, backend: QuantumBackend | str | None) -> str | None:
        """The simulation engine that is named so. Raises Unavailable where it is a backend not there."""
        if isinstance(backend, str) and not isinstance(backend, QuantumBackend):
            return backend
        self._require(backend or QuantumBackend.AUTO, gpu=False)
        return None

    async def resume_job(
        self, job_id: str, vm_name: str | None = None, *, checkpoint_every: float | None = None
    ) -> QuantumJobResult:
        """Go on with a job that was stopped, from its checkpoint, to the same counts; as a new job.

        Raises Conflict where it has none, or has completed.
        """
        return await self._run(lambda: self._host.resume(self._host.job(job_id)), vm_name, checkpoint_every)

    async def _run(
        self, make: Callable[[], tuple[Job, CircuitSource]], vm_name: str | None, every: float | None
    ) -> QuantumJobResult:
        return self._result(await self._finish(make, vm_name, every))

    async def _finish(
        self, make: Callable[[], tuple[Job, CircuitSource]], vm_name: str | None, every: float | None
    ) -> Finished:
        if vm_name is None and DEFAULT_VM not in self._vms:
            await self.create_vm(QuantumVMConfig(DEFAULT_VM))
        saving = Saving(every, logger.warning) if every else None

        def run() -> Finished:
            vm = self._host.vms.find(vm_name or self._vms[DEFAULT_VM].id)
            job, source = make()
            return self._host.run(job, source, vm, saving=saving)

        return await self._in_thread(run)

    def list_vms(self) -> list[dict[str, Any]]:
        """Every VM of the state directory: name, id, state and what it was made with."""
        vms = self._thread.submit(self._host.vms.all).result()
        return [
            {"name": vm.spec.name, "id": vm.id, "state": vm.state.value, **to_plain(vm.spec)} for vm in vms
        ]

    async def benchmark(self, num_qubits: int) -> list[Row]:
        """Quantum volume and QFT circuits of that size, answers checked, median of three runs."""
        request = Request(("qft", "qv"), (num_qubits,), (AUTO, "aer"), 3, 1024, 1, 60.0)
        rate = self.hardware_info.memory_bandwidth
        if DEFAULT_VM not in self._vms:
            await self.create_vm(QuantumVMConfig(DEFAULT_VM))
        vm = self._vms[DEFAULT_VM]
        return await self._in_thread(lambda: list(bench(self._host, vm, request, rate, lambda text: None)))

    def _created(self, spec: VMSpec) -> VM:
        vm = self._host.vms.create(spec)
        try:
            self._host.vms.wait(vm, self._host.settings.start_timeout)
        except BaseException:
            self._host.vms.destroy(vm)
            raise
        return vm

    def _result(self, finished: Finished, row: SweptRow | None = None) -> QuantumJobResult:
        """Of one ``row`` of a sweep; its time is that of all, and its parameters are in the metadata."""
        job, result = finished.job, finished.result
        given = row or result
        described = to_plain(replace(result, rows=None)) if result else {}
        state = None
        if result is not None and result.state is not None:
            import numpy as np

            state = np.load(self._paths.state(job.id))
        return QuantumJobResult(
            job_id=job.id,
            status=job.state.value,
            counts=dict(given.counts) if given else {},
            statevector=state,
            expectation_values={e.observable: e.value for e in given.expectations} if given else {},
            execution_time=result.timings.total if result else 0.0,
            error=finished.error.message if finished.error else None,
            metadata=described | ({"parameters": row.parameters} if row else {})
            if job.state is JobState.COMPLETED
            else {},
        )

    def _require(self, backend: QuantumBackend, gpu: bool) -> None:
        """Raises Unavailable where the machine does not have the backend."""
        best = self.hardware_info.backend
        if gpu and best not in (Backend.CUDA, Backend.MPS):
            raise Unavailable("no usable GPU here", hint=self.hardware_info.backend_reason)
        order = list(Backend)
        if backend is not QuantumBackend.AUTO and order.index(Backend(backend.value)) < order.index(best):
            raise Unavailable(
                f"no {backend.value} here: the best that this machine has is {best.value}",
                hint=self.hardware_info.backend_reason,
            )

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)


QuantumVirtualizationEngine = Engine


def source_of(circuit: Any) -> CircuitSource:
    """A circuit object as what a guest reads. Raises UsageError for what is no circuit."""
    if isinstance(circuit, CircuitSource):
        return circuit
    if isinstance(circuit, Mapping):
        return CircuitSource("<dict>", json.dumps(circuit).encode())
    if isinstance(circuit, str):
        return CircuitSource("<text>", circuit.encode())
    qiskit, cirq = sys.modules.get("qiskit"), sys.modules.get("cirq")
    if qiskit is not None and isinstance(circuit, qiskit.QuantumCircuit):
        import io

        from qiskit import qpy

        buffer = io.BytesIO()
        qpy.dump(circuit, buffer)
        return CircuitSource(circuit.name or "<qiskit>", buffer.getvalue())
    if cirq is not None and isinstance(circuit, cirq.AbstractCircuit):
        return CircuitSource("<cirq>", cirq.qasm(circuit).encode())
    raise UsageError(
        f"{type(circuit).__name__} is not a circuit that qvirt takes",
        hint="give a dict (JSON gate list), a Qiskit or Cirq circuit, or OpenQASM text",
    )


def sweep_of(parameters: Sequence[Mapping[str, float]]) -> Sweep:
    """Raises UsageError where not all sets have the same names."""
    names = tuple(parameters[0]) if parameters else ()
    for number, values in enumerate(parameters, start=1):
        if values.keys() != set(names):
            raise UsageError(
                f"set {number} has values of {', '.join(values)}, the first of {', '.join(names)}",
                hint="every set gives a value to each free parameter",
            )
    return Sweep(names, tuple(tuple(float(values[name]) for name in names) for values in parameters))


def _check(config: QuantumVMConfig) -> None:
    if config.ports:
        raise UsageError("a VM publishes no ports: circuits reach it through qvirt", hint="leave ports out")
    needed = Precision.DOUBLE.amplitude_bytes << config.num_qubits
    if needed > config.memory_mb << 20:
        raise DoesNotFit(
            f"{config.num_qubits} qubits need {show_bytes(needed)} as a dense state, "
            f"and memory_mb is {config.memory_mb}",
            hint=f"memory_mb={(needed >> 20) + 512} would do",
        )

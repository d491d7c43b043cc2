"""The engines that are compared: each takes OpenQASM, and runs it from its own form to the final state.

Qubit q is bit q of a basis state's number, whatever an engine's own order is.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import CircuitInstruction

from qvirt.model.run import Precision
from qvirt.simulators.lowering import lower

OWN = "qvirt torch"
LARGEST_MATRIX = 6
_BANDWIDTH_BYTES = 1 << 28


class Peer:
    name = ""
    needs = ""
    amplitude_bytes = 8
    tolerance = 1e-3
    """Of a probability, over the largest one."""

    most_qubits = 26
    sweeps = 0
    sweep_seconds = 0.0
    """Over the state in the last run, without fusing and allocation; of engines that tell."""

    _state: Any = None

    def missing(self) -> str | None:
        return None if importlib.util.find_spec(self.needs) else f"{self.needs} is not installed"

    def prepare(self, text: str) -> Callable[[], object]:
        """What is to be timed."""
        raise NotImplementedError

    def probabilities(self, numbers: np.ndarray) -> np.ndarray:
        """Of basis states, after the last run."""
        raise NotImplementedError

    def make_room(self) -> None:
        """Before a run, outside of its time."""

    def release(self) -> None:
        """Let go of the state: another engine may need the room."""
        self._state = None


def peers(threads: int) -> list[Peer]:
    device = cuda_device()
    if device:
        formats = (Precision.SINGLE, Precision.HALF, Precision.FLOAT8)
        own = [Torch("cuda:0", each, threads) for each in formats]
        return [*own, CuStateVec(), Aer("single", threads, "GPU")]
    return [
        Torch("cpu", Precision.SINGLE, threads),
        Aer("single", threads),
        Aer("double", threads),
        Qsim(threads),
        Qulacs(),
        Lightning(),
    ]


@cache
def cuda_device() -> str:
    """Its name; empty where there is none."""
    if importlib.util.find_spec("torch") is None:
        return ""
    import torch

    return str(torch.cuda.get_device_name(0)) if torch.cuda.is_available() else ""


def largest_on_gpu(precision: Precision) -> int:
    """Qubits of a state that fits beside what gates and readings take."""
    from qvirt.simulators.torch_statevector.devices import free_memory
    from qvirt.simulators.torch_statevector.sizes import state_bytes, work_bytes

    free, qubits = free_memory("cuda:0"), 1
    while state_bytes(1, qubits, precision) + work_bytes(1, qubits, precision, "cuda:0") <= free:
        qubits += 1
    return qubits - 1


def bandwidth() -> float:
    """Octets a second that copying reads and writes."""
    import torch

    device = "cuda:0" if cuda_device() else "cpu"
    source = torch.zeros(_BANDWIDTH_BYTES // 4, device=device)
    target = torch.empty_like(source)
    best = float("inf")
    for _ in range(5):
        _settled(device)
        began = time.perf_counter()
        target.copy_(source)
        _settled(device)
        best = min(best, time.perf_counter() - began)
    return 2 * _BANDWIDTH_BYTES / best


def _settled(device: str) -> None:
    if device != "cpu":
        import torch

        torch.cuda.synchronize()


def gates(text: str) -> Iterator[tuple[CircuitInstruction, list[int]]]:
    """Without measurements."""
    circuit = plain(text)
    place = {qubit: number for number, qubit in enumerate(circuit.qubits)}
    for step in circuit.data:
        if step.name != "barrier":
            yield step, [place[qubit] for qubit in step.qubits]


def plain(text: str) -> QuantumCircuit:
    from qvirt.simulators.torch_statevector.operations import basis

    circuit = QuantumCircuit.from_qasm_str(text)
    return lower(circuit.remove_final_measurements(inplace=False), basis(), LARGEST_MATRIX)


class Torch(Peer):
    needs = "torch"

    def __init__(self, device: str, precision: Precision, threads: int) -> None:
        from qvirt.simulators.torch_statevector.unitary import Traits

        self.name = OWN if precision is Precision.SINGLE else f"{OWN} {precision}"
        self.amplitude_bytes = precision.amplitude_bytes
        self.tolerance = 1e-3 if precision is Precision.SINGLE else 0.3
        self.most_qubits = 26 if device == "cpu" else largest_on_gpu(precision)
        self._traits = Traits(device, precision, threads)
        self._moved: Sequence[int] = ()

    def prepare(self, text: str) -> Callable[[], object]:
        import torch

        from qvirt.simulators.torch_statevector.amplitudes import Amplitudes, format_for
        from qvirt.simulators.torch_statevector.operations import operation
        from qvirt.simulators.torch_statevector.unitary import compile_unitary

        torch.set_num_threads(self._traits.threads)
        operations = [operation(step, qubits) for step, qubits in gates(text)]
        width = plain(text).num_qubits
        traits = self._traits

        def run() -> None:
            self._state = None
            amplitudes = Amplitudes(1, width, format_for(traits.precision, traits.device), traits.device)
            amplitudes.zero()
            unitary = compile_unitary(operations, width, traits)
            _settled(traits.device)
            began = time.perf_counter()
            for index in range(len(unitary)):
                unitary.run(amplitudes, index)
            _settled(traits.device)
            self.sweeps, self.sweep_seconds = len(unitary), time.perf_counter() - began
            self._moved, self._state = unitary.moved, amplitudes

        return run

    def probabilities(self, numbers: np.ndarray) -> np.ndarray:
        places = sum((numbers >> qubit & 1) << place for qubit, place in enumerate(self._moved))
        block = self._state.block
        starts, offsets = places // block * block, places % block
        return np.array(
            [
                float(self._state.weights(slice(None), int(start), block)[0, offset])
                for start, offset in zip(starts, offsets, strict=True)
            ]
        )


class Qsim(Peer):
    name, needs = "qsim", "qsimcirq"

    def __init__(self, threads: int) -> None:
        self._threads = threads

    def prepare(self, text: str) -> Callable[[], object]:
        from qvirt.simulators.qsim.native import native

        module = native()
        circuit = module.Circuit()
        circuit.num_qubits = plain(text).num_qubits
        for time_step, (step, qubits) in enumerate(gates(text)):
            numbers = np.ascontiguousarray(step.matrix).view(np.float64).ravel().tolist()
            module.add_matrix_gate(time_step, qubits[::-1], numbers, circuit)
        unused = {"s": 1, "v": 0, "z": False, "r": 1, "g": False, "gmode": 0, "gsst": 32, "gdb": 16}
        fused = 2 if circuit.num_qubits < 16 else 3
        options = {"c": circuit, "f": fused, "t": self._threads, **unused}

        def run() -> None:
            self._state = None
            self._state = module.qsim_simulate_fullstate(options, 0)

        return run

    def probabilities(self, numbers: np.ndarray) -> np.ndarray:
        return abs(self._state.view(np.complex64)[numbers].astype(np.complex128)) ** 2


class Aer(Peer):
    needs = "qiskit_aer"

    def __init__(self, precision: str, threads: int, device: str = "CPU") -> None:
        self.name = f"Aer {precision}"
        self.amplitude_bytes = 8 if precision == "single" else 16
        self.most_qubits = 26 if device == "CPU" else largest_on_gpu(Precision.SINGLE)
        self._precision, self._threads, self._device = precision, threads, device
        self._made: Any = None

    def missing(self) -> str | None:
        reason = super().missing()
        if reason or self._device == "CPU":
            return reason
        from qiskit_aer import AerSimulator

        return None if self._device in AerSimulator().available_devices() else "this build has no GPU"

    def prepare(self, text: str) -> Callable[[], object]:
        from qiskit import transpile
        from qiskit_aer import AerSimulator

        simulator = AerSimulator(
            method="statevector",
            precision=self._precision,
            device=self._device,
            max_parallel_threads=self._threads,
            fusion_enable=True,
        )
        # One shot: the state itself would be copied out.
        circuit = plain(text)
        timed = transpile(circuit.measure_all(inplace=False), simulator, optimization_level=0)
        self._made = (simulator, transpile(circuit, simulator, optimization_level=0))

        def run() -> None:
            found = simulator.run(timed, shots=1).result()
            if not found.success:
                raise MemoryError(found.status)

        return run

    def probabilities(self, numbers: np.ndarray) -> np.ndarray:
        simulator, circuit = self._made
        saving = circuit.copy()
        saving.save_amplitudes_squared(numbers.tolist())
        return np.asarray(simulator.run(saving, shots=1).result().data(0)["amplitudes_squared"])

    def make_room(self) -> None:
        if self._device == "GPU":
            import torch

            torch.cuda.empty_cache()  # what torch keeps of other engines' states


class Qulacs(Peer):
    name, needs, amplitude_bytes = "Qulacs", "qulacs", 16

    def prepare(self, text: str) -> Callable[[], object]:
        from qulacs import QuantumCircuit as Circuit
        from qulacs import QuantumState
        from qulacs.circuit import QuantumCircuitOptimizer
        from qulacs.gate import CNOT, DenseMatrix

        width = plain(text).num_qubits
        circuit = Circuit(width)
        for step, qubits in gates(text):
            circuit.add_gate(CNOT(*qubits) if step.name == "cx" else DenseMatrix(qubits, step.matrix))

        def run() -> None:
            self._state = None
            fused = circuit.copy()
            QuantumCircuitOptimizer().optimize_light(fused)
            state = QuantumState(width)
            fused.update_quantum_state(state)
            self._state = state

        return run

    def probabilities(self, numbers: np.ndarray) -> np.ndarray:
        return abs(self._state.get_vector()[numbers]) ** 2


class Lightning(Peer):
    """PennyLane Lightning, which fuses nothing; given its own kernels for the gates that it has some for."""

    name, needs = "Lightning", "pennylane_lightning"

    def prepare(self, text: str) -> Callable[[], object]:
        from pennylane_lightning.lightning_qubit_ops import StateVectorC64

        width = plain(text).num_qubits
        named = {"cx": "CNOT", "cz": "CZ", "h": "Hadamard", "x": "PauliX"}
        turned = {"cp": "ControlledPhaseShift", "rx": "RX", "ry": "RY", "rz": "RZ"}
        calls: list[tuple[str, tuple[Any, ...]]] = []
        for step, qubits in gates(text):
            # Its first wire is the highest bit, of states and of matrices.
            wires = [width - 1 - qubit for qubit in qubits]
            name = "cp" if step.name == "cu1" else step.name
            if name in named:
                calls.append((named[name], (wires, False, [])))
            elif name in turned:
                calls.append((turned[name], (wires, False, [float(each) for each in step.params])))
            else:
                matrix = np.ascontiguousarray(step.matrix, np.complex64)
                calls.append(("applyMatrix", (matrix, wires[::-1], False)))

        def run() -> None:
            self._state = None
            state = StateVectorC64(width)
            state.resetStateVector()
            for name, arguments in calls:
                getattr(state, name)(*arguments)
            self._state = state

        return run

    def probabilities(self, numbers: np.ndarray) -> np.ndarray:
        state = np.empty(self._state.size(), np.complex64)
        self._state.getState(state)
        return abs(state[numbers].astype(np.complex128)) ** 2


class CuStateVec(Peer):
    """cuStateVec, given gates on pairs of qubits that qvirt has joined: it fuses nothing itself."""

    name, needs = "cuStateVec", "cuquantum"

    def __init__(self) -> None:
        self.most_qubits = largest_on_gpu(Precision.SINGLE)

    def prepare(self, text: str) -> Callable[[], object]:
        import torch
        from cuquantum import ComputeType, cudaDataType
        from cuquantum.bindings import custatevec

        from qvirt.simulators.torch_statevector.operations import operation, placed
        from qvirt.simulators.torch_statevector.pairing import paired

        width = plain(text).num_qubits
        handle = custatevec.create()
        operations = [placed(operation(step, qubits), range(width)) for step, qubits in gates(text)]
        kind = cudaDataType.CUDA_C_32F
        steps = [
            (torch.as_tensor(gate.full_matrix()).to("cuda:0", torch.complex64).contiguous(), gate.qubits)
            for gate in paired(operations, width)
        ]

        def run() -> None:
            self._state = None
            state = torch.zeros(1 << width, dtype=torch.complex64, device="cuda:0")
            state[0] = 1
            for matrix, qubits in steps:
                custatevec.apply_matrix(
                    handle, state.data_ptr(), kind, width, matrix.data_ptr(), kind,
                    custatevec.MatrixLayout.ROW, 0, list(qubits), len(qubits), [], [], 0,
                    ComputeType.COMPUTE_32F, 0, 0,
                )  # fmt: skip
            torch.cuda.synchronize()
            self._state = state

        return run

    def probabilities(self, numbers: np.ndarray) -> np.ndarray:
        import torch

        return (self._state[torch.as_tensor(numbers, device="cuda:0")].abs().double() ** 2).cpu().numpy()

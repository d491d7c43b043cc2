"""The Python interface: a VM of your own, circuits in every form, exact values, a kept state, a sweep, a
benchmark.

Run it with `python examples/engine.py`.
"""

import asyncio

from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

from qvirt import Engine, QuantumVMConfig


async def main() -> None:
    async with Engine() as engine:
        hardware = engine.hardware_info
        print(f"{hardware.cpu.model}: {hardware.usable.cpus:g} CPUs, backend {hardware.backend.value}")

        await engine.create_vm(QuantumVMConfig("lab", num_qubits=20, memory_mb=2048, cpu_cores=2))
        print("VMs:", [vm["name"] for vm in engine.list_vms()])

        as_dict = {
            "num_qubits": 3,
            "gates": [
                {"type": "H", "qubits": [0]},
                {"type": "CX", "qubits": [0, 1]},
                {"type": "CX", "qubits": [1, 2]},
            ],
        }
        result = await engine.execute_circuit(as_dict, vm_name="lab", shots=1000)
        print("a dict:", result.status, result.counts)

        as_qiskit = QuantumCircuit(2)
        as_qiskit.ry(0.5, 0)
        as_qiskit.cx(0, 1)
        result = await engine.execute_circuit(as_qiskit, "lab", observables=("ZZ", "XX"), statevector=True)
        print("a Qiskit circuit:", result.expectation_values, result.statevector)

        await engine.execute_circuit(as_qiskit, "lab", keep="psi")
        result = await engine.execute_circuit(QuantumCircuit(2), "lab", start="psi", observables=("ZZ",))
        print("begun in what was kept:", result.expectation_values)

        theta = Parameter("theta")
        ansatz = QuantumCircuit(1)
        ansatz.ry(theta, 0)
        sets = [{"theta": 0.1 * step} for step in range(5)]
        for found in await engine.execute_sweep(ansatz, sets, "lab", observables=("Z",)):
            print("swept:", found.metadata["parameters"], found.expectation_values)

        for row in await engine.benchmark(num_qubits=12):
            print("benchmark:", row.family, row.engine, f"{row.median or 0:.4f} s, checked by {row.check}")
        await engine.destroy_vm("lab")


asyncio.run(main())

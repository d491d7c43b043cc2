"""A real guest to talk to, started by a runtime, for tests of both."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import Any

import httpx
import psutil

from qvirt.model.circuit import CircuitSource
from qvirt.model.order import Answer, MachineSize, Order, OrderKind, OrderStatus
from qvirt.model.run import Method, Precision, RunOptions
from qvirt.model.vm import VM, Handle, VMSpec, VMState
from qvirt.model.wire import from_json, to_json
from qvirt.runtimes.contract import Runtime

PATIENCE = 180.0
"""Seconds after which a test that waits has failed; nothing takes nearly as long."""

ENGINES = Path(__file__).parent / "engines"


def until(what: Callable[[], object], patience: float = PATIENCE) -> None:
    deadline = time.monotonic() + patience
    while not what():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def rehearsal(folder: Path) -> dict[str, str]:
    """The environment in which the engine ``rehearsal`` is installed; ``folder`` takes what that needs."""
    info = folder / "qvirt_rehearsal-1.0.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: qvirt-rehearsal\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[qvirt.simulators]\nrehearsal = qvirt_rehearsal:RehearsalSimulator\n"
    )
    return {"PYTHONPATH": os.pathsep.join([str(ENGINES), str(folder), os.environ.get("PYTHONPATH", "")])}


def make_vm(runtime: str = "process", *, owner: str | None = "the tests", **spec: Any) -> VM:
    """One that ends with the tests, even where they are killed."""
    given = {"memory": 1 << 30, "cpus": 1, "spares": 0} | spec
    return VM(token_hex(6), VMSpec("test", runtime, **given), VMState.STARTING, time.time(), owner=owner)


def offspring(pid: int) -> list[psutil.Process]:
    """The workers of a guest that are not dead yet."""
    return [child for child in psutil.Process(pid).children(recursive=True) if lives(child)]


def lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def circuit(qubits: int = 2, gates: str = "h q;") -> CircuitSource:
    head = f'OPENQASM 2.0;\ninclude "qelib1.inc";\nqreg q[{qubits}];\ncreg c[{qubits}];\n'
    return CircuitSource("test.qasm", f"{head}{gates}\nmeasure q -> c;\n".encode())


class Guest:
    def __init__(self, runtime: Runtime, handle: Handle) -> None:
        self.runtime = runtime
        self.handle = handle
        endpoint = runtime.endpoint(handle)
        self.http = httpx.Client(
            transport=httpx.HTTPTransport(uds=endpoint.socket),
            base_url=endpoint.url or "http://guest",
            headers={"Authorization": f"Bearer {endpoint.token}"},
            timeout=PATIENCE,
        )

    @property
    def pid(self) -> int:
        pid = self.runtime.inspect(self.handle).pid
        assert pid is not None, self.runtime.logs(self.handle)
        return pid

    @property
    def workers(self) -> list[psutil.Process]:
        return offspring(self.pid)

    def healthy(self) -> bool:
        try:
            return self.http.get("/health").status_code == 200
        except httpx.TransportError:
            state = self.runtime.inspect(self.handle).state
            assert state is VMState.RUNNING, self.runtime.logs(self.handle)
            return False

    def submit(self, source: CircuitSource | None = None, **options: Any) -> str:
        """Options without an engine go to the rehearsal."""
        options = {"engine": "rehearsal"} | options
        return self.post(Order(token_hex(5), source=source or circuit(), options=RunOptions(**options))).id

    def post(self, order: Order) -> OrderStatus:
        answer = self.http.post("/v1/jobs", content=to_json(order))
        assert answer.status_code == 202, answer.text
        return from_json(answer.content, OrderStatus)

    def status(self, order_id: str, wait: float = 0.0) -> OrderStatus:
        answer = self.http.get(f"/v1/jobs/{order_id}", params={"wait": wait})
        assert answer.status_code == 200, answer.text
        return from_json(answer.content, OrderStatus)

    def until_simulating(self, order_id: str) -> None:
        until(lambda: self.status(order_id, 0.1).progress.phase == "simulating")

    def until_ended(self, order_id: str) -> OrderStatus:
        until(lambda: self.status(order_id, 1.0).state.ended)
        return self.status(order_id)

    def cancel(self, order_id: str) -> OrderStatus:
        answer = self.http.delete(f"/v1/jobs/{order_id}")
        assert answer.status_code == 200, answer.text
        return from_json(answer.content, OrderStatus)

    def answer(self, order_id: str) -> Answer:
        status = self.until_ended(order_id)
        assert status.error is None, status.error
        return from_json(self.http.get(f"/v1/jobs/{order_id}/result").content, Answer)

    def ask(self, kind: OrderKind, source: CircuitSource | None = None, **options: Any) -> Answer:
        order = Order(token_hex(5), kind, source, RunOptions(**options))
        return self.answer(self.post(order).id)

    def overtax(self, qubits: int) -> OrderStatus:
        """Have it run a state that its machine cannot hold, after its service was told that it has more than
        there is. It asks its kernel and refuses; where it does not, the kernel ends the run."""
        self.http.put("/v1/machine", content=to_json(MachineSize(8 << 30, 1)))
        source = circuit(qubits, "h q; t q; h q;")
        options = {"engine": "aer", "method": Method.STATEVECTOR, "precision": Precision.DOUBLE}
        return self.until_ended(self.submit(source, **options))

    def works(self) -> bool:
        """Whether a small circuit comes to its answer."""
        result = self.answer(self.submit(circuit(2, "x q[0];"), engine=None, shots=5)).result
        return result is not None and result.counts == {"01": 5}


@contextmanager
def running(runtime: Runtime, vm: VM) -> Iterator[Guest]:
    handle = runtime.create(vm)
    try:
        guest = Guest(runtime, runtime.start(handle))
        with guest.http:
            until(guest.healthy)
            yield guest
    finally:
        runtime.destroy(handle)

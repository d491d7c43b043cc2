"""States that a VM keeps between jobs: in a guest, from the command line, and in what is made of the VM."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex
from typing import Any

import numpy as np
import pytest
from command_line import Cli
from guest_images import lend
from guests import Guest, circuit, make_vm, rehearsal, running

from qvirt.errors import Conflict, DoesNotFit, ErrorInfo, NotFound, UsageError
from qvirt.model.circuit import CircuitSource
from qvirt.model.job import JobState
from qvirt.model.order import MachineSize, Order
from qvirt.model.result import Result
from qvirt.model.run import Method, Precision, RunOptions
from qvirt.model.state import KeptState
from qvirt.model.vm import ImageForm
from qvirt.model.wire import from_json, to_json
from qvirt.paths import Paths
from qvirt.runtimes.process import ProcessRuntime

MEMORY = 700 << 20
FIRST = "h q[0]; cx q[0],q[1]; ry(0.7) q[2]; cx q[1],q[2]; t q[2];"
NEXT = "rx(0.4) q[0]; cx q[2],q[0]; h q[1];"


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    folder = tmp_path_factory.mktemp("guest")
    spec = make_vm(environment=rehearsal(folder), memory=MEMORY)
    with running(ProcessRuntime(Paths(folder / "home")), spec) as found:
        yield found


@pytest.fixture(autouse=True)
def _empty(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "guest" in request.fixturenames:
        found: Guest = request.getfixturevalue("guest")
        for state in _states(found):
            assert found.http.delete(f"/v1/states/{state.name}").status_code == 204
        assert not list(_folder(found).glob("keeping-*")), "nothing is left lying about"
        assert not list(_folder(found).glob("kept-*"))


def _folder(guest: Guest) -> Path:
    return Path(guest.runtime.endpoint(guest.handle).socket or "").parent


def _states(guest: Guest) -> list[KeptState]:
    answer = guest.http.get("/v1/states")
    assert answer.status_code == 200, answer.text
    return from_json(answer.content, list[KeptState])


def _run(guest: Guest, source: CircuitSource, **options: Any) -> Result:
    order = Order(token_hex(5), source=source, options=RunOptions(**({"seed": 5} | options)))
    result = guest.answer(guest.post(order).id).result
    assert result is not None
    return result


def _refused(guest: Guest, source: CircuitSource, **options: Any) -> ErrorInfo:
    status = guest.until_ended(
        guest.post(Order(token_hex(5), source=source, options=RunOptions(**options))).id
    )
    assert status.state is JobState.FAILED
    assert status.error is not None
    return status.error


def _resize(guest: Guest, memory: int) -> None:
    assert guest.http.put("/v1/machine", content=to_json(MachineSize(memory, 1))).status_code == 200


def _put(guest: Guest, name: str, array: np.ndarray, **query: str) -> Any:
    octets = io.BytesIO()
    np.save(octets, array)
    return guest.http.put(f"/v1/states/{name}", content=octets.getvalue(), params=query)


def _got(guest: Guest, name: str) -> np.ndarray:
    answer = guest.http.get(f"/v1/states/{name}")
    assert answer.status_code == 200, answer.text
    found: np.ndarray = np.load(io.BytesIO(answer.content), allow_pickle=False)
    return found


def _error(answer: Any) -> ErrorInfo:
    return from_json(answer.content, dict[str, ErrorInfo])["error"]


def test_a_circuit_goes_on_where_another_ended(guest: Guest) -> None:
    first = _run(guest, circuit(3, FIRST), keep="psi")
    assert first.state is None, "only what was asked for goes out"
    (kept,) = _states(guest)
    assert first.kept == kept
    assert (kept.name, kept.num_qubits, kept.circuit) == ("psi", 3, circuit(3, FIRST).sha256)
    assert (kept.precision, kept.norm) == (first.candidate.precision, pytest.approx(1.0))
    asked: dict[str, Any] = {"engine": "aer", "precision": Precision.DOUBLE, "observables": ("ZXZ",)}
    found = _run(guest, circuit(3, NEXT), start="psi", keep="phi", state=True, **asked)
    joined = _run(guest, circuit(3, FIRST + NEXT), keep="both", **asked)
    assert (found.counts, found.seed) == (joined.counts, joined.seed)
    assert found.expectations[0].value == pytest.approx(joined.expectations[0].value)
    assert np.allclose(_got(guest, "phi"), _got(guest, "both"))
    assert found.state is not None and found.kept is not None
    assert found.state.bytes == found.kept.octets


def test_names_are_known_free_and_right(guest: Guest) -> None:
    _run(guest, circuit(2), keep="psi")
    before = _states(guest)
    assert _refused(guest, circuit(2), keep="psi").code == Conflict.code
    missing = _refused(guest, circuit(2), start="phi")
    assert (missing.code, "psi" in str(missing.hint)) == (NotFound.code, True)
    assert _states(guest) == before
    again = _run(guest, circuit(2, "x q;"), keep="psi", overwrite=True)
    assert _states(guest) == [again.kept]
    assert np.allclose(_got(guest, "psi"), [0, 0, 0, 1])
    wrong = guest.http.put("/v1/states/..%2Fpsi", content=b"")
    assert wrong.status_code in (404, 422)
    body = b'{"id": "x", "options": {"keep": "../psi"}}'
    assert guest.http.post("/v1/jobs", content=body).status_code == 422
    assert guest.http.get("/v1/states/phi").status_code == 404
    assert guest.http.delete("/v1/states/phi").status_code == 404


def test_the_circuit_has_the_qubits_of_the_state(guest: Guest) -> None:
    _run(guest, circuit(2), keep="psi")
    for qubits in (1, 3):
        refused = _refused(guest, circuit(qubits), start="psi")
        assert refused.code == UsageError.code
        assert "2 qubits" in refused.message
        assert f"the circuit {qubits} qubit" in refused.message


def test_a_failed_run_keeps_nothing(guest: Guest) -> None:
    measured_early = CircuitSource(
        "early.qasm",
        b"OPENQASM 2.0;\nqreg q[1];\ncreg c[1];\nU(1,0,0) q[0];\nmeasure q->c;\nU(1,0,0) q[0];\n",
    )
    assert _refused(guest, measured_early, keep="psi").code == "unsupported"
    assert _states(guest) == []


def test_what_is_kept_is_memory_of_the_vm(guest: Guest) -> None:
    too_large = _refused(guest, circuit(26), keep="psi", method=Method.STATEVECTOR)
    assert too_large.code == DoesNotFit.code
    assert "1.00 GiB" in too_large.message
    assert "state rm" in str(too_large.hint)

    def limit() -> int:
        options = RunOptions(seed=1, method=Method.PRODUCT)
        plan = guest.status(guest.post(Order(token_hex(5), source=circuit(2), options=options)).id, 1.0)
        guest.until_ended(plan.id)
        found = guest.status(plan.id).plan
        assert found is not None
        return found.memory_limit

    limit()
    before = limit()
    _resize(guest, MEMORY - before + (48 << 20))
    try:
        state = np.zeros(1 << 21, np.complex128)
        state[7] = 1
        assert _put(guest, "large", state).status_code == 200
        assert limit() < 24 << 20
        refused = _put(guest, "larger", state)
        assert (refused.status_code, _error(refused).code) == (422, DoesNotFit.code)
        assert "MiB that the VM has left" in _error(refused).message
        assert [state.name for state in _states(guest)] == ["large"]
    finally:
        _resize(guest, MEMORY)


def test_states_come_in_from_elsewhere(guest: Guest) -> None:
    state = np.array([0.6, 0, 0, 0.8j], np.complex64)
    answer = _put(guest, "psi", state)
    assert answer.status_code == 200, answer.text
    kept = from_json(answer.content, KeptState)
    assert [kept] == _states(guest)
    assert (kept.num_qubits, kept.precision, kept.circuit) == (2, Precision.SINGLE, None)
    assert np.array_equal(_got(guest, "psi"), state)
    found = _run(guest, circuit(2, "x q[0];"), start="psi", shots=2000)
    assert found.counts.keys() == {"01", "10"}
    assert abs(found.counts["01"] - 720) < 150
    assert _put(guest, "psi", state).status_code == 409
    assert _put(guest, "psi", state[[3, 0, 1, 2]], overwrite="true").status_code == 200
    for wrong in (state * 2, state.real, state[:3], np.array([None, 1], object)):
        refused = _put(guest, "phi", wrong)
        assert (refused.status_code, _error(refused).code) == (422, "usage"), refused.text
    assert [state.name for state in _states(guest)] == ["psi"]


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    found = {name: tmp_path / f"{name}.qasm" for name in ("first", "next", "joined")}
    for name, gates in (("first", FIRST), ("next", NEXT), ("joined", FIRST + NEXT)):
        found[name].write_bytes(circuit(3, gates).data)
    return found


def _counts(cli: Cli, *arguments: object) -> dict[str, int]:
    (run,) = cli.json("run", *arguments, "--seed", 5, "--engine", "aer", "--precision", "double")["runs"]
    assert run["error"] is None, run
    counts: dict[str, int] = run["result"]["counts"]
    return counts


def _names(cli: Cli, vm: str) -> list[str]:
    return [state["name"] for state in cli.json("state", "list", vm)["states"]]


def test_the_command_line_keeps_moves_and_removes_states(
    cli: Cli, files: dict[str, Path], tmp_path: Path
) -> None:
    nowhere = cli("run", files["first"], "--keep", "psi")
    assert (nowhere.returncode, "--vm" in nowhere.stderr) == (2, True)
    assert cli("vm", "create", "lab", "--memory", "700m").returncode == 0
    assert "no states" in cli("state", "list", "lab").stdout
    kept = cli("run", files["first"], "--vm", "lab", "--keep", "psi")
    assert (kept.returncode, "kept as psi: 3 qubits" in kept.stdout) == (0, True), kept.stderr
    two = cli("run", files["first"], files["next"], "--vm", "lab", "--keep", "phi")
    assert (two.returncode, "one circuit" in two.stderr) == (2, True)
    taken = cli("run", files["next"], "--vm", "lab", "--keep", "psi")
    assert (taken.returncode, "--force" in taken.stderr) == (5, True)
    joined = _counts(cli, files["joined"])
    assert _counts(cli, files["next"], "--vm", "lab", "--from", "psi") == joined
    assert cli("plan", files["next"], "--from", "psi").returncode == 2
    planned = cli("plan", files["next"], "--vm", "lab", "--from", "psi")
    assert (planned.returncode, "cannot begin in a given state" in planned.stdout) == (0, True), planned

    file = tmp_path / "psi.npy"
    assert cli("state", "export", "lab", "psi", file).returncode == 0
    imported = cli.json("state", "import", "lab", "chi", file)["state"]
    assert (imported["num_qubits"], imported["circuit"]) == (3, None)
    assert cli("state", "import", "lab", "chi", file).returncode == 5
    assert cli("state", "import", "lab", "chi", file, "--force").returncode == 0
    assert cli("state", "import", "lab", "phi", files["next"]).returncode == 2
    assert _counts(cli, files["next"], "--vm", "lab", "--from", "chi") == joined
    assert cli.json("state", "show", "lab", "psi")["state"]["num_qubits"] == 3
    missing = cli("state", "show", "lab", "phi")
    assert (missing.returncode, "psi" in missing.stderr) == (5, True)
    assert cli("state", "rm", "lab", "chi").returncode == 0
    assert _names(cli, "lab") == ["psi"]

    assert cli("vm", "stop", "lab").returncode == 0
    assert cli("state", "list", "lab").returncode == 5
    assert cli("vm", "start", "lab").returncode == 0
    assert _names(cli, "lab") == ["psi"], "a process VM has its directory on disk"
    assert cli("vm", "destroy", "lab").returncode == 0


def test_snapshots_and_clones_have_the_states(cli: Cli, files: dict[str, Path]) -> None:
    joined = _counts(cli, files["joined"])
    assert cli("vm", "create", "lab", "--memory", "700m").returncode == 0
    assert cli("run", files["first"], "--vm", "lab", "--keep", "psi").returncode == 0
    (before,) = cli.json("state", "list", "lab")["states"]
    assert cli("vm", "snapshot", "create", "lab", "one").returncode == 0
    assert cli("run", files["next"], "--vm", "lab", "--keep", "later").returncode == 0
    assert cli("vm", "clone", "lab", "twin").returncode == 0
    assert _names(cli, "twin") == ["later", "psi"]
    assert cli("vm", "snapshot", "restore", "lab", "one").returncode == 0
    assert cli.json("state", "list", "lab")["states"] == [before], "as it was, and nothing else"
    assert cli("vm", "snapshot", "restore", "lab", "one", "--into", "copy").returncode == 0
    for name in ("lab", "twin", "copy"):
        assert _counts(cli, files["next"], "--vm", name, "--from", "psi") == joined
    assert cli("vm", "snapshot", "rm", "lab", "one").returncode == 0
    assert not list((cli.home / "snapshots").rglob("*.npy"))
    assert cli("vm", "destroy", "--all").returncode == 0


def test_a_state_moves_from_a_process_to_a_container_and_back(cli: Cli, files: dict[str, Path]) -> None:
    lend(ImageForm.DOCKER, cli.home)
    joined = _counts(cli, files["joined"])
    assert cli("vm", "create", "lab", "--memory", "700m").returncode == 0
    assert cli("run", files["first"], "--vm", "lab", "--keep", "psi").returncode == 0
    (before,) = cli.json("state", "list", "lab")["states"]
    assert cli("vm", "snapshot", "create", "lab", "one").returncode == 0
    into = cli("vm", "snapshot", "restore", "lab", "one", "--into", "box", "--runtime", "docker")
    assert into.returncode == 0, into.stderr
    try:
        assert cli.json("state", "list", "box")["states"] == [before]
        assert _counts(cli, files["next"], "--vm", "box", "--from", "psi") == joined
        assert cli("run", files["next"], "--vm", "box", "--from", "psi", "--keep", "phi").returncode == 0
        assert cli("vm", "snapshot", "create", "box", "two").returncode == 0
        back = cli("vm", "snapshot", "restore", "box", "two", "--into", "home", "--runtime", "process")
        assert back.returncode == 0, back.stderr
        assert _names(cli, "home") == ["phi", "psi"]
        large = cli("run", "-", "--vm", "box", "--keep", "large", stdin=circuit(23).data.decode())
        assert large.returncode == 0, large.stderr
        larger = cli("run", "-", "--vm", "box", "--keep", "larger", stdin=circuit(26).data.decode())
        assert (larger.returncode, "takes 1.00 GiB" in larger.stderr) == (3, True), larger.stderr
        assert "for files left" in larger.stderr
        assert _names(cli, "box") == ["large", "phi", "psi"]
    finally:
        assert cli("vm", "destroy", "--all").returncode == 0

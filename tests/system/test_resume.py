"""A running circuit is watched, saved, lost and gone on with, to the counts of one that never stopped."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from command_line import Cli, eventually
from guest_images import equipped, lend
from guests import Guest, circuit, make_vm, rehearsal, running, until

from qvirt import Engine, QuantumVMConfig
from qvirt.errors import CheckpointRefused, Conflict, ErrorInfo, NotFound, Unsupported
from qvirt.model.checkpoint import CheckpointHead, read_head
from qvirt.model.circuit import CircuitSource
from qvirt.model.job import JobState
from qvirt.model.order import Order
from qvirt.model.run import Method, RunOptions
from qvirt.model.vm import ImageForm
from qvirt.model.wire import from_json
from qvirt.paths import Paths
from qvirt.runtimes.process import ProcessRuntime

QUBITS, GATES = 20, 10_000


def _long(gates: int = GATES, qubits: int = QUBITS) -> CircuitSource:
    """Seconds of work for qsim, which stops after every thousand gates."""
    generator = random.Random(5)
    lines = []
    for _ in range(gates):
        a, b = generator.sample(range(qubits), 2)
        angles = [generator.uniform(0, 3) for _ in range(3)]
        lines.append(
            f"cx q[{a}],q[{b}];" if generator.random() < 0.5 else "u3({},{},{}) q[{}];".format(*angles, a)
        )
    return circuit(qubits, "\n".join(lines))


LONG = _long()
OPTIONS = RunOptions(shots=200, seed=3, engine="qsim")


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    folder = tmp_path_factory.mktemp("guest")
    runtime = ProcessRuntime(Paths(folder / "home"))
    spec = make_vm(environment=rehearsal(folder), memory=1 << 30, cpus=2)
    with running(runtime, spec) as found:
        yield found


@pytest.fixture(scope="module")
def cut(guest: Guest) -> tuple[CheckpointHead, bytes]:
    """A checkpoint of the long circuit on its way, which was stopped after it."""
    guest.post(Order("first", source=LONG, options=OPTIONS))
    until(lambda: (guest.status("first", 0.1).progress.fraction or 0.0) > 0.0)
    octets = _ok(guest.http.post("/v1/jobs/first/checkpoint"))
    assert guest.status("first").state is JobState.RUNNING, "it goes on"
    guest.cancel("first")
    return read_head(octets[: octets.index(b"\n") + 1]), octets


@pytest.fixture(scope="module")
def whole(guest: Guest) -> dict[str, int]:
    guest.post(Order("whole", source=LONG, options=OPTIONS))
    result = guest.answer("whole").result
    assert result is not None
    return result.counts


def _ok(answer: object) -> bytes:
    assert answer.status_code == 200, answer.text  # type: ignore[attr-defined]
    return answer.content  # type: ignore[attr-defined, no-any-return]


def _error(answer: object) -> ErrorInfo:
    return from_json(answer.content, dict[str, ErrorInfo])["error"]  # type: ignore[attr-defined]


def _resumed(
    guest: Guest, octets: bytes, name: str, source: CircuitSource, options: RunOptions
) -> ErrorInfo | None:
    guest.post(Order(name, source=source, options=options, resume=name))
    assert guest.http.put(f"/v1/checkpoints/{name}", content=octets).status_code == 204
    return guest.until_ended(name).error


def test_what_is_saved_says_what_it_is(cut: tuple[CheckpointHead, bytes]) -> None:
    head, _ = cut
    assert head.circuit == LONG.sha256
    position = head.position
    assert position is not None and position.operations == GATES
    assert position.operations_done is not None and 0 < position.operations_done < GATES


def test_a_run_goes_on_from_what_was_saved(
    guest: Guest, cut: tuple[CheckpointHead, bytes], whole: dict[str, int]
) -> None:
    assert _resumed(guest, cut[1], "again", LONG, OPTIONS) is None
    result = guest.answer("again").result
    assert result is not None and result.counts == whole
    assert len(whole) > 100, "each shot is another reading, so that equal counts say something"


def test_the_seed_and_the_engine_need_not_be_said_again(
    guest: Guest, cut: tuple[CheckpointHead, bytes], whole: dict[str, int]
) -> None:
    assert _resumed(guest, cut[1], "bare", LONG, RunOptions(shots=200)) is None
    result = guest.answer("bare").result
    assert result is not None and (result.counts, result.seed) == (whole, 3)


@pytest.mark.parametrize(
    ("name", "source", "options", "reason"),
    [
        ("circuit", circuit(20, "h q;"), OPTIONS, "its circuit is"),
        ("seed", LONG, RunOptions(shots=200, seed=4), "its seed is 3, not 4"),
        ("shots", LONG, RunOptions(shots=201, seed=3), "its shots is 200, not 201"),
        ("asked", LONG, RunOptions(shots=200, seed=3, per_shot_memory=True), "per_shot_memory is False"),
    ],
)
def test_a_run_of_something_else_is_refused(
    guest: Guest,
    cut: tuple[CheckpointHead, bytes],
    name: str,
    source: CircuitSource,
    options: RunOptions,
    reason: str,
) -> None:
    error = _resumed(guest, cut[1], name, source, options)
    assert error is not None and error.code == CheckpointRefused.code
    assert reason in error.message


def test_a_checkpoint_that_is_damaged_or_cut_off_is_refused(
    guest: Guest, cut: tuple[CheckpointHead, bytes]
) -> None:
    octets = bytearray(cut[1])
    octets[len(octets) // 2] ^= 1
    for name, broken, reason in (
        ("damaged", bytes(octets), "damaged"),
        ("cut", cut[1][:-1], "cut off"),
        ("foreign", b"not one", "no checkpoint"),
    ):
        error = _resumed(guest, broken, name, LONG, OPTIONS)
        assert error is not None and error.code == CheckpointRefused.code
        assert reason in error.message


def test_what_cannot_be_saved_is_said(guest: Guest) -> None:
    path = "/v1/jobs/{}/checkpoint"
    assert _error(guest.http.post(path.format("nobody"))).code == NotFound.code
    for method, code in ((Method.STATEVECTOR, Unsupported.code), (None, Conflict.code)):
        # Where it is free to choose among its methods, the rehearsal tries two of them in a race.
        source = circuit(7 if method is None else 2)
        order_id = guest.submit(source, method=method)
        guest.until_simulating(order_id)
        assert _error(guest.http.post(path.format(order_id))).code == code
        guest.cancel(order_id)
        assert _error(guest.http.post(path.format(order_id))).code == Conflict.code
    unexpected = guest.http.put("/v1/checkpoints/nobody", content=b"...")
    assert _error(unexpected).code == NotFound.code


def test_an_order_waits_for_its_checkpoint_and_takes_one(
    guest: Guest, cut: tuple[CheckpointHead, bytes]
) -> None:
    guest.post(Order("waits", source=LONG, options=OPTIONS, resume="late"))
    until(lambda: guest.status("waits", 0.1).progress.phase == "waiting for its checkpoint")
    other = guest.http.post("/v1/jobs", content=b'{"id": "other", "resume": "late"}')
    assert _error(other).code == Conflict.code
    with ThreadPoolExecutor(1) as pool:
        # More than there is room for on the way, of which the head never comes to an end.
        giving = pool.submit(guest.http.put, "/v1/checkpoints/late", content=bytes(1 << 20) * 16)
        assert guest.until_ended("waits").error is not None
        assert giving.result().status_code == 204
    guest.post(Order("left", source=LONG, options=OPTIONS, resume="left"))
    assert guest.cancel("left").state is JobState.CANCELLED
    assert guest.http.put("/v1/checkpoints/left", content=cut[1]).status_code == 404


def test_who_breaks_off_a_checkpoint_does_no_harm(guest: Guest, whole: dict[str, int]) -> None:
    guest.post(Order("left-alone", source=LONG, options=OPTIONS))
    until(lambda: (guest.status("left-alone", 0.1).progress.fraction or 0.0) > 0.0)
    for _ in range(3):
        with guest.http.stream("POST", "/v1/jobs/left-alone/checkpoint") as answer:
            assert answer.status_code == 200
            next(answer.iter_raw(1000))
    _ok(guest.http.post("/v1/jobs/left-alone/checkpoint"))
    result = guest.answer("left-alone").result
    assert result is not None and result.counts == whole


@pytest.mark.parametrize("cancelled", [False, True], ids=["to its end", "cancelled"])
def test_many_who_save_at_once_and_too_late_do_no_harm(
    guest: Guest, whole: dict[str, int], cancelled: bool
) -> None:
    name = f"crowded-{cancelled}"
    guest.post(Order(name, source=LONG, options=OPTIONS))
    until(lambda: (guest.status(name, 0.1).progress.fraction or 0.0) > 0.0)

    def save(number: int) -> set[int]:
        codes = set()
        while not guest.status(name).state.ended:
            codes.add(guest.http.post(f"/v1/jobs/{name}/checkpoint").status_code)
            if cancelled and number == 0:
                guest.cancel(name)
        return codes

    with ThreadPoolExecutor(4) as pool:
        codes = set.union(*pool.map(save, range(4)))
    assert 200 in codes and codes <= {200, 409}
    assert guest.works()
    if not cancelled:
        result = guest.answer(name).result
        assert result is not None and result.counts == whole


def test_nothing_is_left_of_orders_that_have_ended(guest: Guest, cut: tuple[CheckpointHead, bytes]) -> None:
    assert isinstance(guest.runtime, ProcessRuntime)
    folder = guest.runtime._paths.vm(guest.handle.vm)
    assert folder.is_dir()
    assert not list(folder.glob("*.qvc*"))


def test_a_killed_run_is_gone_on_with(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "long.qasm"
    file.write_bytes(_long(6 * GATES).data)
    asked = (file, "--shots", 200, "--seed", 3, "--engine", "qsim")
    counts = cli.json("run", *asked)["runs"][0]["result"]["counts"]

    first = cli.start("run", *asked)
    assert eventually(lambda: len(cli.json("job", "list")["jobs"]) == 2)
    job = cli.json("job", "list")["jobs"][0]["id"]
    assert eventually(lambda: ((cli.json("job", "show", job)["progress"] or {}).get("fraction") or 0) > 0)
    assert "operations" in cli("job", "show", job).stdout
    kept = cli.json("job", "checkpoint", job)["checkpoint"]
    assert 0 < kept["head"]["fraction"] < 1
    (guest,) = (p for p in cli.processes() if "qvirt.guest" in p.cmdline())
    guest.kill()
    _, error = first.communicate(timeout=60)
    assert first.returncode == 6
    assert f"qvirt run --resume {job}" in error

    shown = cli.json("job", "show", job)
    assert shown["checkpoint"]["octets"] == kept["octets"] == Paths(cli.home).checkpoint(job).stat().st_size
    again = cli.json("run", "--resume", job)["runs"][0]
    assert again["result"]["counts"] == counts
    assert again["result"]["seed"] == 3
    assert cli.json("job", "show", again["job"])["job"]["resumes"] == job
    history = [event["reason"] or "" for event in cli.json("job", "show", job)["events"]]
    assert f"resumed as job {again['job']}" in history

    refused = cli("run", "--resume", again["job"], "--format", "json")
    assert refused.returncode == 5
    assert "has completed" in json.loads(refused.stderr)["error"]["message"]
    assert cli("job", "rm", job).returncode == 0
    assert not Paths(cli.home).checkpoint(job).exists()


def test_what_is_larger_than_the_files_of_a_container_is_saved_and_gone_on_with(
    cli: Cli, tmp_path: Path
) -> None:
    lend(ImageForm.DOCKER, cli.home)
    file = tmp_path / "long.qasm"
    file.write_bytes(_long(7000, 23).data)
    asked = (file, "--shots", 200, "--seed", 3, "--engine", "qsim", "--vm", "box")
    assert cli("vm", "create", "box", "--runtime", "docker", "--memory", "700m").returncode == 0
    try:
        counts = cli.json("run", *asked)["runs"][0]["result"]["counts"]
        first = cli.start("run", *asked)
        assert eventually(lambda: len(cli.json("job", "list")["jobs"]) == 2)
        job = cli.json("job", "list")["jobs"][0]["id"]
        assert eventually(lambda: ((cli.json("job", "show", job)["progress"] or {}).get("fraction") or 0) > 0)
        assert cli.json("job", "checkpoint", job)["checkpoint"]["octets"] > 64 << 20
        assert cli("job", "cancel", job).returncode == 0
        first.communicate(timeout=60)
        again = cli.json("run", "--resume", job, "--vm", "box")["runs"][0]
        assert again["result"]["counts"] == counts
    finally:
        assert cli("vm", "destroy", "--all").returncode == 0


@pytest.mark.machines
def test_what_a_machine_saved_goes_on_in_another_and_in_a_process(tmp_path: Path, guest: Guest) -> None:
    runtime = equipped("qemu", tmp_path / "home")
    source = _long(3000, 16)
    spec = {"memory": 640 << 20}
    with (
        running(runtime, make_vm("qemu", owner=None, **spec)) as first,
        running(runtime, make_vm("qemu", owner=None, **spec)) as second,
    ):
        first.post(Order("whole", source=source, options=OPTIONS))
        whole = first.answer("whole").result
        first.post(Order("cut", source=source, options=OPTIONS))
        until(lambda: (first.status("cut", 0.1).progress.fraction or 0.0) > 0.0)
        octets = _ok(first.http.post("/v1/jobs/cut/checkpoint"))
        first.cancel("cut")
        for other in (second, guest):
            assert _resumed(other, octets, "from-first", source, OPTIONS) is None
            result = other.answer("from-first").result
            assert result is not None and whole is not None and result.counts == whole.counts
    assert whole is not None and len(whole.counts) > 100, (
        "each shot is another reading, so that equal counts say something"
    )


def test_a_snapshot_holds_what_runs(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "long.qasm"
    file.write_bytes(_long(5 * GATES).data)
    assert cli("vm", "create", "lab", "--memory", "1g").returncode == 0
    asked = (file, "--vm", "lab", "--shots", 200, "--seed", 3, "--engine", "qsim")
    counts = cli.json("run", *asked)["runs"][0]["result"]["counts"]

    first = cli.start("run", *asked)
    assert eventually(lambda: len(cli.json("job", "list")["jobs"]) == 2)
    job = cli.json("job", "list")["jobs"][0]["id"]
    assert eventually(lambda: ((cli.json("job", "show", job)["progress"] or {}).get("fraction") or 0) > 0)
    taken = cli("vm", "snapshot", "create", "lab", "before")
    assert cli("job", "cancel", job).returncode == 0
    first.communicate(timeout=60)
    assert f"job {job}: saved" in taken.stderr
    (snapshot,) = cli.json("vm", "snapshot", "list", "lab")["snapshots"]
    assert [saved["id"] for saved in snapshot["jobs"]] == [job]
    Paths(cli.home).checkpoint(job).unlink()

    restored = cli("vm", "snapshot", "restore", "lab", "before", "--into", "copy")
    assert f"qvirt run --resume {job} --vm copy" in restored.stderr
    assert cli.json("run", "--resume", job, "--vm", "copy")["runs"][0]["result"]["counts"] == counts
    assert cli("vm", "snapshot", "rm", "lab", "before").returncode == 0
    assert not list(Paths(cli.home).snapshots(snapshot["vm"]).iterdir())
    assert cli("vm", "destroy", "--all").returncode == 0


def test_the_python_interface_saves_and_goes_on(tmp_path: Path, whole: dict[str, int]) -> None:
    home = tmp_path / "home"

    async def use() -> None:
        async with Engine(home) as engine:
            await engine.create_vm(QuantumVMConfig("first", memory_mb=1024, cpu_cores=2))
            running = asyncio.ensure_future(
                engine.execute_circuit(LONG, "first", "qsim", 200, seed=3, checkpoint_every=0.05)
            )
            while not list((home / "checkpoints").glob("*.qvc")):
                await asyncio.sleep(0.05)
            for process in Cli(home).processes():
                if "qvirt.guest" in process.cmdline():
                    process.kill()
            lost = await running
            assert (lost.status, lost.counts) == ("failed", {})
            await engine.create_vm(QuantumVMConfig("second", memory_mb=1024, cpu_cores=2))
            again = await engine.resume_job(lost.job_id, "second")
            assert (again.status, again.counts) == ("completed", whole)
            with pytest.raises(Conflict, match="has completed"):
                await engine.resume_job(again.job_id, "second")

    asyncio.run(use())


def test_a_run_saves_itself_every_so_often(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "long.qasm"
    source = _long(4 * GATES)
    file.write_bytes(source.data)
    run = cli.start("run", file, "--engine", "qsim", "--checkpoint-every", "100ms")
    folder = cli.home / "checkpoints"
    assert eventually(lambda: any(folder.glob("*.qvc")))
    job = cli.json("job", "list")["jobs"][0]["id"]
    assert cli("job", "cancel", job).returncode == 0
    run.communicate(timeout=60)
    assert cli.json("job", "show", job)["checkpoint"]["head"]["circuit"] == source.sha256


def test_a_job_without_a_checkpoint_is_not_resumed(cli: Cli, bell: Path) -> None:
    file = bell.with_name("wrong.qasm")
    file.write_text("no circuit")
    cli("run", file)
    job = cli.json("job", "list")["jobs"][0]["id"]
    refused = cli("run", "--resume", job)
    assert refused.returncode == 5
    assert "has no checkpoint" in refused.stderr and "--checkpoint-every" in refused.stderr
    for wrong in (("--resume", job, bell), ("--resume", job, "--shots", 5), ()):
        assert cli("run", *wrong).returncode == 2

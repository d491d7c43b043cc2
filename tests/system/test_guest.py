"""A real guest with real workers: what it does with orders, limits, crashes and strangers."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import httpx
import numpy as np
import pytest
from guests import Guest, circuit, make_vm, rehearsal, running, until

from qvirt.errors import ErrorInfo
from qvirt.model.job import JobState
from qvirt.model.order import Answer, Capabilities, Order, OrderKind, OrderStatus
from qvirt.model.result import Result
from qvirt.model.run import Method, RunOptions
from qvirt.model.wire import from_json, to_json
from qvirt.paths import Paths
from qvirt.runtimes.process import ProcessRuntime
from qvirt.units import show_bytes

MINUTES_LONG = circuit(24, "h q;\n" + "cx q[0], q[23]; u3(0.1, 0.2, 0.3) q[5];\n" * 20_000)
BELL = circuit(2, "h q[0]; cx q[0], q[1];")


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    folder = tmp_path_factory.mktemp("guest")
    runtime = ProcessRuntime(Paths(folder / "home"))
    spec = make_vm(environment=rehearsal(folder), memory=1 << 30, cpus=2, spares=1)
    with running(runtime, spec) as found:
        yield found


def _result(answer: Answer) -> Result:
    assert answer.result is not None
    return answer.result


def _error(answer: httpx.Response) -> ErrorInfo:
    return from_json(answer.content, dict[str, ErrorInfo])["error"]


# Orders


def test_a_circuit_comes_back_with_counts_and_how_they_were_had(guest: Guest) -> None:
    result = _result(guest.answer(guest.submit(BELL, engine=None, shots=1000, seed=3)))
    assert set(result.counts) == {"00", "11"}
    assert sum(result.counts.values()) == result.shots == 1000
    assert (result.seed, result.num_qubits, result.num_clbits, result.threads) == (3, 2, 2, 2)
    assert [attempt.outcome for attempt in result.attempts] == ["done"]
    timings = result.timings
    assert timings.total >= timings.parse + timings.plan + timings.simulate > 0


def test_a_seed_is_chosen_and_told_where_none_is_given(guest: Guest) -> None:
    first = _result(guest.answer(guest.submit(BELL, engine=None)))
    again = _result(guest.answer(guest.submit(BELL, engine=None, seed=first.seed)))
    assert first.counts == again.counts


def test_a_plan_a_drawing_and_the_capabilities(guest: Guest) -> None:
    plan = guest.ask(OrderKind.PLAN, BELL).plan
    assert plan is not None
    assert plan.facts.num_qubits == 2
    assert plan.threads == 2
    assert 0 < plan.memory_limit < 1 << 30
    drawing = guest.ask(OrderKind.DRAW, BELL).drawing
    assert drawing is not None
    assert "q_1" in drawing
    found = from_json(guest.http.get("/v1/capabilities").content, Capabilities)
    assert (found.memory, found.cpus) == (1 << 30, 2)
    assert {"aer", "rehearsal"} <= {engine.name for engine in found.engines if engine.version}


def test_a_state_vector_is_a_file(guest: Guest) -> None:
    order_id = guest.submit(BELL, engine="aer", state=True)
    state = _result(guest.answer(order_id)).state
    assert state is not None
    octets = guest.http.get(f"/v1/jobs/{order_id}/state").content
    assert (state.amplitudes, state.bytes) == (4, len(octets))
    assert np.allclose(np.abs(np.load(BytesIO(octets))), [0.5**0.5, 0, 0, 0.5**0.5])
    plain = guest.submit(BELL, engine="aer")
    guest.answer(plain)
    assert guest.http.get(f"/v1/jobs/{plain}/state").status_code == 404


def test_one_order_posted_twice_is_one(guest: Guest) -> None:
    order = Order("twice", source=BELL, options=RunOptions(shots=10))
    guest.post(order)
    first = _result(guest.answer("twice"))
    assert guest.post(order).state is JobState.COMPLETED
    assert _result(guest.answer("twice")) == first
    other = Order("twice", source=BELL, options=RunOptions(shots=11))
    assert guest.http.post("/v1/jobs", content=to_json(other)).status_code == 409


def test_who_posts_a_small_order_is_answered_when_it_has_ended(guest: Guest) -> None:
    def posted(order: Order, wait: float) -> OrderStatus:
        answer = guest.http.post("/v1/jobs", params={"wait": wait}, content=to_json(order))
        assert answer.status_code == 202
        return from_json(answer.content, OrderStatus)

    assert posted(Order("small", source=BELL), 30).state is JobState.COMPLETED
    dense = RunOptions(engine="aer", method=Method.STATEVECTOR)
    assert not posted(Order("long", source=MINUTES_LONG, options=dense), 0.05).state.ended
    assert guest.cancel("long").state is JobState.CANCELLED


def test_orders_wait_for_one_another_in_the_order_of_arrival(guest: Guest) -> None:
    first = guest.submit(method=Method.STATEVECTOR)
    second = guest.submit(method=Method.PRODUCT)
    third = guest.submit(method=Method.PRODUCT)
    guest.until_simulating(first)
    assert guest.status(second).state is JobState.QUEUED
    assert guest.http.get(f"/v1/jobs/{second}/result").status_code == 409
    assert guest.cancel(third).state is JobState.CANCELLED
    guest.cancel(first)
    assert guest.until_ended(second).state is JobState.COMPLETED
    assert guest.until_ended(third).state is JobState.CANCELLED


def test_progress_is_seen_while_it_runs(guest: Guest) -> None:
    order_id = guest.submit(method=Method.STATEVECTOR)
    until(lambda: guest.status(order_id, 0.1).progress.fraction)
    progress = guest.status(order_id).progress
    assert progress.phase == "simulating"
    assert progress.fraction is not None
    assert 0 < progress.fraction < 1
    assert progress.seconds > 0
    assert progress.seconds_left is not None
    assert guest.status(order_id).plan is not None
    guest.cancel(order_id)


def test_a_wrong_circuit_is_named_with_file_and_line(guest: Guest) -> None:
    wrong = circuit(2, "h q[0];\nnonsense q[1];")
    status = guest.until_ended(guest.submit(wrong, engine=None))
    assert status.state is JobState.FAILED
    assert status.error is not None
    assert (status.error.code, status.error.file, status.error.line) == ("circuit", "test.qasm", 6)
    assert guest.http.get(f"/v1/jobs/{status.id}/result").status_code == 422


def test_what_does_not_fit_is_refused_with_numbers(guest: Guest) -> None:
    status = guest.until_ended(guest.submit(circuit(30), engine="aer", method=Method.STATEVECTOR))
    assert status.error is not None
    assert status.error.code == "does_not_fit"
    assert "needs 16.0 GiB" in status.error.message


def test_a_lower_memory_limit_is_kept(guest: Guest) -> None:
    plan = guest.ask(OrderKind.PLAN, circuit(22), engine="aer", memory_limit=32 << 20).plan
    assert plan is not None
    assert plan.memory_limit == 32 << 20


def test_what_native_code_prints_is_logged_and_harms_nothing(guest: Guest) -> None:
    guest.answer(guest.submit(method=Method.EXTENDED_STABILIZER))
    until(lambda: "printed by native code" in guest.runtime.logs(guest.handle))


# Stops


@pytest.mark.parametrize(
    ("source", "options"),
    [
        pytest.param(MINUTES_LONG, {"engine": "aer", "method": Method.STATEVECTOR}, id="aer"),
        pytest.param(circuit(), {"method": Method.MPS}, id="stuck"),
        pytest.param(circuit(), {"method": Method.STATEVECTOR}, id="in-slices"),
    ],
)
def test_a_cancelled_run_is_over_within_a_second_and_the_next_one_runs(
    guest: Guest, source: object, options: dict[str, object]
) -> None:
    order_id = guest.submit(source, **options)  # type: ignore[arg-type]
    guest.until_simulating(order_id)
    began = time.monotonic()
    assert guest.cancel(order_id).state is JobState.CANCELLED
    assert time.monotonic() - began < 1.0
    assert _error(guest.http.get(f"/v1/jobs/{order_id}/result")).code == "cancelled"
    assert guest.works()


def test_a_cancelled_run_leaves_no_process_at_work(guest: Guest) -> None:
    before = {worker.pid for worker in guest.workers}
    order_id = guest.submit(method=Method.MPS)
    guest.until_simulating(order_id)
    guest.cancel(order_id)
    until(lambda: before - {worker.pid for worker in guest.workers})


def test_a_time_limit_ends_a_run(guest: Guest) -> None:
    order_id = guest.submit(method=Method.MPS, time_limit=0.3)
    status = guest.until_ended(order_id)
    assert status.state is JobState.TIMED_OUT
    assert status.error is not None
    assert "300 ms" in status.error.message
    assert 0.3 <= status.progress.seconds < 1.3
    assert guest.works()


def test_cancelling_what_has_ended_changes_nothing(guest: Guest) -> None:
    order_id = guest.submit(method=Method.PRODUCT)
    guest.answer(order_id)
    assert guest.cancel(order_id).state is JobState.COMPLETED
    assert guest.cancel(order_id).state is JobState.COMPLETED


# Failures


def test_a_run_that_takes_too_much_memory_fails_alone(guest: Guest) -> None:
    status = guest.until_ended(guest.submit(method=Method.DENSITY_MATRIX))
    assert status.error is not None
    assert status.error.code == "out_of_memory"
    assert "limit" in status.error.message
    assert guest.works()


def test_a_crash_in_native_code_is_named(guest: Guest) -> None:
    status = guest.until_ended(guest.submit(method=Method.STABILIZER))
    assert status.error is not None
    assert status.error.code == "engine_failed"
    assert "SIGSEGV" in status.error.message
    assert guest.works()


def test_a_worker_that_somebody_kills_ends_its_run_only(guest: Guest) -> None:
    order_id = guest.submit(method=Method.MPS)
    guest.until_simulating(order_id)
    for worker in guest.workers:
        worker.send_signal(signal.SIGKILL)
    status = guest.until_ended(order_id)
    assert status.error is not None
    assert "SIGKILL" in status.error.message
    assert guest.works()


def test_a_spare_is_warm_again_after_a_worker_was_lost(guest: Guest) -> None:
    guest.cancel(guest.submit(method=Method.MPS))
    until(lambda: len(guest.workers) == 2)


# Races


@pytest.mark.parametrize(
    ("scenario", "outcomes"),
    [
        pytest.param(3, {"matrix_product_state": "done"}, id="the gamble wins"),
        pytest.param(4, {"matrix_product_state": "over_budget", "statevector": "done"}, id="over budget"),
        pytest.param(5, {"matrix_product_state": "failed", "statevector": "done"}, id="crashed"),
        pytest.param(6, {"matrix_product_state": "failed", "statevector": "done"}, id="out of memory"),
        pytest.param(7, {"matrix_product_state": "lost_race", "decision_diagram": "done"}, id="lost"),
    ],
)
def test_the_first_answer_wins_and_every_attempt_is_told(
    guest: Guest, scenario: int, outcomes: dict[str, str]
) -> None:
    result = _result(guest.answer(guest.submit(circuit(scenario), shots=7)))
    assert result.counts == {"0" * scenario: 7}
    assert {a.candidate.method.value: a.outcome for a in result.attempts} == outcomes
    winner = next(a for a in result.attempts if a.outcome == "done")
    assert result.candidate == winner.candidate
    assert result.timings.simulate == winner.seconds


def test_where_all_give_up_the_circuit_is_refused(guest: Guest) -> None:
    status = guest.until_ended(guest.submit(circuit(8)))
    assert status.error is not None
    assert status.error.code == "does_not_fit"
    assert "no method surely fits" in status.error.message


def test_what_nothing_surely_fits_is_refused_when_its_time_is_up(guest: Guest) -> None:
    status = guest.until_ended(guest.submit(circuit(10), time_limit=0.3))
    assert status.state is JobState.FAILED
    assert status.error is not None
    assert status.error.code == "does_not_fit"
    assert "300 ms" in status.error.message
    assert guest.works()


def test_where_all_fail_the_failure_is_told(guest: Guest) -> None:
    status = guest.until_ended(guest.submit(circuit(9)))
    assert status.error is not None
    assert status.error.code == "engine_failed"


def test_a_race_can_be_cancelled(guest: Guest) -> None:
    order_id = guest.submit(circuit(4))
    guest.until_simulating(order_id)
    assert guest.cancel(order_id).state is JobState.CANCELLED
    assert guest.works()


# Strangers and nonsense


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic x"}])
@pytest.mark.parametrize("path", ["/v1/capabilities", "/v1/jobs/x", "/metrics", "/openapi.json"])
def test_nothing_but_health_without_the_token(guest: Guest, path: str, header: dict[str, str]) -> None:
    socket = guest.runtime.endpoint(guest.handle).socket
    with httpx.Client(transport=httpx.HTTPTransport(uds=socket), base_url="http://guest") as stranger:
        assert stranger.get("/health", headers=header).status_code == 200
        refused = stranger.get(path, headers=header)
        assert refused.status_code == 401
        assert "token" in _error(refused).message
        assert stranger.post("/v1/jobs", headers=header, content=b"{}").status_code == 401


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"{", id="broken"),
        pytest.param(b'{"id": 5}', id="wrong type"),
        pytest.param(b'{"id": "a/../b"}', id="a path for an id"),
        pytest.param(b'{"id": "x", "options": {"shots": -1}}', id="no shots"),
        pytest.param(b'{"id": "x", "options": {"shots": 1e999}}', id="infinite"),
        pytest.param(b"[" * 100_000, id="deep"),
        pytest.param(b"\xff\xfe", id="no text"),
        pytest.param(b"", id="empty"),
    ],
)
def test_what_is_no_order_is_refused(guest: Guest, body: bytes) -> None:
    refused = guest.http.post("/v1/jobs", content=body)
    assert refused.status_code == 422
    assert _error(refused).code == "usage"


def test_an_order_without_its_circuit_fails(guest: Guest) -> None:
    guest.post(Order("bare"))
    status = guest.until_ended("bare")
    assert status.error is not None
    assert status.error.code == "usage"


def test_a_body_that_is_too_large_is_not_read(guest: Guest) -> None:
    largest = from_json(guest.http.get("/v1/capabilities").content, Capabilities).largest_body

    def endless() -> Iterator[bytes]:
        for _ in range(largest // (1 << 20) + 8):
            yield bytes(1 << 20)

    for content in (bytes(largest + 1), endless()):
        try:
            refused = guest.http.post("/v1/jobs", content=content)
        except httpx.TransportError:  # it hung up before all was sent
            continue
        assert refused.status_code == 413
        assert show_bytes(largest) in _error(refused).message
    assert guest.works()


@pytest.mark.parametrize(
    ("verb", "path", "status"),
    [
        ("GET", "/v1/jobs/unknown", 404),
        ("DELETE", "/v1/jobs/unknown", 404),
        ("GET", "/v1/jobs/unknown/result", 404),
        ("GET", "/v1/jobs/unknown/state", 404),
        ("GET", "/nowhere", 404),
        ("PUT", "/v1/jobs", 405),
        ("GET", "/v1/jobs/unknown?wait=-1", 422),
        ("GET", "/v1/jobs/unknown?wait=nan", 422),
    ],
)
def test_every_refusal_is_an_error_as_data(guest: Guest, verb: str, path: str, status: int) -> None:
    refused = guest.http.request(verb, path)
    assert refused.status_code == status
    assert _error(refused).message


def test_what_it_counts_and_what_it_says_of_itself(guest: Guest) -> None:
    guest.answer(guest.submit(method=Method.PRODUCT))
    metrics = guest.http.get("/metrics").text
    assert 'qvirt_guest_jobs_total{state="completed"}' in metrics
    assert "qvirt_guest_workers_started_total" in metrics
    described = guest.http.get("/openapi.json")
    document = described.json()
    schemas = document["components"]["schemas"]
    for reference in set(_references(document)):
        assert reference.removeprefix("#/components/schemas/") in schemas
    example = document["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]["example"]
    assert from_json(to_json(example), Order).source is not None
    assert "401" in document["paths"]["/v1/jobs"]["post"]["responses"]


def _references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(reference := node.get("$ref"), str):
            yield reference
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


def test_the_token_and_the_socket_are_for_the_owner_only(guest: Guest) -> None:
    socket = Path(guest.runtime.endpoint(guest.handle).socket or "")
    assert socket.stat().st_mode & 0o777 == 0o600
    assert socket.parent.stat().st_mode & 0o777 == 0o700
    for file in socket.parent.iterdir():
        assert file.stat().st_mode & 0o077 == 0, file

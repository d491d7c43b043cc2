"""The torch engine on GPUs, as far as that can be seen without one.

What is chosen and refused is arithmetic on what a trial would say. The programs run on torch's ``cpu:0``,
which the engine takes for a GPU like any other: by the plain path, and by Triton's interpreter in
test_triton.py. Only how much memory is free there is made up.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from running import LIMITS  # noqa: E402

from qvirt.circuits import load  # noqa: E402
from qvirt.errors import DoesNotFit, UsageError  # noqa: E402
from qvirt.methods.calibration import Sample, fit  # noqa: E402
from qvirt.methods.families import circuit  # noqa: E402
from qvirt.model.calibration import Calibration  # noqa: E402
from qvirt.model.checkpoint import CheckpointHead, deciding  # noqa: E402
from qvirt.model.circuit import CircuitSource  # noqa: E402
from qvirt.model.estimate import Candidate, Plan  # noqa: E402
from qvirt.model.run import Device, Limits, Method, Noise, Precision, RunOptions  # noqa: E402
from qvirt.simulators.checkpoint import Checkpoint  # noqa: E402
from qvirt.simulators.choice import calibration_key, plan, shipped_constants  # noqa: E402
from qvirt.simulators.contract import Outcome  # noqa: E402
from qvirt.simulators.registry import simulator  # noqa: E402
from qvirt.simulators.torch_statevector import cost, devices  # noqa: E402
from qvirt.simulators.workload import Workload  # noqa: E402

GPU = Device("cuda:0", 16 << 30, 4e12, 5e-6, 8.0, 1 << 30, triton=True)
SMALL = replace(GPU, name="cuda:1", memory=1 << 20)
STATEVECTOR = Candidate("torch", Method.STATEVECTOR, Precision.SINGLE)
ROOMY = Limits(64 << 30, 2, devices=(GPU,))

MIDDLE = """OPENQASM 2.0;
include "qelib1.inc";
qreg q[3]; creg c[3];
h q[0]; cx q[0], q[1]; measure q[0] -> c[0];
if (c == 1) x q[2];
reset q[1]; ry(0.7) q[1]; cx q[1], q[2];
measure q[1] -> c[1]; measure q[2] -> c[2];
"""


@pytest.fixture
def usable(monkeypatch: pytest.MonkeyPatch) -> Limits:
    """Limits with two GPUs that are the CPU, of which a gibibyte is free."""
    monkeypatch.setattr(devices, "free_memory", lambda name: 1 << 30)
    monkeypatch.setattr(devices, "_used", set())
    found = (replace(GPU, name=name, memory=1 << 30, triton=False) for name in ("cpu:0", "cpu:1"))
    return replace(LIMITS, devices=tuple(found))


def chosen(family: str, qubits: int, limits: Limits, **asked: object) -> Plan:
    facts = load(CircuitSource("x", circuit(family, qubits, 3).encode())).facts
    return plan(facts, RunOptions(seed=1, **asked), limits)  # type: ignore[arg-type]


def used(found: Plan) -> Candidate:
    return found.stages[-1].attempts[0].candidate


def test_small_circuits_stay_on_the_cpu_and_large_ones_go_to_the_gpu() -> None:
    assert used(chosen("qv", 10, ROOMY)).device is None
    large = chosen("qv", 29, ROOMY)
    assert used(large) == replace(STATEVECTOR, device="cuda:0")
    assert str(used(large)) == "torch statevector (single) on cuda:0"
    assert used(chosen("qv", 29, replace(ROOMY, devices=()))).device is None


def test_starting_up_counts_once_for_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_used", set())
    found = chosen("qv", 24, ROOMY, device="gpu", engine="torch")
    monkeypatch.setattr(devices, "_used", {"cuda:0"})
    again = chosen("qv", 24, ROOMY, device="gpu", engine="torch")
    assert found.stages[0].attempts[0].seconds - again.stages[0].attempts[0].seconds == pytest.approx(8.0)
    assert found.stages[0].attempts[0].memory - again.stages[0].attempts[0].memory == GPU.host_memory


def test_no_gpu_no_candidates_for_one() -> None:
    found = chosen("qv", 10, LIMITS)
    named = [*(r.candidate for r in found.rejected), *(e.candidate for e in found.runners_up)]
    assert all(candidate.device is None for candidate in named)
    refused = chosen("qv", 10, LIMITS, device="gpu")
    assert refused.refusal is not None
    assert "was given no GPU" in refused.refusal.message
    with pytest.raises(UsageError):
        RunOptions(device="tpu")


def test_what_does_not_fit_is_refused_with_the_gpus_numbers() -> None:
    found = chosen("qv", 22, replace(ROOMY, devices=(GPU, SMALL)), engine="torch", precision=Precision.SINGLE)
    reasons = {
        r.candidate.device: r.reason for r in found.rejected if r.candidate.method is Method.STATEVECTOR
    }
    assert reasons.keys() == {"cuda:1"}
    assert "of cuda:1, where 1.00 MiB were free" in reasons["cuda:1"]
    only = chosen("qv", 22, replace(ROOMY, devices=(SMALL,)), device="gpu", precision=Precision.SINGLE)
    assert only.refusal is not None
    assert "of cuda:1" in only.refusal.message


@pytest.mark.parametrize("precision", [each for each in Precision if each is not Precision.DOUBLE])
def test_the_state_is_the_gpus_and_the_rest_the_hosts(precision: Precision) -> None:
    """A state that is larger than the host's memory."""
    candidate = replace(STATEVECTOR, precision=precision, device="cuda:0")
    facts = load(CircuitSource("x", circuit("ghz", 30, 3).encode())).facts
    options = RunOptions(seed=1, precision=precision)
    limits = Limits(4 << 30, 2, devices=(GPU,))
    host, inside = cost.memory(candidate, facts, options, limits)
    state = precision.amplitude_bytes << 30
    assert state <= inside < state + (3 << 30)
    assert host < limits.memory
    on_cpu, nothing = cost.memory(replace(candidate, device=None), facts, options, limits)
    assert (on_cpu > state, nothing) == (True, 0)
    shared = replace(limits, devices=(replace(GPU, name="mps"),))
    assert cost.memory(replace(candidate, device="mps"), facts, options, shared)[0] > state


def test_apples_gpus_are_not_asked_for_what_they_have_not() -> None:
    facts = load(CircuitSource("x", circuit("qv", 5, 3).encode())).facts
    engine = simulator("torch")
    for precision in (Precision.DOUBLE, Precision.FLOAT8):
        reason = engine.supports(replace(STATEVECTOR, precision=precision, device="mps"), facts, RunOptions())
        assert "Apple's GPUs have no" in str(reason)
    assert engine.supports(replace(STATEVECTOR, device="mps"), facts, RunOptions()) is None


def test_a_calibration_knows_each_gpu_by_itself() -> None:
    on_gpu = replace(STATEVECTOR, device="cuda:0")
    engine = simulator("torch")
    shipped = shipped_constants(engine, on_gpu, ROOMY)
    slow = {name: 1000 * number for name, number in shipped.items()}
    key = calibration_key(on_gpu)
    assert key != calibration_key(STATEVECTOR)
    calibration = Calibration("here", {}, 2, 0.0, {key: slow}, {key: 1.1})
    facts = load(CircuitSource("x", circuit("qv", 28, 3).encode())).facts
    options = RunOptions(seed=1, precision=Precision.SINGLE)
    assert used(plan(facts, options, ROOMY)).device == "cuda:0"
    assert used(plan(facts, options, ROOMY, calibration)).device is None
    # It can be fitted as it is.
    samples = [Sample("qv", engine.features(on_gpu, facts, options), seconds) for seconds in (0.1, 0.11)]
    assert fit(samples, shipped)[0].keys() == shipped.keys()


def test_constants_come_from_what_the_trial_measured() -> None:
    fast = cost.device_constants(STATEVECTOR, GPU)
    slow = cost.device_constants(STATEVECTOR, replace(GPU, bandwidth=GPU.bandwidth / 10))
    assert slow["sweep"] == pytest.approx(10 * fast["sweep"])
    assert cost.device_constants(STATEVECTOR, replace(GPU, triton=False))["sweep"] > fast["sweep"]
    half = cost.device_constants(replace(STATEVECTOR, precision=Precision.HALF), GPU)
    assert half["sweep"] == pytest.approx(fast["sweep"] / 2)


def run(text: str, candidate: Candidate, limits: Limits, stop: int | None = None, **asked: object) -> Outcome:
    """``stop``: saved after so many steps, and gone on with on cpu:1."""
    loaded = load(CircuitSource("x", text.encode()))
    options = RunOptions(seed=5, precision=candidate.precision, **asked)  # type: ignore[arg-type]
    work = partial(Workload, loaded.circuit, loaded.facts, options)
    program = simulator("torch").prepare(candidate, work(), limits)
    for _ in range(1000 if stop is None else stop):
        if program.advance(0.0):
            break
    else:
        assert stop is not None
        kept = program.checkpoint()
        chunks = [bytes(chunk) for chunk in kept.chunks]
        other = replace(candidate, device="cpu:1")
        program = simulator("torch").prepare(other, work(), limits, Checkpoint(kept.header, iter(chunks)))
        while not program.advance(1.0):
            pass
    return program.result()


CASES = {
    "quantum volume": (circuit("qv", 7, 3), {"observables": ("ZZIIXII",), "probabilities": True}),
    "in the middle": (MIDDLE, {"observables": ("ZIZ", "IXX")}),
    "noise": (
        circuit("qaoa", 5, 3),
        {"observables": ("ZZIII",), "noise": Noise(depolarizing_2q=0.05, amplitude_damping=0.02)},
    ),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("precision", Precision, ids=lambda each: each.value)
def test_a_device_gives_what_the_cpu_gives(case: str, precision: Precision, usable: Limits) -> None:
    text, asked = CASES[case]
    candidate = replace(STATEVECTOR, precision=precision)
    found = run(text, replace(candidate, device="cpu:0"), usable, **asked)
    expected = run(text, candidate, usable, **asked)
    assert sum(found.counts.values()) == 1024
    tolerance = {Precision.DOUBLE: 1e-9, Precision.SINGLE: 1e-5}.get(precision, 0.1)
    for mine, theirs in zip(found.expectations, expected.expectations, strict=True):
        sure = tolerance + 6 * (mine.standard_error + theirs.standard_error)
        assert mine.value == pytest.approx(theirs.value, abs=sure)
    for bits, chance in (expected.probabilities or {}).items():
        assert found.probabilities is not None
        assert found.probabilities[bits] == pytest.approx(chance, abs=tolerance)


@pytest.mark.parametrize("stop", range(1, 6))
@pytest.mark.parametrize("case", ["quantum volume", "in the middle"])
def test_saved_on_one_device_and_gone_on_with_on_another(case: str, stop: int, usable: Limits) -> None:
    text, asked = CASES[case]
    candidate = replace(STATEVECTOR, device="cpu:0")
    assert (
        run(text, candidate, usable, stop=stop, **asked).counts
        == run(text, candidate, usable, **asked).counts
    )


def test_density_matrix_on_a_device(usable: Limits) -> None:
    density = Candidate("torch", Method.DENSITY_MATRIX, Precision.DOUBLE)
    text, asked = CASES["noise"]
    assert (
        run(text, replace(density, device="cpu:0"), usable, **asked).counts
        == run(text, density, usable, **asked).counts
    )


def test_memory_that_others_have_taken_since(usable: Limits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "free_memory", lambda name: 1 << 10)
    with pytest.raises(DoesNotFit, match=r"of cpu:0 are needed, where 1.00 KiB are free now"):
        run(CASES["quantum volume"][0], replace(STATEVECTOR, device="cpu:0"), usable)


def test_a_checkpoint_is_for_any_device_of_its_kind() -> None:
    def head(device: str | None) -> CheckpointHead:
        options = deciding(RunOptions(seed=1, device="gpu"))
        return CheckpointHead(replace(STATEVECTOR, device=device), "1", "c", options, 0.0)

    assert head("cuda:0").difference(head("cuda:1")) is None
    assert "on cuda" in str(head("cuda:0").difference(head(None)))
    assert "on mps" in str(head("mps").difference(head("cuda:0")))


def test_measuring_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "free_memory", lambda name: 64 << 20)
    found = devices.measured("cpu:0", startup=1.5, host_memory=7, triton=False)
    assert (found.name, found.memory, found.startup, found.host_memory) == ("cpu:0", 64 << 20, 1.5, 7)
    assert 1e6 < found.bandwidth < 1e14
    assert 0 < found.launch < 1

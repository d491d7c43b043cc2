from __future__ import annotations

import pytest

from qvirt.errors import DoesNotFit, Unavailable, UsageError
from qvirt.host.specs import BASE_MEMORY, Wanted, memory_for, specify
from qvirt.host.templates import Template
from qvirt.model.hardware import Usable
from qvirt.model.run import Method, Noise, Precision, RunOptions
from qvirt.model.vm import VMSpec

GIB = 1 << 30
MACHINE = Usable(4.0, "affinity", 8 * GIB, "cgroup v2", 8 * GIB)


def spec(template: Template | None = None, gpus: bool = False, **wanted: object) -> VMSpec:
    return specify(Wanted("lab", **wanted), template, MACHINE, "process", gpus)  # type: ignore[arg-type]


def test_qubits_give_the_memory_that_their_state_needs() -> None:
    assert spec(qubits=26).memory == BASE_MEMORY + (16 << 26)
    assert spec(qubits=26, precision=Precision.SINGLE).memory == BASE_MEMORY + (8 << 26)
    assert spec(qubits=12, method=Method.DENSITY_MATRIX).memory == BASE_MEMORY + (16 << 24)
    assert spec(qubits=1000, method=Method.STABILIZER).memory < BASE_MEMORY + (1 << 20)
    assert memory_for(40, Method.MPS, None) < 1 * GIB


def test_memory_that_was_named_is_kept_where_it_suffices() -> None:
    assert spec(qubits=20, memory=4 * GIB).memory == 4 * GIB
    with pytest.raises(DoesNotFit, match=r"28 qubits need 4.44 GiB, and the VM was to have 2.00 GiB") as no:
        spec(qubits=28, memory=2 * GIB)
    assert "26 fit" in (no.value.hint or "")


def test_what_the_machine_does_not_have_is_refused_with_numbers() -> None:
    with pytest.raises(DoesNotFit, match=r"needs 64.4 GiB, this machine has 8.00 GiB \(cgroup v2\)") as no:
        spec(qubits=32)
    assert "28 fit" in (no.value.hint or "")
    with pytest.raises(DoesNotFit, match="5 CPUs, this machine has 4"):
        spec(cpus=5)
    with pytest.raises(Unavailable, match="GPU"):
        spec(gpu=True)
    assert spec(gpu=True, gpus=True).gpu
    with pytest.raises(UsageError):
        spec(qubits=-1)


def test_a_template_is_begun_with_and_overruled() -> None:
    noisy = Template(
        "noisy", "noisy.toml", qubits=24, cpus=16, precision=Precision.SINGLE, noise=Noise(readout_0to1=0.1)
    )
    made = spec(noisy)
    assert (made.qubits, made.precision, made.template) == (24, Precision.SINGLE, "noisy")
    assert made.cpus == 4, "a template asks for no more CPUs than there are"
    assert spec(noisy, qubits=20).memory < made.memory
    assert spec(noisy, precision=Precision.DOUBLE).precision is Precision.DOUBLE


def test_what_a_vm_was_made_for_is_what_its_runs_use() -> None:
    noise = Noise(readout_0to1=0.1)
    vm = VMSpec("lab", method=Method.MPS, precision=Precision.DOUBLE, noise=noise)
    assert vm.applied_to(RunOptions()) == RunOptions(
        method=Method.MPS, precision=Precision.DOUBLE, noise=noise
    )
    asked = RunOptions(method=Method.STATEVECTOR, precision=Precision.SINGLE, noise=Noise())
    assert vm.applied_to(asked) == asked
    assert vm.applied_to(RunOptions(engine="stim")) == RunOptions(engine="stim", noise=noise)


@pytest.mark.parametrize(
    ("policy", "restarts", "failed", "again"),
    [
        ("no", 0, True, False),
        ("always", 99, False, True),
        ("on-failure:2", 1, True, True),
        ("on-failure:2", 2, True, False),
        ("on-failure:2", 0, False, False),
    ],
)
def test_restart_policies(policy: str, restarts: int, failed: bool, again: bool) -> None:
    assert VMSpec("lab", restart=policy).restarts_after(restarts, failed=failed) is again


@pytest.mark.parametrize("policy", ["", "on-failure", "on-failure:0", "sometimes", "always:3"])
def test_a_restart_policy_that_there_is_not(policy: str) -> None:
    with pytest.raises(UsageError, match="restart policy"):
        VMSpec("lab", restart=policy)

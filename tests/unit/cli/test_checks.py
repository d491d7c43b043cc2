"""The doctor's judgement: each kind of fact that is not in order has its reason and its mend."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from qvirt.cli import checks
from qvirt.cli.checks import Check, Package, Status
from qvirt.cli.render_hardware import checks_csv, checks_text, hardware_csv, hardware_text
from qvirt.model.hardware import ContainerEngine, Gpu, Hardware, Hypervisor, Torch
from qvirt.paths import Paths
from qvirt.probe import probe
from qvirt.probe.fits import largest

GIB = 1 << 30
H200 = Gpu("NVIDIA", "NVIDIA H200", "GPU-1", 141 * GIB, "570.1", "9.0", None, "torch is not installed")


@pytest.fixture(scope="module")
def hardware() -> Hardware:
    return probe(bandwidth_cache=None, quick=True)


@pytest.mark.parametrize(
    ("running", "status"),
    [((3, 9, 2), "problem"), ((3, 10, 0), "ok"), ((3, 13, 9), "ok"), ((3, 14, 0), "problem")],
)
def test_python(running: tuple[int, ...], status: str) -> None:
    assert checks.python(running).status.value == status


def test_packages() -> None:
    assert checks.package(Package("pytest", "pytest")).detail == pytest.__version__
    missing = checks.package(Package("qvirt-none", "no_such_module"))
    assert (missing.status, missing.mend) == (Status.PROBLEM, "pip install qvirt-none")
    optional = checks.package(Package("qvirt-none", "no_such.module", "qsim"))
    assert (optional.status, optional.mend) == (Status.WARNING, "pip install 'qvirt[qsim]'")


@pytest.mark.parametrize(
    ("free", "limited_by", "status", "mend"),
    [
        (4 * GIB, "physical memory", Status.OK, None),
        (GIB, "RLIMIT_AS", Status.WARNING, "ulimit -v unlimited"),
        (GIB // 4, "cgroup v2 memory limit of /", Status.PROBLEM, "docker update"),
    ],
)
def test_memory(hardware: Hardware, free: int, limited_by: str, status: Status, mend: str | None) -> None:
    usable = replace(hardware.usable, memory_available=free, memory_from=limited_by)
    found = checks.memory(replace(hardware, usable=usable))
    assert found.status is status
    assert (found.mend or "").startswith(mend or "")


NO_TORCH = Torch(None, (), "torch is not installed")
WORKS = Torch("2.9.0", ("cpu", "cuda:0"), None)
RAN = replace(H200, kernel_ran=True, kernel_reason=None, kernel="triton", kernel_seconds=0.002)
FAILED = replace(H200, kernel_ran=False)
WITHOUT_TRITON = replace(RAN, kernel="torch", kernel_reason="Failed to find C compiler.")
OLD_TRITON = replace(RAN, kernel="torch", kernel_reason="triton is too old: the kernels need 3.5")
TURING = replace(RAN, kernel="torch", kernel_reason="compute capability 7.5 is below 8.0")
APPLE = replace(RAN, vendor="Apple", name="Apple M3", kernel="torch", kernel_reason="for CUDA only")


# The reasons are those of torch, CUDA and Triton, in their own words: no GPU was seen by these tests.
@pytest.mark.parametrize(
    ("gpu", "torch", "status", "detail", "mend"),
    [
        (None, NO_TORCH, Status.OK, "none found", None),
        (H200, NO_TORCH, Status.WARNING, "torch is not installed", "--with torch"),
        (
            RAN,
            WORKS,
            Status.OK,
            "ran a kernel on it in 2 ms, with the CPU's answer; so did the engine's",
            None,
        ),
        (APPLE, WORKS, Status.OK, "the engine runs on it by torch alone", None),
        (TURING, WORKS, Status.OK, "the engine runs on it by torch alone", None),
        (WITHOUT_TRITON, WORKS, Status.WARNING, "Failed to find C compiler", "apt-get install gcc"),
        (OLD_TRITON, WORKS, Status.WARNING, "triton is too old", "pip install --upgrade torch"),
        (
            replace(FAILED, kernel_reason="torch 2.9.0 does not see it: it is built without CUDA"),
            WORKS,
            Status.WARNING,
            "built without CUDA",
            "--force-reinstall torch",
        ),
        (
            replace(
                FAILED, kernel_reason="The NVIDIA driver on your system is too old (found version 11040)."
            ),
            WORKS,
            Status.WARNING,
            "too old",
            "nvidia-driver",
        ),
        (
            replace(FAILED, kernel_reason="CUDA error: no kernel image is available for execution"),
            WORKS,
            Status.WARNING,
            "no kernel image",
            "pip install --upgrade torch",
        ),
        (
            replace(FAILED, kernel_reason="CUDA out of memory. Tried to allocate 20.00 MiB."),
            WORKS,
            Status.WARNING,
            "out of memory",
            "nvidia-smi",
        ),
        (
            replace(FAILED, kernel_reason="a matrix product came out wrong"),
            WORKS,
            Status.WARNING,
            "came out wrong",
            "collect_env",
        ),
    ],
)
def test_gpu(
    hardware: Hardware, gpu: Gpu | None, torch: Torch, status: Status, detail: str, mend: str | None
) -> None:
    (found,) = checks.gpus(replace(hardware, gpus=(gpu,) if gpu else (), gpus_reason=None, torch=torch))
    assert found.status is status
    assert detail in found.detail
    assert (mend is None) == (found.mend is None)
    assert (mend or "") in (found.mend or "")


def test_several_gpus_and_a_broken_torch(hardware: Hardware) -> None:
    broken = Torch("2.9.0", (), "torch does not work: libc10.so")
    untried = replace(H200, kernel_reason=broken.reason)
    found = list(checks.gpus(replace(hardware, gpus=(untried, untried), gpus_reason=None, torch=broken)))
    assert [check.name for check in found] == ["torch", "gpu 0", "gpu 1"]
    assert {check.status for check in found} == {Status.WARNING}
    (driver,) = checks.gpus(replace(hardware, gpus=(), gpus_reason="nvidia-smi: no driver", torch=NO_TORCH))
    assert (driver.status, driver.detail) == (Status.WARNING, "nvidia-smi: no driver")


def test_containers() -> None:
    absent = ContainerEngine("docker", False, False, None, None, None, "docker is not installed")
    denied = ContainerEngine(
        "docker", True, False, "28", None, None, "permission denied: /var/run/docker.sock"
    )
    podman = ContainerEngine("podman", True, True, "4.3.1", "overlay", True, None)
    assert checks.containers((absent, podman)).status is Status.OK
    assert checks.containers((absent,)).mend == checks._install("docker.io", "--cask docker")
    assert checks.containers((denied, absent)).mend == "sudo usermod -aG docker $USER"


def test_kvm_that_is_there_and_does_not_work_is_a_warning_about_speed(hardware: Hardware) -> None:
    broken = Hypervisor(
        "7.2", None, False, "virsh is not installed", True, False, "KVM opens but cannot run a guest"
    )
    found = {check.name: check for check in checks.hypervisor(replace(hardware, hypervisor=broken))}
    assert found["kvm"].status is Status.WARNING
    assert "cannot run a guest; simulation in a QEMU guest is about 40 times slower" in found["kvm"].detail
    assert found["qemu"].status is Status.OK
    denied = replace(broken, kvm_reason="/dev/kvm: permission denied")
    *_, kvm = checks.hypervisor(replace(hardware, hypervisor=denied))
    assert kvm.mend == "sudo usermod -aG kvm $USER"


def test_state_directory(tmp_path: Path) -> None:
    assert checks.state(tmp_path / "not" / "yet").status is Status.OK
    assert not (tmp_path / "not").exists()
    (tmp_path / "file").touch(mode=0o400)
    assert checks.state(tmp_path / "file" / "home").status is Status.PROBLEM


def test_whatever_is_not_in_order_has_a_reason_and_a_mend(hardware: Hardware, tmp_path: Path) -> None:
    found = checks.all_checks(hardware, Paths(tmp_path))
    assert len({check.name for check in found}) == len(found) > 12
    for check in found:
        assert check.detail
        assert (check.mend is None) == (check.status is Status.OK)


def test_text_and_csv_hold_every_check() -> None:
    found = (
        Check("memory", Status.OK, "8 GiB"),
        Check("kvm", Status.WARNING, "not [there]", "sudo modprobe"),
    )
    text = checks_text(found)
    assert "not [there]" in text
    assert "-> sudo modprobe" in text
    assert "no problems, 1 warning" in text
    assert checks_csv(found).splitlines()[2] == "kvm,warning,not [there],sudo modprobe"


def test_hardware_as_text_and_csv(hardware: Hardware) -> None:
    shown = replace(hardware, gpus=(H200,), memory_bandwidth=50.0 * GIB)
    fits = largest(17 * GIB)
    text = hardware_text(shown, fits)
    for expected in ("NVIDIA H200, 141 GiB, driver 570.1, 9.0", "50.0 GiB/s", "depends on entanglement"):
        assert expected in text
    assert any(line.split()[:3] == ["statevector", "30", "31"] for line in text.splitlines())
    assert "hardware.gpus.0.name,NVIDIA H200" in hardware_csv(shown, fits).splitlines()

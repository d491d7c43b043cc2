"""What libvirt VMs alone promise: they are domains that every tool of libvirt sees, and no trace stays."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest
from guest_images import lend
from guests import Guest, circuit, make_vm, running, until

from qvirt.errors import Conflict, NotFound
from qvirt.model.order import OrderKind
from qvirt.model.vm import VM, ImageForm, VMState
from qvirt.paths import Paths
from qvirt.runtimes.libvirt.connection import connect, default_uri
from qvirt.runtimes.libvirt.domain import find, name_of
from qvirt.runtimes.libvirt.runtime import LibvirtRuntime
from qvirt.runtimes.process import ProcessRuntime
from qvirt.runtimes.qemu.records import Records

MEMORY = 640 << 20


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return lend(ImageForm.QEMU, tmp_path / "home")


@pytest.fixture
def runtime(paths: Paths) -> LibvirtRuntime:
    found = LibvirtRuntime(paths)
    available = found.probe()
    if not available.available:
        pytest.skip(available.reason)
    return found


def libvirt_vm(**spec: Any) -> VM:
    return make_vm("libvirt", **{"memory": MEMORY} | spec)


@pytest.fixture
def guest(runtime: LibvirtRuntime) -> Iterator[Guest]:
    with running(runtime, libvirt_vm()) as found:
        yield found


def until_the_clock_is_right(guest: Guest) -> None:
    """By the header of the guest's web server, which looks at the clock once a second."""

    def is_right() -> bool:
        told = parsedate_to_datetime(guest.http.get("/health").headers["date"])
        return abs(told.timestamp() - time.time()) < 2

    until(is_right, patience=3)


def test_it_is_a_domain_that_counts_as_a_process_vm_does_and_leaves_no_trace(
    runtime: LibvirtRuntime, tmp_path: Path
) -> None:
    counts = []
    vm = libvirt_vm()
    for engine, each in ((ProcessRuntime(Paths(tmp_path / "other")), make_vm()), (runtime, vm)):
        with running(engine, each) as guest:
            source = circuit(3, "h q; cx q[0],q[1]; t q[2]; h q[2];")
            result = guest.ask(OrderKind.RUN, source, engine="aer", seed=7, shots=500).result
            assert result is not None
            counts.append(result.counts)
            if engine is runtime:
                domain = find(connect(default_uri()), vm.id)
                assert domain is not None
                assert (domain.name(), domain.isActive()) == (name_of(vm.id), 1)
                assert list(runtime.leftovers()) == [vm.id]
    assert counts[0] == counts[1]
    assert find(connect(default_uri()), vm.id) is None
    assert runtime.leftovers() == {}


def test_what_holds_is_told(guest: Guest, runtime: LibvirtRuntime) -> None:
    found = runtime.inspect(guest.handle)
    limits = " ".join(found.limits)
    assert found.pid is not None
    for word in ("memory: 640 MiB", "cpus: 1", "no way out", "filtered", "accelerator", "libvirt: qemu"):
        assert word in limits


def test_a_domain_that_is_destroyed_behind_our_back_is_told_and_one_that_is_undefined_is_made_again(
    guest: Guest, runtime: LibvirtRuntime
) -> None:
    domain = find(connect(default_uri()), guest.handle.vm)
    assert domain is not None
    domain.destroy()
    found = runtime.inspect(guest.handle)
    assert (found.state, found.reason) == (VMState.FAILED, "its domain has ended")
    domain.undefine()
    assert runtime.inspect(guest.handle).reason == "its domain is gone"
    runtime.start(guest.handle)
    again = Guest(runtime, guest.handle)
    with again.http:
        until(again.healthy)


def test_a_domain_whose_folder_is_gone_is_found_and_removed(
    guest: Guest, runtime: LibvirtRuntime, paths: Paths
) -> None:
    (paths.vm_hypervisor(guest.handle.vm, "libvirt")).unlink()
    (handle,) = runtime.leftovers().values()
    runtime.destroy(handle)
    assert find(connect(default_uri()), guest.handle.vm) is None


def test_another_state_directory_is_left_alone(guest: Guest, tmp_path: Path) -> None:
    other = LibvirtRuntime(lend(ImageForm.QEMU, tmp_path / "other"))
    assert other.leftovers() == {}


def test_pausing_stops_time_and_resuming_sets_the_clock(guest: Guest, runtime: LibvirtRuntime) -> None:
    runtime.pause(guest.handle)
    assert runtime.inspect(guest.handle).state is VMState.PAUSED
    time.sleep(3)
    runtime.resume(guest.handle)
    assert runtime.inspect(guest.handle).state is VMState.RUNNING
    until_the_clock_is_right(guest)


def test_a_snapshot_brings_memory_back(guest: Guest, runtime: LibvirtRuntime) -> None:
    kept = guest.submit(circuit(), engine="stim")
    guest.answer(kept)
    runtime.snapshot(guest.handle, "one")
    assert runtime.inspect(guest.handle).state is VMState.RUNNING
    assert runtime.snapshots(guest.handle) == ["one"]
    lost = guest.submit(circuit(), engine="stim")
    guest.answer(lost)
    runtime.restore(guest.handle, "one")
    again = Guest(runtime, guest.handle)
    with again.http:
        assert again.http.get(f"/v1/jobs/{kept}").status_code == 200
        assert again.http.get(f"/v1/jobs/{lost}").status_code == 404
        until_the_clock_is_right(again)
    runtime.remove_snapshot(guest.handle, "one")
    with pytest.raises(NotFound):
        runtime.restore(guest.handle, "one")


def test_it_is_resized_while_it_is_stopped(guest: Guest, runtime: LibvirtRuntime, paths: Paths) -> None:
    spec = replace(Records(paths, "libvirt", guest.handle.vm).machine.spec, memory=MEMORY + (64 << 20))
    with pytest.raises(Conflict):
        runtime.resize(guest.handle, spec)
    runtime.stop(guest.handle, timeout=0)
    runtime.resize(guest.handle, spec)
    domain = find(connect(default_uri()), guest.handle.vm)
    assert domain is not None
    assert domain.maxMemory() == (MEMORY >> 10) + (64 << 10)


def test_stop_presses_the_power_button(guest: Guest, runtime: LibvirtRuntime) -> None:
    runtime.stop(guest.handle, timeout=30.0)
    assert "Power down" in runtime.logs(guest.handle)
    assert runtime.inspect(guest.handle).state is VMState.STOPPED

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qvirt.errors import UsageError
from qvirt.images.catalogue import Image
from qvirt.model.vm import ImageForm, VMSpec
from qvirt.paths import Paths
from qvirt.runtimes.docker.facts import Facts
from qvirt.runtimes.docker.options import configuration, home_label, update
from qvirt.runtimes.docker.record import Wanted

IMAGE = Image(
    "abc" * 20,
    "2.0.0",
    0.0,
    "3.11",
    (ImageForm.DOCKER,),
    {"docker": 1},
    "qvirt-guest:abcabcabcabc",
    "/images/abc",
)
DOCKER = Facts("Docker", "20.10", "1", False, False, True, False, False)
SPEC = VMSpec("lab", "docker", memory=1 << 30, cpus=2, environment={"HOME": "/data"}, disk=8 << 20, ttl=60.0)


def body(home: Path, spec: VMSpec = SPEC, facts: Facts = DOCKER, *, owned: bool = False) -> dict[str, Any]:
    wanted = Wanted(spec, owned, created=100.0)
    return configuration("0123", wanted, IMAGE, Paths(home), "/run/engine.sock", facts, now=110.0)


def test_the_guest_is_told_what_it_has(tmp_path: Path) -> None:
    made = body(tmp_path)
    arguments = dict(zip(made["Cmd"][::2], made["Cmd"][1::2], strict=True))
    assert arguments["--memory"] == str(1 << 30)
    assert arguments["--cpus"] == "2"
    assert arguments["--ttl"] == "50.000"
    assert arguments["--socket"].startswith("/run/qvirt/")
    assert "HOME=/data" in made["Env"]
    assert "HOME=/tmp" not in made["Env"]


def test_limits(tmp_path: Path) -> None:
    host = body(tmp_path)["HostConfig"]
    assert host["Memory"] == host["MemorySwap"] == 1 << 30
    assert host["CpuQuota"] / host["CpuPeriod"] == 2
    assert host["PidsLimit"] == 256
    assert "size=8388608" in host["Tmpfs"]["/tmp"]
    assert "size=1073741824" in host["Tmpfs"]["/run/states"]
    for options in host["Tmpfs"].values():
        assert {"noexec", "nosuid", "nodev"} <= set(options.split(","))
    assert "NanoCpus" not in host


def test_what_can_be_updated_is_what_was_made(tmp_path: Path) -> None:
    host = body(tmp_path)["HostConfig"]
    names = {
        "mem_limit": "Memory",
        "memswap_limit": "MemorySwap",
        "cpu_period": "CpuPeriod",
        "cpu_quota": "CpuQuota",
        "cpu_shares": "CpuShares",
    }
    assert update(SPEC) == {name: host[names[name]] for name in names}


def test_one_that_is_owned_hangs_on_its_standard_input(tmp_path: Path) -> None:
    owned, lasting = body(tmp_path, owned=True), body(tmp_path)
    assert owned["OpenStdin"] and owned["StdinOnce"] and "--lifeline" in owned["Cmd"]
    assert not lasting["OpenStdin"]
    assert "--lifeline" not in lasting["Cmd"]


def test_podman_gets_what_it_can(tmp_path: Path) -> None:
    made = body(tmp_path, facts=replace(DOCKER, product="Podman"))
    assert "Ulimits" not in made["HostConfig"]
    assert "Healthcheck" not in made
    assert made["HostConfig"]["Tmpfs"]["/var/tmp"].startswith("size=4096")


def test_gpus_are_asked_for_only_where_wanted(tmp_path: Path) -> None:
    assert body(tmp_path)["HostConfig"]["DeviceRequests"] == []
    wanted = body(tmp_path, replace(SPEC, gpu=True))["HostConfig"]["DeviceRequests"]
    assert wanted == [{"Driver": "", "Count": -1, "Capabilities": [["gpu"]]}]
    assert "--gpu" in body(tmp_path, replace(SPEC, gpu=True))["Cmd"]
    assert "--gpu" not in body(tmp_path, SPEC)["Cmd"]


def test_labels_tell_state_directories_apart(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert home_label(Paths(tmp_path / "a")) == home_label(Paths(tmp_path / "link"))
    assert home_label(Paths(tmp_path / "a")) != home_label(Paths(tmp_path / "b"))
    labels = body(tmp_path)["Labels"]
    assert labels["qvirt.vm"] == "0123"
    assert labels["qvirt.home"] == home_label(Paths(tmp_path))


def test_a_colon_in_the_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="colon"):
        body(tmp_path / "a:b")


def test_the_state_directory_is_no_volume(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is in it"):
        body(tmp_path / "home", replace(SPEC, volumes=(f"{tmp_path}:/data",)))

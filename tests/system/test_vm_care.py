"""What whoever keeps many VMs meets: runs that take a warm one, policies when engines are away, mistakes."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from command_line import Cli, eventually, waiting
from guest_images import equipped
from guests import make_vm

from qvirt.runtimes.docker.engine import Engine

pytestmark = pytest.mark.usefixtures("nothing_left")


def keep(cli: Cli, *options: object) -> str:
    """One that is kept warm, and replaced by none when it is taken."""
    done = cli("vm", "warm", "--count", 1, *options)
    assert done.returncode == 0, done.stderr
    (spare,) = waiting(cli)
    return spare


def ran_in(cli: Cli) -> str:
    return str(cli.json("job", "list")["jobs"][0]["vm"])


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The user's own template: a process VM, which `qvirt run` takes from a pool only by a template."""
    folder = tmp_path_factory.mktemp("config")
    (folder / "templates").mkdir()
    (folder / "templates" / "small.toml").write_text('runtime = "process"\nmemory = "700m"\n')
    return folder / "qvirt.toml"


def test_a_run_takes_the_warm_vm_of_its_template_and_another_is_made(
    cli: Cli, bell: Path, small: Path
) -> None:
    cli.environment["QVIRT_CONFIG"] = str(small)
    spare = keep(cli, "--template", "small")
    planned = cli("plan", bell, "--template", "small")
    assert "taking one that is warm" in planned.stderr
    assert eventually(lambda: len(waiting(cli)) == 1)
    (second,) = waiting(cli)
    done = cli("run", bell, "--template", "small", "--seed", 3)
    assert (done.returncode, "taking one that is warm" in done.stderr) == (0, True), done.stderr
    assert ran_in(cli) == second != spare
    assert eventually(lambda: len(waiting(cli)) == 1 and second not in waiting(cli))
    assert cli.json("vm", "list")["vms"] == []


def test_a_run_takes_a_warm_container_of_any_size_that_has_room(cli: Cli, bell: Path, tmp_path: Path) -> None:
    equipped("docker", cli.home)
    spare = keep(cli, "--runtime", "docker", "--memory", "700m")
    wide = tmp_path / "wide.qasm"
    wide.write_text(
        'OPENQASM 2.0;\ninclude "qelib1.inc";\nqreg q[26];\ncreg c[26];\nh q;\nt q;\n'
        + "".join(
            f"cx q[{i}],q[{(i * 7 + 3) % 26}];\nh q[{i}];\nt q[{i}];\n"
            for i in range(26)
            if (i * 7 + 3) % 26 != i
        )
        + "measure q -> c;\n"
    )
    planned = cli("plan", wide, "--runtime", "docker", "--method", "statevector", "--precision", "double")
    assert (planned.returncode, "warm" in planned.stderr) == (0, False), planned.stderr
    other = cli("plan", bell, "--runtime", "docker", "--cpus", 2)
    assert (other.returncode, "warm" in other.stderr) == (0, False), other.stderr
    assert waiting(cli) == [spare]
    done = cli("run", bell, "--runtime", "docker")
    assert (done.returncode, "taking one that is warm" in done.stderr) == (0, True), done.stderr
    assert ran_in(cli) == spare


def test_a_run_that_is_killed_leaves_no_vm_that_it_took(cli: Cli, small: Path, tmp_path: Path) -> None:
    from qvirt.methods.families import circuit

    cli.environment["QVIRT_CONFIG"] = str(small)
    spare = keep(cli, "--template", "small")
    long = tmp_path / "long.qasm"
    long.write_text(circuit("random", 22, seed=1, depth=3000))
    process = cli.start("run", long, "--template", "small", "--quiet")
    assert eventually(lambda: any(job["state"] == "running" for job in cli.json("job", "list")["jobs"]))
    assert ran_in(cli) == spare
    process.kill()
    process.communicate()
    assert cli.json("job", "list")["jobs"][0]["state"] == "lost"
    assert not (cli.home / "vms" / spare).exists()


def script(cli: Cli, vm: dict, words: str) -> None:
    """What is to fail from now on."""
    file = cli.home / "vms" / vm["id"] / "machine.json"
    machine = json.loads(file.read_text())
    machine["spec"]["environment"] = {"QVIRT_FAKE": words}
    file.write_text(json.dumps(machine))


def look(cli: Cli) -> dict:
    (vm,) = cli.json("vm", "list")["vms"]
    return vm


def kill(cli: Cli) -> None:
    pid = int(cli.json("vm", "inspect", "lab")["pid"])
    os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: pid not in [process.pid for process in cli.processes()])


@pytest.mark.parametrize("policy", ["always", "on-failure:1"])
def test_one_whose_engine_was_away_is_restarted_when_it_is_back(cli: Cli, policy: str) -> None:
    assert cli("vm", "create", "lab", "--runtime", "fake", "--restart", policy).returncode == 0
    script(cli, look(cli), "away")
    kill(cli)
    for _ in range(2):
        vm = look(cli)
        assert (vm["state"], vm["restarts"]) == ("failed", 0)
        assert "not restarted: the engine was told to be away" in vm["reason"]
    script(cli, vm, "")
    vm = look(cli)
    assert (vm["state"], vm["restarts"], vm["reason"][:11]) == ("running", 1, "restarted: ")


def test_a_restart_that_fails_is_a_try(cli: Cli) -> None:
    assert cli("vm", "create", "lab", "--runtime", "fake", "--restart", "on-failure:2").returncode == 0
    script(cli, look(cli), "start")
    kill(cli)
    assert [look(cli)["reason"].partition("; ")[2] for _ in range(4)] == [
        "not restarted: start was told to fail",
        "not restarted: start was told to fail",
        "restarted 2 times before",
        "restarted 2 times before",
    ]
    script(cli, look(cli), "")
    assert look(cli)["state"] == "failed"
    assert cli("vm", "start", "lab").returncode == 0
    assert (look(cli)["state"], look(cli)["reason"]) == ("running", None)


def test_one_that_was_stopped_stays_so_whatever_its_policy(cli: Cli) -> None:
    assert cli("vm", "create", "lab", "--restart", "always").returncode == 0
    assert cli("vm", "stop", "lab").returncode == 0
    assert look(cli)["state"] == look(cli)["state"] == "stopped"


@pytest.mark.parametrize("file", ["nowhere/guest.tar.zst", "."])
def test_an_image_is_exported_to_a_file_in_a_folder_that_there_is(
    cli: Cli, tmp_path: Path, file: str
) -> None:
    refused = cli("image", "export", tmp_path / file)
    assert (refused.returncode, "is no file in a folder that there is" in refused.stderr) == (2, True)
    assert list(tmp_path.glob(".*")) == []


def test_one_that_cannot_be_destroyed_does_not_keep_the_others(cli: Cli) -> None:
    for name, runtime in (("stuck", "fake"), ("free", "process")):
        assert cli("vm", "create", name, "--runtime", runtime).returncode == 0
    (stuck,) = (vm for vm in cli.json("vm", "list")["vms"] if vm["spec"]["name"] == "stuck")
    script(cli, stuck, "stop")
    done = cli("vm", "destroy", "--all")
    assert (done.returncode, "destroyed free" in done.stderr) == (6, True), done.stderr
    assert look(cli)["spec"]["name"] == "stuck"
    script(cli, stuck, "")


def test_what_has_ended_is_measured_without_its_engine(cli: Cli) -> None:
    for name in ("dead", "live"):
        assert cli("vm", "create", name, "--runtime", "fake").returncode == 0
    (dead,) = (vm for vm in cli.json("vm", "list")["vms"] if vm["spec"]["name"] == "dead")
    script(cli, dead, "stats")
    refused = cli("vm", "stats", "--once")
    assert (refused.returncode, "stats was told to fail" in refused.stderr) == (6, True)
    os.kill(int(cli.json("vm", "inspect", "dead")["pid"]), signal.SIGKILL)
    assert eventually(lambda: "failed" in cli("vm", "list").stdout)
    measured = cli.json("vm", "stats")["vms"]
    assert [bool(each["stats"]["memory"]) for each in measured] == [False, True]


def test_a_container_whose_making_was_interrupted_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C does not wait for the engine's answer, and the engine makes it all the same."""
    runtime = equipped("docker", tmp_path / "home")
    make = Engine.make

    def interrupted(self: Engine, name: str, body: Mapping[str, Any]) -> bool:
        if not make(self, name, body):
            return False  # it lacked the image, and is asked again
        assert dict(runtime.leftovers())
        raise KeyboardInterrupt

    monkeypatch.setattr(Engine, "make", interrupted)
    with pytest.raises(KeyboardInterrupt):
        runtime.create(make_vm("docker"))
    assert dict(runtime.leftovers()) == {}

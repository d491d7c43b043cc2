"""VMs that are kept warm: taken once, replaced, and removed where nobody can want them."""

from __future__ import annotations

import os
import signal
import sqlite3
from pathlib import Path

import pytest
from command_line import Cli, eventually, waiting
from guest_images import copy, equipped, usable

from qvirt.model.vm import ImageForm
from qvirt.paths import Paths
from qvirt.runtimes.registry import runtime

pytestmark = pytest.mark.usefixtures("nothing_left")


@pytest.fixture(params=["process", "docker"])
def name(request: pytest.FixtureRequest, cli: Cli) -> str:
    """Of a runtime that keeps VMs warm."""
    return equipped(request.param, cli.home).name


def keep(cli: Cli, count: int, *more: object) -> list[str]:
    done = cli("vm", "warm", "--memory", "700m", "--count", count, *more)
    assert done.returncode == 0, done.stderr
    return waiting(cli)


def create(cli: Cli, vm: str, *more: object) -> dict:
    return cli.json("vm", "create", vm, "--memory", "700m", *more)["vm"]


def test_one_that_waits_becomes_the_vm_that_is_asked_for(cli: Cli, bell: Path, name: str) -> None:
    (spare,) = keep(cli, 1, "--runtime", name)
    assert cli.json("vm", "list")["vms"] == []
    assert "1 more kept warm" in cli("vm", "list").stderr
    made = cli("vm", "create", "lab", "--runtime", name, "--memory", "700m", "--idle-stop", "1h")
    assert [line.split(":")[0].strip() for line in made.stderr.splitlines()] == ["taking one that is warm"]
    (lab,) = cli.json("vm", "list")["vms"]
    assert (lab["id"], lab["state"], lab["pool"], lab["owner"]) == (spare, "running", None, None)
    assert (lab["spec"]["name"], lab["spec"]["idle_stop"]) == ("lab", 3600.0)
    counts = [
        cli.json("run", bell, "--seed", 3, *where)["runs"][0]["result"]["counts"]
        for where in ((), ("--vm", "lab"))
    ]
    assert counts[0] == counts[1]
    assert eventually(lambda: len(waiting(cli)) == 1)
    assert waiting(cli) != [spare]
    # It is a VM like any other from now on.
    assert cli("vm", "restart", "lab").returncode == 0
    assert cli("vm", "destroy", "lab").returncode == 0


def test_a_lifetime_begins_when_it_is_taken(cli: Cli, name: str) -> None:
    keep(cli, 2, "--runtime", name)
    create(cli, "short", "--runtime", name, "--ttl", "2s", "--restart", "always")
    create(cli, "lazy", "--runtime", name, "--idle-stop", "1s")
    assert cli("vm", "warm", "--count", 0).returncode == 0

    def shown() -> dict[str, str]:
        return {vm["spec"]["name"]: vm["reason"] for vm in cli.json("vm", "list")["vms"]}

    assert eventually(lambda: shown() == {"lazy": "it had no work for 1 s"})


def test_two_creates_never_take_the_same(cli: Cli) -> None:
    spares = keep(cli, 2)
    both = [cli.start("vm", "create", each, "--memory", "700m") for each in ("one", "two")]
    for process in both:
        _, errors = process.communicate()
        assert (process.returncode, "taking one" in errors) == (0, True), errors
    assert sorted(vm["id"] for vm in cli.json("vm", "list")["vms"]) == sorted(spares)


def test_what_needs_another_machine_is_made(cli: Cli) -> None:
    keep(cli, 1)
    for options in (["--cold"], ["--env", "A=1"], ["--spares", "0"]):
        made = create(cli, "lab", *options)
        assert made["id"] not in waiting(cli)
        assert cli("vm", "destroy", "lab").returncode == 0
    assert cli("vm", "create", "lab", "--memory", "701m").stderr.count("making the machine") == 1
    assert len(waiting(cli)) == 1


def test_one_that_has_died_is_not_handed_out(cli: Cli, name: str) -> None:
    (dead,) = keep(cli, 1, "--runtime", name)
    (found,) = (vm["spec"]["name"] for vm in cli.json("vm", "list", "--all")["vms"])
    os.kill(cli.json("vm", "inspect", found)["pid"], signal.SIGKILL)
    assert create(cli, "lab", "--runtime", name)["id"] != dead
    assert cli("vm", "warm").returncode == 0
    assert dead not in waiting(cli)
    assert len(waiting(cli)) == 1


def test_those_of_another_qvirt_are_replaced(cli: Cli) -> None:
    keep(cli, 1)
    with sqlite3.connect(cli.home / "qvirt.db") as database:
        database.execute("UPDATE vms SET pool = 'made by an older qvirt'")
    (stale,) = waiting(cli)
    assert create(cli, "lab")["id"] != stale
    assert eventually(lambda: len(waiting(cli)) == 1 and stale not in waiting(cli))


def test_a_name_that_is_taken_leaves_it_waiting(cli: Cli) -> None:
    create(cli, "lab")
    spares = keep(cli, 1)
    refused = cli("vm", "create", "lab", "--memory", "700m")
    assert (refused.returncode, "there is a VM named 'lab' already" in refused.stderr) == (5, True)
    assert waiting(cli) == spares


def test_a_maker_that_is_killed_leaves_nothing_wrong(cli: Cli) -> None:
    maker = cli.start("vm", "warm", "--memory", "700m", "--count", 1)
    assert eventually(lambda: bool(list((cli.home / "vms").glob("*/process.json"))))
    maker.kill()
    maker.communicate()
    assert waiting(cli) == []
    assert list((cli.home / "vms").glob("*")) == []
    assert cli("vm", "warm").returncode == 0
    assert len(waiting(cli)) == 1


@pytest.mark.parametrize("step", ["put_vm", "dedicate", "become"])
def test_a_taker_that_is_killed_leaves_nothing_wrong(cli: Cli, step: str) -> None:
    """Between the claim and the end."""
    program = (
        "import os, signal, sys; from pathlib import Path\n"
        "from qvirt.host.host import Host; from qvirt.model.vm import VMSpec; from qvirt.paths import Paths\n"
        "from qvirt.settings import Settings; from qvirt.runtimes.process import ProcessRuntime\n"
        "from qvirt.runtimes.service import Service; from qvirt.store import Store\n"
        "place = {'put_vm': Store, 'dedicate': ProcessRuntime, 'become': Service}[sys.argv[2]]\n"
        "name = {'become': '_take'}.get(sys.argv[2], sys.argv[2])\n"
        "setattr(place, name, lambda *_: os.kill(os.getpid(), signal.SIGKILL))\n"
        "host = Host(Paths(Path(sys.argv[1])), Settings())\n"
        "host.warm.take(VMSpec('lab', memory=700 << 20), lambda stage: None)\n"
    )
    (spare,) = keep(cli, 1)
    taker = cli.python(program, cli.home, step)
    assert taker.returncode == -signal.SIGKILL, taker.stderr
    assert cli.json("vm", "list", "--all")["vms"] == []
    assert not (cli.home / "vms" / spare).exists()


def test_prune_and_count_0_remove_them(cli: Cli) -> None:
    keep(cli, 1)
    keep(cli, 1, "--cpus", 1, "--spares", 0)
    assert [pool["ready"] for pool in cli.json("vm", "warm")["pools"]] == [1, 1]
    assert len(keep(cli, 0, "--spares", 0)) == 1
    assert "warm-" in cli("vm", "prune").stderr
    assert waiting(cli) == []
    assert "no VMs are kept warm" in cli("vm", "warm").stdout
    keep(cli, 1)
    assert cli("vm", "warm", "--count", 0).returncode == 0
    assert waiting(cli) == []
    assert not cli.processes()


def test_wrong_use(cli: Cli) -> None:
    qemu = cli("vm", "warm", "--runtime", "qemu", "--count", 1)
    assert (qemu.returncode, "memory template" in qemu.stderr) == (1, True), qemu.stderr
    assert cli("vm", "warm", "--memory", "1g").returncode == 2
    assert cli("vm", "warm", "--memory", "900t", "--count", 1).returncode == 3
    assert cli.json("vm", "warm")["pools"] == []


def test_an_image_that_goes_takes_warm_vms_with_it(cli: Cli) -> None:
    image = copy(ImageForm.DOCKER, cli.home)
    found = usable(runtime("docker", Paths(cli.home)))
    keep(cli, 1, "--runtime", "docker")
    # Other tests use what the engine itself has of the image.
    cli.environment["DOCKER_HOST"] = f"unix://{cli.home}/nobody"
    done = cli("image", "rm", image.short)
    assert (done.returncode, f"removed {image.short}, warm-" in done.stderr) == (0, True), done.stderr
    assert dict(found.leftovers()) == {}
    assert waiting(cli) == []


def stages(errors: str) -> list[str]:
    return [line.rpartition(":")[0].strip() for line in errors.splitlines()]


@pytest.mark.machines
def test_a_memory_template_is_told_when_it_is_made_and_goes_with_its_image(cli: Cli, bell: Path) -> None:
    image = copy(ImageForm.QEMU, cli.home)
    usable(runtime("qemu", Paths(cli.home)))
    create = ("vm", "create", "--runtime", "qemu", "--memory", "640m")
    first = cli(*create, "first")
    assert first.returncode == 0, first.stderr
    told = stages(first.stderr)
    assert "making a memory template, once for all VMs like it" in told
    second = cli(*create, "second", "--ttl", "1h", "--idle-stop", "30m")
    assert stages(second.stderr) == [each for each in told if "memory template" not in each]
    limits = cli.json("vm", "inspect", "second")["limits"]
    assert any(limit.startswith("start: copy of") for limit in limits)
    assert cli.json("run", bell, "--vm", "second")["runs"][0]["error"] is None
    assert cli(*create, "lazy", "--idle-stop", "1s").returncode == 0
    assert eventually(lambda: cli.json("vm", "inspect", "lazy")["vm"]["reason"] == "it had no work for 1 s")
    assert cli("vm", "destroy", "--all").returncode == 0

    cli.environment["DOCKER_HOST"] = f"unix://{cli.home}/nobody"
    assert "nothing to remove" in cli("vm", "prune").stderr
    gone = cli("image", "rm", image.short)
    assert f"removed {image.short}, memory template" in gone.stderr, gone.stderr
    assert not list((cli.home / "warm").glob("*/"))

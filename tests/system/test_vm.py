"""VMs that stay, from the command line: their life, their limits, and what goes wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command_line import BELL, Cli, eventually
from guest_images import each_of, equipped

from qvirt.paths import Paths
from qvirt.runtimes.registry import runtime

pytestmark = pytest.mark.usefixtures("nothing_left")


def vms(cli: Cli) -> dict[str, dict]:
    return {vm["spec"]["name"]: vm for vm in cli.json("vm", "list")["vms"]}


def pid_of(cli: Cli, name: str) -> int:
    return int(cli.json("vm", "inspect", name)["pid"])


def stages(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Without the time that each took."""
    return [line.partition(":")[0].strip() for line in done.stderr.splitlines()]


def counts(cli: Cli, bell: Path, *more: object) -> dict[str, int]:
    return cli.json("run", bell, "--seed", 3, *more)["runs"][0]["result"]["counts"]


def test_a_life(cli: Cli, bell: Path) -> None:
    made = cli("vm", "create", "lab", "--qubits", 18, "--cpus", 1)
    assert (made.returncode, made.stdout) == (0, "lab\n"), made.stderr
    assert stages(made) == ["making the machine", "starting it", "waiting for its guest"]
    assert counts(cli, bell, "--vm", "lab") == counts(cli, bell)
    (vm,) = cli.json("vm", "ls")["vms"]
    assert (vm["state"], vm["spec"]["qubits"], vm["owner"]) == ("running", 18, None)

    first = pid_of(cli, "lab")
    restarted = cli("vm", "restart", "lab")
    assert stages(restarted) == ["stopping it", "starting it", "waiting for its guest", "restarted lab"]
    assert pid_of(cli, "lab") != first
    assert cli("vm", "rename", "lab", "labor").returncode == 0
    assert stages(cli("vm", "stop", "labor")) == ["stopping it", "stopped labor"]
    assert vms(cli)["labor"]["state"] == "stopped"
    for command in (("run", bell, "--vm", "labor"), ("vm", "wait", "labor"), ("vm", "pause", "labor")):
        refused = cli(*command)
        assert (refused.returncode, "qvirt vm start labor" in refused.stderr) == (5, True)
    assert cli("vm", "start", "labor").returncode == 0
    waited = cli("vm", "wait", "labor")
    assert (waited.returncode, stages(waited)) == (0, ["waiting for its guest"])
    assert counts(cli, bell, "--vm", "labor")
    assert cli("vm", "rm", "labor", "labor").stderr == "destroyed labor\n"
    assert vms(cli) == {}
    assert cli("vm", "inspect", "labor").returncode == 5


@pytest.mark.parametrize("name", each_of(["docker", "qemu", "libvirt"]))
def test_the_same_life_on_every_engine(cli: Cli, bell: Path, name: str) -> None:
    """From the command line alone; the limits and powers are the conformance suite's matter."""
    found = equipped(name, cli.home)
    # As the VMs of the other tests: one memory template serves them all.
    made = cli("vm", "create", "lab", "--runtime", name, "--memory", "640m", "--spares", 0)
    assert (made.returncode, made.stdout) == (0, "lab\n"), made.stderr
    assert vms(cli)["lab"]["state"] == "running"
    assert counts(cli, bell, "--vm", "lab") == counts(cli, bell)
    assert cli("vm", "snapshot", "create", "lab", "before").returncode == 0
    into = cli("vm", "snapshot", "restore", "lab", "before", "--into", "copy", "--runtime", "process")
    assert into.returncode == 0, into.stderr
    assert cli("vm", "pause", "lab").returncode == 0
    assert vms(cli)["lab"]["state"] == "paused"
    assert cli("vm", "destroy", "--all").returncode == 0
    assert dict(found.leftovers()) == {}


def test_pause_holds_a_circuit_and_resume_lets_it_go_on(cli: Cli, bell: Path) -> None:
    assert cli("vm", "create", "lab").returncode == 0
    assert cli("vm", "pause", "lab").returncode == 0
    assert vms(cli)["lab"]["state"] == "paused"
    for command in (
        ("run", bell, "--vm", "lab"),
        ("vm", "wait", "lab"),
        ("vm", "resize", "lab", "--cpus", 1),
    ):
        refused = cli(*command)
        assert (refused.returncode, "qvirt vm resume lab" in refused.stderr) == (5, True)
    assert cli("vm", "resume", "lab").returncode == 0
    assert counts(cli, bell, "--vm", "lab")


def test_a_resized_vm_has_its_new_limits_inside_and_outside(cli: Cli, bell: Path) -> None:
    assert cli("vm", "create", "lab", "--memory", "1g").returncode == 0
    assert cli("vm", "resize", "lab", "--memory", "600m").returncode == 0
    assert any(limit.startswith("memory: 600 MiB") for limit in cli.json("vm", "inspect", "lab")["limits"])
    plan = cli.json("plan", bell, "--vm", "lab")["plans"][0]["plan"]
    assert plan["memory_limit"] < 600 << 20
    assert cli("vm", "resize", "lab").returncode == 2
    assert cli("vm", "resize", "lab", "--memory", "900t").returncode == 3


def test_it_looks_like_something(cli: Cli) -> None:
    assert "qvirt vm create" in cli("vm", "list").stdout
    assert cli("vm", "create", "lab", "--template", "ideal", "--ttl", "1h", "--quiet").stderr == ""
    listed = cli("vm", "list").stdout.splitlines()
    assert listed[0].split() == ["NAME", "RUNTIME", "STATE", "MEMORY", "CPUS", "QUBITS", "AGE", "NOTE"]
    assert listed[1].split()[:3] == ["lab", "process", "running"]
    shown = cli("vm", "inspect", "lab").stdout
    for fact in ("template  ideal", "ends  ", "memory: ", "cannot", "console: "):
        assert fact in shown
    stats = cli("vm", "stats", "--once").stdout.splitlines()
    assert stats[1].split()[:2] == ["lab", "running"]
    assert cli.json("vm", "stats", "lab", "--once")["vms"][0]["stats"]["memory"] > 20 << 20
    assert cli("vm", "logs", "lab").returncode == 0
    lacking = cli("vm", "exec", "lab", "--", "true")
    assert (lacking.returncode, "run the command in your shell" in lacking.stderr) == (1, True)


def test_one_that_dies_is_restarted_as_its_policy_says(cli: Cli, bell: Path) -> None:
    assert cli("vm", "create", "mortal").returncode == 0
    assert cli("vm", "create", "phoenix", "--restart", "on-failure:1").returncode == 0
    for name in ("mortal", "phoenix"):
        os.kill(pid_of(cli, name), signal.SIGKILL)
    assert eventually(lambda: vms(cli)["mortal"]["state"] == "failed")
    found = vms(cli)
    assert (found["phoenix"]["state"], found["phoenix"]["restarts"]) == ("running", 1)
    assert found["phoenix"]["reason"].startswith("restarted: ")
    refused = cli("run", bell, "--vm", "mortal")
    assert (refused.returncode, "has ended" in refused.stderr) == (5, True)
    os.kill(pid_of(cli, "phoenix"), signal.SIGKILL)
    assert eventually(lambda: vms(cli)["phoenix"]["state"] == "failed")
    assert cli("vm", "start", "mortal").returncode == 0
    assert counts(cli, bell, "--vm", "mortal")


def test_time_to_live_and_rest(cli: Cli) -> None:
    assert cli("vm", "create", "short", "--ttl", "3s").returncode == 0
    assert cli("vm", "create", "lazy", "--idle-stop", "1s").returncode == 0
    assert eventually(lambda: vms(cli)["lazy"]["state"] == "stopped")
    assert vms(cli)["lazy"]["reason"] == "it had no work for 1 s"
    assert eventually(lambda: "short" not in vms(cli))
    assert eventually(lambda: not cli.processes())


@pytest.mark.parametrize("name", ["process", "docker", "qemu", "libvirt"])
def test_two_creates_of_one_name_make_one_vm(cli: Cli, name: str) -> None:
    equipped(name, cli.home)
    command = ("vm", "create", "lab", "--runtime", name, "--memory", "700m", "--cold", "--no-wait")
    both = [cli.start(*command) for _ in range(2)]
    outcomes = [(process.communicate(), process.returncode) for process in both]
    assert sorted(code for _, code in outcomes) == [0, 5], outcomes
    assert "there is a VM named 'lab' already" in "".join(errors for (_, errors), _ in outcomes)
    again = cli(*command)
    assert (again.returncode, "there is a VM named 'lab' already" in again.stderr) == (5, True)
    assert list(vms(cli)) == ["lab"]
    assert len(list((cli.home / "vms").iterdir())) == 1
    assert list(runtime(name, Paths(cli.home)).leftovers()) == [vms(cli)["lab"]["id"]]


@pytest.mark.parametrize("script", ["create", "start", "endpoint", "dies", "silent"])
def test_what_fails_on_the_way_leaves_nothing(cli: Cli, script: str) -> None:
    done = cli("vm", "create", "bad", "--runtime", "fake", "--env", f"QVIRT_FAKE={script}", "--timeout", "2s")
    assert done.returncode == 6, done.stderr
    assert "Traceback" not in done.stderr
    assert vms(cli) == {}
    assert list((cli.home / "vms").glob("*")) == []
    assert eventually(lambda: not cli.processes())


def test_a_killed_create_is_removed_by_the_next_command(cli: Cli) -> None:
    process = cli.start("vm", "create", "bad", "--runtime", "fake", "--env", "QVIRT_FAKE=silent")
    assert eventually(lambda: bool(list((cli.home / "vms").glob("*/process.json"))))
    time.sleep(0.2)
    process.kill()
    process.communicate()
    assert vms(cli) == {}
    assert list((cli.home / "vms").glob("*")) == []
    assert eventually(lambda: not cli.processes())


def test_interrupting_a_create_removes_what_was_made(cli: Cli) -> None:
    process = cli.start("vm", "create", "bad", "--runtime", "fake", "--env", "QVIRT_FAKE=silent")
    assert eventually(lambda: bool(list((cli.home / "vms").glob("*/process.json"))))
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 4
    assert list((cli.home / "vms").glob("*")) == []


def test_a_vm_that_runs_a_circuit_is_not_destroyed_unasked(cli: Cli, tmp_path: Path) -> None:
    from qvirt.methods.families import circuit

    long = tmp_path / "long.qasm"
    long.write_text(circuit("random", 22, seed=1, depth=3000))
    assert cli("vm", "create", "lab").returncode == 0
    process = cli.start("run", long, "--vm", "lab")
    assert eventually(lambda: any(job["state"] == "running" for job in cli.json("job", "list")["jobs"]))
    refused = cli("vm", "destroy", "lab")
    assert (refused.returncode, "--force" in refused.stderr) == (5, True)
    assert cli("vm", "destroy", "lab", "--force").returncode == 0
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 6, errors
    assert "lab" in errors


def test_snapshots_clones_and_files_make_vms_again(cli: Cli, bell: Path, tmp_path: Path) -> None:
    assert cli("vm", "create", "lab", "--memory", "600m", "--precision", "double").returncode == 0
    assert cli("vm", "snapshot", "create", "lab", "before").returncode == 0
    assert cli("vm", "snapshot", "create", "lab", "before").returncode == 5
    assert cli("vm", "snapshot", "create", "lab", "../out").returncode == 2
    assert cli("vm", "resize", "lab", "--memory", "1g").returncode == 0
    assert cli("vm", "snapshot", "restore", "lab", "before").returncode == 0
    assert vms(cli)["lab"]["spec"]["memory"] == 600 << 20
    assert cli("vm", "snapshot", "restore", "lab", "after").returncode == 5
    (listed,) = cli.json("vm", "snapshot", "list", "lab")["snapshots"]
    assert (listed["name"], listed["engine"]) == ("before", False)

    made = cli("vm", "snapshot", "restore", "lab", "before", "--into", "copy", "--runtime", "fake")
    assert made.returncode == 0, made.stderr
    assert cli.json("vm", "clone", "lab", "twin")["vm"]["spec"]["name"] == "twin"
    file = tmp_path / "lab.json"
    assert cli("vm", "export", "lab", file, "--snapshot", "before").returncode == 0
    imported = cli.json("vm", "import", file, "labor")
    assert (imported["schema"], imported["vm"]["state"]) == ("qvirt.vm/1", "running")
    assert {name: vm["spec"]["runtime"] for name, vm in vms(cli).items()} == {
        "lab": "process",
        "copy": "fake",
        "twin": "process",
        "labor": "process",
    }
    same = {name: counts(cli, bell, "--vm", name) for name in ("lab", "copy", "twin", "labor")}
    assert len({str(sorted(found.items())) for found in same.values()}) == 1
    file.write_text("{}")
    wrong = cli("vm", "import", file, "other")
    assert (wrong.returncode, "qvirt vm export" in wrong.stderr) == (2, True)
    assert cli("vm", "snapshot", "rm", "lab", "before").returncode == 0
    assert "no snapshots" in cli("vm", "snapshot", "list", "lab").stdout


def test_one_in_which_simulations_are_slow_is_made_with_a_warning(cli: Cli, tmp_path: Path) -> None:
    cli.environment["QVIRT_FAKE"] = "slow"
    file = tmp_path / "lab.json"
    made = [cli("vm", "create", "lab", "--runtime", "fake")]
    assert cli("vm", "snapshot", "create", "lab", "now").returncode == 0
    assert cli("vm", "export", "lab", file).returncode == 0
    made += [
        cli("vm", "clone", "lab", "twin"),
        cli("vm", "import", file, "labor"),
        cli("vm", "snapshot", "restore", "lab", "now", "--into", "copy"),
        cli("vm", "snapshot", "restore", "lab", "now"),
    ]
    for done in made:
        assert "a fake VM take about 40 times as long here" in done.stderr
        assert "making the machine" in stages(done)
    elsewhere = cli("vm", "clone", "lab", "fast", "--runtime", "process")
    assert (elsewhere.returncode, "warning" in elsewhere.stderr) == (0, False)


def test_quiet_leaves_the_result(cli: Cli, tmp_path: Path) -> None:
    cli.environment["QVIRT_FAKE"] = "slow"
    file = tmp_path / "lab.json"
    assert cli("vm", "create", "lab", "--runtime", "fake", "-q").stderr == ""
    assert cli("vm", "export", "lab", file).returncode == 0
    for command, name in (
        (("snapshot", "create", "lab", "now"), ""),
        (("clone", "lab", "twin"), "twin\n"),
        (("import", file, "labor"), "labor\n"),
        (("snapshot", "restore", "lab", "now", "--into", "copy"), "copy\n"),
        (("snapshot", "restore", "lab", "now"), ""),
        (("restart", "lab"), ""),
        (("stop", "lab"), ""),
        (("start", "lab"), ""),
        (("wait", "lab"), ""),
    ):
        done = cli("vm", *command, "--quiet")
        assert (done.returncode, done.stdout, done.stderr) == (0, name, ""), command


def test_prune_removes_what_nobody_owns(cli: Cli) -> None:
    assert cli("vm", "create", "lab").returncode == 0
    (cli.home / "qvirt.db").rename(cli.home / "lost.db")
    for rest in cli.home.glob("qvirt.db-*"):
        rest.unlink()
    assert len(cli.processes()) > 0
    done = cli("vm", "prune")
    assert (done.returncode, "process VM" in done.stderr) == (0, True), done.stderr
    assert eventually(lambda: not cli.processes())
    assert "nothing to remove" in cli("vm", "prune").stderr


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (["vm", "create", "Lab"], 2, "is not a VM name"),
        (["vm", "create", "lab", "--runtime", "cloud"], 2, "there is no runtime 'cloud'"),
        (["vm", "create", "lab", "--qubits", "50"], 3, "this machine has"),
        (["vm", "create", "lab", "--qubits", "28", "--memory", "1g"], 3, "28 qubits need"),
        (["vm", "create", "lab", "--memory", "1m"], 2, "at least 256 MiB"),
        (["vm", "create", "lab/one"], 2, "is not a VM name"),
        (["vm", "create", "ünï"], 2, "is not a VM name"),
        (["vm", "create", "a" * 64], 2, "up to 63"),
        (["vm", "create", "lab", "--cpus", "1000"], 3, "this machine has"),
        (["vm", "create", "lab", "--env", "X"], 2, "NAME=VALUE"),
        (["vm", "create", "lab", "--env", "A B=1"], 2, "environment variable"),
        (["vm", "create", "lab", "--ttl", "0"], 2, "more than 0"),
        (["vm", "import", "/nonexistent", "lab"], 2, "cannot be read"),
        (["vm", "create", "lab", "--template", "huge"], 5, "templates are"),
        (["vm", "create", "lab", "--restart", "perhaps"], 2, "restart policy"),
        (["vm", "create", "lab", "--ttl", "soon"], 2, "not a time"),
        (["vm", "destroy"], 2, "--all"),
        (["vm", "destroy", "nobody"], 5, "there is no VM 'nobody'"),
        (["vm", "start", "nobody"], 5, "qvirt vm create"),
        (["run", "-", "--vm", "nobody"], 5, "there is no VM 'nobody'"),
        (["run", "-", "--vm", "lab", "--runtime", "process"], 2, "leave out --runtime"),
    ],
)
def test_wrong_use_is_answered_with_a_status_and_a_reason(
    cli: Cli, arguments: list[str], status: int, told: str
) -> None:
    done = cli(*arguments, stdin=BELL)
    assert (done.returncode, told in done.stderr) == (status, True), done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_template_serves_one_run(cli: Cli, bell: Path) -> None:
    run = cli.json("run", bell, "--template", "noisy-27q", "--shots", 4000, "--seed", 1)["runs"][0]
    assert set(run["result"]["counts"]) == {"00", "01", "10", "11"}
    assert vms(cli) == {}


def test_templates_are_listed_and_shown(cli: Cli) -> None:
    assert "noisy-27q" in cli("template", "list").stdout
    assert "readout_0to1 = 0.01" in cli("template", "show", "noisy-27q").stdout
    assert cli.json("template", "show", "ideal")["template"]["qubits"] == 20


@pytest.mark.skipif(sys.platform != "linux", reason="macOS has no /proc")
def test_the_vm_outlives_the_terminal_that_made_it(cli: Cli, bell: Path) -> None:
    shell = subprocess.Popen(
        [sys.executable, "-m", "qvirt", "vm", "create", "lab"], env=cli.environment, start_new_session=True
    )
    assert shell.wait(timeout=60) == 0
    os.kill(pid_of(cli, "lab"), 0)
    assert counts(cli, bell, "--vm", "lab")

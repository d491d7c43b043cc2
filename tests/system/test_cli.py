"""From the command line to the result, as users type it."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command_line import BELL, PATIENCE, Cli, eventually

from qvirt.methods.families import circuit


@pytest.fixture
def minutes_long(tmp_path: Path) -> Path:
    file = tmp_path / "long.qasm"
    file.write_text(circuit("random", 24, seed=1, depth=1500))
    return file


def running_job(cli: Cli) -> str:
    """The id of the one job, once its simulation has begun."""
    found: list[str] = []

    def begun() -> bool:
        jobs = cli.json("job", "list")["jobs"]
        found[:] = [job["id"] for job in jobs if job["state"] == "running"]
        return bool(found)

    assert eventually(begun)
    time.sleep(0.5)
    return found[0]


def test_a_bell_pair_is_shown_as_bars(cli: Cli, bell: Path) -> None:
    done = cli("run", bell, "--seed", 1)
    assert done.returncode == 0, done.stderr
    assert "█" in done.stdout
    assert " 00 " in done.stdout
    assert " 11 " in done.stdout
    assert " 01 " not in done.stdout
    assert done.stderr == ""


def test_the_json_schema_and_seeds(cli: Cli, bell: Path) -> None:
    first = cli.json("run", bell, "--seed", 7, "--shots", 500)
    assert first["schema"] == "qvirt.run/1"
    (run,) = first["runs"]
    assert (run["state"], run["error"], run["result"]["seed"]) == ("completed", None, 7)
    assert sum(run["result"]["counts"].values()) == 500
    assert run["result"]["counts"].keys() == {"00", "11"}
    again = cli.json("run", bell, "--seed", 7, "--shots", 500)
    assert again["runs"][0]["result"]["counts"] == run["result"]["counts"]
    stored = cli.json("job", "result", run["job"])
    assert stored["runs"][0]["result"] == run["result"]


def test_standard_input_csv_and_per_shot_bits(cli: Cli) -> None:
    done = cli("run", "-", "--format", "csv", "--per-shot", "--shots", 10, stdin=BELL)
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert sum(int(row["value"]) for row in rows if row["quantity"] == "count") == 10
    assert len([row for row in rows if row["quantity"] == "shot"]) == 10


def test_a_batch_goes_on_after_a_failure(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "batch"
    folder.mkdir()
    (folder / "a.qasm").write_text("OPENQASM 2.0;\nqreg q[1];\nnonsense q[0];\n")
    (folder / "b.qasm").write_text(BELL)
    done = cli("run", folder, "--format", "json")
    runs = json.loads(done.stdout)["runs"]
    assert [run["state"] for run in runs] == ["failed", "completed"]
    assert runs[0]["error"]["line"] == 3
    assert done.returncode == 1


def test_no_measurement_is_said(cli: Cli) -> None:
    done = cli("run", "-", stdin='OPENQASM 2.0; include "qelib1.inc"; qreg q[3]; x q[0];')
    assert "measures nothing" in done.stdout
    assert " 001 " in done.stdout


def test_observables_probabilities_and_state(cli: Cli, bell: Path, tmp_path: Path) -> None:
    import numpy as np

    state = tmp_path / "state.npy"
    run = cli.json("run", bell, "-O", "ZZ", "-O", "0.5*XX - YY", "--probabilities", "--state", state)["runs"][
        0
    ]
    values = [e["value"] for e in run["result"]["expectations"]]
    assert values == pytest.approx([1.0, 1.5])
    assert run["result"]["probabilities"] == pytest.approx({"00": 0.5, "11": 0.5})
    assert np.abs(np.load(state)) == pytest.approx([2**-0.5, 0, 0, 2**-0.5])


def test_what_does_not_fit_is_refused_with_numbers(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "thirty.qasm"
    file.write_text(circuit("random", 30, seed=1))
    planned = cli("plan", file, "--memory-limit", "2g", "--engine", "aer", "--method", "statevector")
    assert planned.returncode == 3
    assert "8.0" in planned.stdout
    assert "2.00 GiB" in planned.stdout
    assert "up to 27 qubits fits" in planned.stdout
    done = cli("run", file, "--memory-limit", "2g", "--time-limit", "5s")
    assert done.returncode == 3, done.stderr
    assert "2.00 GiB" in done.stderr
    assert "30 qubits takes 8.00 GiB" in done.stderr
    assert "hint" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["run", "nowhere.qasm"], 2, "no file nowhere.qasm"),
        (["run"], 2, "CIRCUIT"),
        (["run", "-", "--shots", "0"], 2, "shots"),
        (["run", "-", "--shots", "-1"], 2, "shots"),
        (["run", "-", "--shots", str(2**63)], 2, "shots"),
        (["run", "-", "--memory-limit", "lots"], 2, "amount of memory"),
        (["run", "-", "--engine", "magic"], 1, "magic"),
        (["run", "-", "--method", "magic"], 2, "magic"),
        (["run", "-", "--observable", "QQ"], 2, "QQ"),
        (["run", "-", "--observable", "ZZZ"], 2, "ZZZ"),
        (["run", "-", "--state", "/nowhere/at/all.npy"], 2, "no folder"),
        (["run", "-", "--detach"], 6, "daemon"),
        (["runn"], 2, "runn"),
        (["job", "show", "ffff"], 5, "no job"),
        (["job", "rm"], 2, "--all"),
        (["bench", "--circuits", "magic"], 2, "magic"),
        (["bench", "--qubits", "0"], 2, "sizes"),
    ],
)
def test_wrong_use_is_answered_with_a_status_and_a_reason(
    cli: Cli, arguments: list[str], status: int, says: str
) -> None:
    done = cli(*arguments, stdin=BELL)
    assert done.returncode == status, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_errors_are_json_where_json_was_asked_for(cli: Cli) -> None:
    done = cli("job", "show", "ffff", "--format", "json")
    error = json.loads(done.stderr)
    assert (error["schema"], error["error"]["code"]) == ("qvirt.error/1", "not_found")


def test_interrupt_stops_a_native_engine_and_leaves_nothing(cli: Cli, minutes_long: Path) -> None:
    process = cli.start("run", minutes_long, "--engine", "aer")
    job = running_job(cli)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 4, errors
    assert "Traceback" not in errors
    assert cli.json("job", "show", job)["job"]["state"] == "cancelled"
    assert list((cli.home / "vms").iterdir()) == []


def test_cancel_from_another_terminal(cli: Cli, minutes_long: Path) -> None:
    process = cli.start("run", minutes_long, "--engine", "aer")
    job = running_job(cli)
    cancelled = cli("job", "cancel", job[:6])
    assert cancelled.returncode == 0, cancelled.stderr
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 4, errors
    assert cli.json("job", "show", job)["job"]["state"] == "cancelled"
    assert cli("job", "cancel", job).returncode == 5


def test_jobs_are_cancelled_past_one_that_there_is_not(cli: Cli, minutes_long: Path) -> None:
    process = cli.start("run", minutes_long, "--engine", "aer")
    job = running_job(cli)
    cancelled = cli("job", "cancel", "ffff", job, "eeee")
    assert (cancelled.returncode, f"{job} cancelled" in cancelled.stderr) == (5, True)
    assert [name in cancelled.stderr for name in ("'ffff'", "'eeee'")] == [True, True]
    assert process.wait(PATIENCE) == 4
    process.communicate()


def test_a_time_limit_ends_a_job(cli: Cli, minutes_long: Path) -> None:
    done = cli("run", minutes_long, "--engine", "aer", "--time-limit", "2s")
    assert done.returncode == 4
    assert "2 s" in done.stderr
    assert cli.json("job", "list")["jobs"][0]["state"] == "timed_out"


def test_kill_leaves_no_orphan_and_no_lie(cli: Cli, minutes_long: Path, bell: Path) -> None:
    process = cli.start("run", minutes_long, "--engine", "aer")
    job = running_job(cli)
    process.kill()
    process.communicate(timeout=PATIENCE)
    assert eventually(lambda: not cli.processes())
    assert cli("run", bell).returncode == 0
    shown = cli.json("job", "show", job)["job"]
    assert shown["state"] == "lost"
    assert shown["error"]["code"] == "lost"
    assert list((cli.home / "vms").iterdir()) == []


def test_two_terminals_do_not_disturb_each_other(cli: Cli, bell: Path) -> None:
    runs = [cli.start("run", bell, "--seed", number, "--format", "json") for number in range(4)]
    for process in runs:
        out, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        assert sum(json.loads(out)["runs"][0]["result"]["counts"].values()) == 1024
    assert len(cli.json("job", "list")["jobs"]) == 4


def test_jobs_are_listed_shown_and_removed(cli: Cli, bell: Path) -> None:
    job = cli.json("run", bell)["runs"][0]["job"]
    assert job in cli("job", "list").stdout
    shown = cli("job", "show", job).stdout
    assert "completed" in shown
    assert "history" in shown
    other = cli.json("run", bell)["runs"][0]["job"]
    removed = cli("job", "rm", "ffff", job, "eeee", other)
    assert (removed.returncode, "removed 2 jobs" in removed.stderr) == (5, True)
    assert [name in removed.stderr for name in ("'ffff'", "'eeee'")] == [True, True]
    assert cli.json("job", "list")["jobs"] == []
    assert cli("job", "rm", "--all").stderr == "removed 0 jobs\n"
    assert [path for path in (cli.home / "results").rglob("*") if path.is_file()] == []


def test_a_full_disk_is_said_and_loses_nothing(cli: Cli, bell: Path) -> None:
    cli.home.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", cli.home], capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip("needs the right to mount a small tmpfs (root)")
    try:
        assert cli("run", bell).returncode == 0
        (cli.home / "filler").write_bytes(bytes(os.statvfs(cli.home).f_bavail * 4096))
        done = cli("run", bell)
        assert done.returncode == 7, done.stderr
        assert "QVIRT_HOME" in done.stderr
        (cli.home / "filler").unlink()
        assert cli("run", bell).returncode == 0
    finally:
        subprocess.run(["umount", cli.home], check=True)


def test_nohup_is_heeded(cli: Cli) -> None:
    program = (
        "import signal, sys, qvirt.cli.app as app\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "sys.argv = ['qvirt', '--version']\n"
        "try: app.main()\n"
        "except SystemExit: pass\n"
        "assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN\n"
        "assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler"
    )
    assert cli.python(program).returncode == 0


def test_a_benchmark_is_shown_kept_and_plotted(cli: Cli, tmp_path: Path) -> None:
    data, picture = tmp_path / "bench.json", tmp_path / "bench.png"
    asked = ("--qubits", "3,4", "--circuits", "ghz,qv", "--engines", "auto,aer", "--repeats", 1)
    done = cli("bench", *asked, "--output", data, "--plot", picture, "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    kept = json.loads(data.read_text())
    assert kept["schema"] == "qvirt.bench/1"
    assert [(row["family"], row["qubits"], row["engine"]) for row in kept["rows"]] == [
        (family, qubits, engine)
        for family in ("ghz", "qv")
        for qubits in (3, 4)
        for engine in ("auto", "aer")
    ]
    assert all(row["median"] > 0 and row["error"] is None for row in kept["rows"])
    assert all({row["check"], row["candidate"]["engine"]} == {"aer", "qsim"} for row in kept["rows"][4:])
    assert kept["hardware"]["cpu"]["model"]
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_an_engine_that_cannot_run_a_circuit_says_why_in_a_benchmark(cli: Cli) -> None:
    done = cli("bench", "--qubits", 3, "--circuits", "qv", "--engines", "stim", "--repeats", 1, "--quiet")
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert "qv on stim, 3 qubits: no method can do this: stim stabilizer" in said
    assert "are no Clifford gates" in said


def test_what_a_plot_needs_is_missed_before_anything_is_measured(cli: Cli, tmp_path: Path) -> None:
    program = (
        "import sys, importlib.util, qvirt.cli.app as app\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name: None if name == 'matplotlib' else find(name)\n"
        "sys.argv = ['qvirt', *sys.argv[1:]]\n"
        "app.main()"
    )
    done = cli.python(program, "bench", "--qubits", "3", "--plot", tmp_path / "bench.png")
    assert (done.returncode, done.stdout) == (6, "")
    assert "qvirt[plot]" in done.stderr


def test_drawing_goes_on_after_a_failure(cli: Cli, bell: Path, tmp_path: Path) -> None:
    broken = tmp_path / "a.qasm"
    broken.write_text("OPENQASM 2.0;\nqreg q[2];\nh q[7];\n")
    done = cli("draw", broken, bell)
    assert (done.returncode, f"{broken}:3:" in done.stderr) == (1, True), done.stderr
    assert f"{bell}:\n" in done.stdout
    assert "┤ H ├" in done.stdout


def test_draw_and_completion(cli: Cli, bell: Path) -> None:
    assert "┤ H ├" in cli("draw", bell).stdout
    for shell in ("bash", "zsh", "fish"):
        assert "_QVIRT_COMPLETE" in cli("completion", shell).stdout


def test_output_to_a_closed_pipe_is_no_error(cli: Cli, bell: Path) -> None:
    command = f"{sys.executable} -m qvirt run {bell} --format json | head -c 1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], env=cli.environment, capture_output=True, text=True
    )
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr

"""Sweeps of parameter sets, from the command line to the result."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import signal
from pathlib import Path

import pytest
from command_line import BELL, Cli, eventually

from qvirt.simulators.registry import installed

HEADER = 'OPENQASM 3.0;\ninclude "stdgates.inc";\n'
ANSATZ = """
input float a; input float b;
qubit[3] q; bit[3] c;
ry(a) q[0]; cx q[0], q[1]; rx(b / 2) q[1]; cx q[1], q[2]; rz(a * b) q[2]; ry(b - a) q[2];
c = measure q;
"""
FEEDBACK = """
input float a; input float b;
qubit[2] q; bit[2] c;
ry(a) q[0];
c[0] = measure q[0];
if (c[0]) { rx(b) q[1]; }
c[1] = measure q[1];
"""
ROWS = [(0.3, -1.0), (math.pi / 2, 2.5), (0.0, 0.0), (-2.0, 3 * math.pi / 4)]
CSV = "b,a\n-1.0,0.3\n2.5,pi/2\n0,0\n3*pi/4,-2\n"
"""The same in the file, where the parameters stand in another order than in the circuit."""

OBSERVABLES = ("--observable", "ZZI", "--observable", "0.5*XXX - IIZ")
SHOTS = 4000


@pytest.fixture
def ansatz(tmp_path: Path) -> Path:
    file = tmp_path / "ansatz.qasm"
    file.write_text(HEADER + ANSATZ)
    return file


@pytest.fixture
def params(tmp_path: Path) -> Path:
    file = tmp_path / "sweep.csv"
    file.write_text(CSV)
    return file


def singles(cli: Cli, folder: Path, body: str, *options: object) -> list[dict]:
    """What runs of the bound circuits give, one file a row."""
    bound = folder / "bound"
    bound.mkdir()
    for number, (a, b) in enumerate(ROWS):
        declared = body.replace("input float a; input float b;", f"const float a = {a}; const float b = {b};")
        (bound / f"{number}.qasm").write_text(HEADER + declared)
    asked = ("--shots", SHOTS, "--seed", 9, *options)
    return [run["result"] for run in cli.json("run", bound, *asked)["runs"]]


def assert_agree(row: dict, single: dict) -> None:
    """Two samples of one distribution: no outcome is six standard deviations off."""
    for outcome in row["counts"].keys() | single["counts"].keys():
        one, other = (found["counts"].get(outcome, 0) for found in (row, single))
        assert abs(one - other) < 6 * math.sqrt(one + other + 1), outcome
    means = [[mean["value"] for mean in found["expectations"]] for found in (row, single)]
    assert means[0] == pytest.approx(means[1], abs=1e-5)
    assert sum(row["counts"].values()) == SHOTS


@pytest.mark.parametrize("engine", ["torch", "torch --precision single", "aer", None])
def test_a_sweep_is_what_runs_of_the_bound_circuits_are(
    cli: Cli, ansatz: Path, params: Path, tmp_path: Path, engine: str | None
) -> None:
    if engine and engine.startswith("torch") and not installed("torch"):
        pytest.skip("torch is not installed")
    chosen = ("--engine", *engine.split()) if engine else ()
    (run,) = cli.json(
        "run", ansatz, "--params", params, "--shots", SHOTS, "--seed", 5, *OBSERVABLES, *chosen
    )["runs"]
    result = run["result"]
    assert (engine or result["candidate"]["engine"]).split()[0] == result["candidate"]["engine"]
    assert result["counts"] == {}
    assert [(row["parameters"]["a"], row["parameters"]["b"]) for row in result["rows"]] == ROWS
    found = singles(cli, tmp_path, ANSATZ, "--engine", "qsim", "--precision", "single", *OBSERVABLES)
    for row, single in zip(result["rows"], found, strict=True):
        assert_agree(row, single)
    assert cli.json("job", "result", run["job"])["runs"][0]["result"] == result
    assert cli.json("job", "show", run["job"])["job"]["sweep"]


def test_rows_have_seeds_of_their_own(cli: Cli, tmp_path: Path, ansatz: Path, params: Path) -> None:
    asked = ("run", ansatz, "--shots", SHOTS, "--seed", 5, "--engine", "aer", "--params")
    rows = cli.json(*asked, params)["runs"][0]["result"]["rows"]
    (tmp_path / "same.csv").write_text("a,b\n0.3,-1\n0.3,-1\n")
    same = cli.json(*asked, tmp_path / "same.csv")["runs"][0]["result"]["rows"]
    assert same[0]["counts"] == rows[0]["counts"] != same[1]["counts"]
    bound = tmp_path / "bound.qasm"
    declared = ANSATZ.replace("input float a; input float b;", "const float a = 0.3; const float b = -1.0;")
    bound.write_text(HEADER + declared)
    alone = cli.json("run", bound, "--shots", SHOTS, "--seed", 6, "--engine", "aer")["runs"][0]["result"]
    assert alone["counts"] == same[1]["counts"]


@pytest.mark.parametrize("noise", [None, "depolarizing=0.05"])
def test_feedback_and_noise_go_one_after_another(
    cli: Cli, params: Path, tmp_path: Path, noise: str | None
) -> None:
    body = ANSATZ if noise else FEEDBACK
    file = tmp_path / "circuit.qasm"
    file.write_text(HEADER + body)
    noisy = ("--noise", noise) if noise else ()
    (run,) = cli.json("run", file, "--params", params, "--shots", SHOTS, "--seed", 5, *noisy)["runs"]
    for row, single in zip(
        run["result"]["rows"], singles(cli, tmp_path, body, *noisy, "--method", "statevector"), strict=True
    ):
        assert_agree(row, single)


def test_csv_and_the_table_have_one_line_a_row(cli: Cli, ansatz: Path, params: Path) -> None:
    asked = ("run", ansatz, "--params", params, "--seed", 1, "-O", "ZZI")
    done = cli(*asked, "--format", "csv")
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [(float(row["a"]), float(row["b"])) for row in rows] == ROWS
    assert [row["row"] for row in rows] == ["1", "2", "3", "4"]
    assert (rows[2]["commonest"], rows[2]["count"], rows[2]["ZZI"]) == ("000", "1024", "1.0")
    shown = cli(*asked).stdout.splitlines()
    assert shown[1].split() == ["row", "b", "a", "commonest", "share", "<ZZI>"]
    assert shown[4].split() == ["3", "0", "0", "000", "100.0%", "+1.000000"]


def test_a_plan_tells_rows_times_time(cli: Cli, ansatz: Path, params: Path) -> None:
    (plan,) = cli.json("plan", ansatz, "--params", params)["plans"]
    assert "4 parameter sets × " in plan["plan"]["reason"]
    assert "compiled once" not in plan["plan"]["reason"]
    large = params.with_name("large.csv")
    large.write_text("a,b\n" + "1,2\n" * 20_000)
    (stage,) = cli.json("plan", ansatz, "--params", large, "--shots", 1)["plans"][0]["plan"]["stages"]
    (chosen,) = stage["attempts"]
    assert (chosen["candidate"]["engine"] == "torch") == ("compiled once" in chosen["reason"])
    refused = cli("plan", ansatz, "--params", large, "--shots", 1024, "--memory-limit", "40m")
    assert refused.returncode == 3
    assert "20,000 rows does not fit" in refused.stdout


def test_wrong_input_is_told(cli: Cli, ansatz: Path, params: Path, bell: Path, tmp_path: Path) -> None:
    free = cli("run", ansatz)
    assert free.returncode == 1
    assert "no value: a, b" in free.stderr
    assert "--params" in free.stderr
    without = cli("run", bell, "--params", params)
    assert without.returncode == 1
    assert "no free parameters" in without.stderr
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("a,b\n1,2\n1,x\n")
    done = cli("run", ansatz, "--params", wrong)
    assert done.returncode == 2
    assert f"{wrong}:3:3: 'x' is not a number" in done.stderr
    assert "Ry(a)" in cli("draw", ansatz).stdout
    wrong.write_text("a,c\n1,2\n")
    assert "no value: b" in cli("run", ansatz, "--params", wrong).stderr
    more = cli("run", ansatz, "--params", params, "--probabilities")
    assert more.returncode == 2
    assert "counts and expectation values only" in more.stderr
    assert cli("run", "--resume", "abc", "--params", params).returncode == 2


def test_a_sweep_is_watched_and_cancelled(cli: Cli, tmp_path: Path) -> None:
    angles = "".join(f"rx(a) q[{i % 20}]; cx q[{i % 20}], q[{(i + 1) % 20}];\n" for i in range(200))
    file = tmp_path / "long.qasm"
    file.write_text(f"{HEADER}input float a;\nqubit[20] q;\n{angles}")
    (tmp_path / "many.csv").write_text("a\n" + "\n".join(f"0.{i}" for i in range(1, 5000)))
    running = cli.start("run", file, "--params", tmp_path / "many.csv", "--shots", 1, "--format", "json")
    position: dict = {}

    def begun() -> bool:
        for job in cli.json("job", "list")["jobs"]:
            progress = cli.json("job", "show", job["id"])["progress"]
            position.update((progress and progress["position"]) or {})
        return (position.get("rows_done") or 0) > 0

    assert eventually(begun), (running.poll(), position)
    assert position["rows"] == 4999
    os.kill(running.pid, signal.SIGINT)
    running.communicate(timeout=20)
    assert running.returncode == 4
    (job,) = cli.json("job", "list")["jobs"]
    assert job["state"] == "cancelled"
    swept = cli.home / "circuits"
    assert len(list(swept.glob("*/*.sweep"))) == 1
    assert cli("job", "rm", job["id"]).returncode == 0
    assert [path for path in swept.glob("*/*") if path.is_file()] == []


def test_a_time_limit_and_no_checkpoint(cli: Cli, tmp_path: Path, ansatz: Path) -> None:
    (tmp_path / "many.csv").write_text("a,b\n" + "1,2\n" * 50_000)
    asked = ("run", ansatz, "--params", tmp_path / "many.csv", "--shots", 1, "--engine", "aer")
    done = cli(*asked, "--time-limit", "2s", "--checkpoint-every", "0.5s", "--format", "json")
    assert json.loads(done.stdout)["runs"][0]["state"] == "timed_out"
    assert "a sweep cannot be saved" in done.stderr
    assert cli.json("run", "-", stdin=BELL)["runs"][0]["result"]["rows"] is None

"""qvirt probe and qvirt doctor as commands, on the machine that they run on."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


def qvirt(home: Path, *arguments: str, columns: int = 80) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "QVIRT_HOME": str(home), "COLUMNS": str(columns)}
    command = [sys.executable, "-m", "qvirt", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home") / "state"


@pytest.fixture(scope="module")
def probed(home: Path) -> dict[str, Any]:
    ran = qvirt(home, "probe", "--format", "json")
    assert ran.returncode == 0, ran.stderr
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def test_probe_json(probed: dict[str, Any]) -> None:
    assert probed["schema"] == "qvirt.probe/1"
    hardware = probed["hardware"]
    assert hardware["memory_bandwidth"] > 1e8
    assert [engine["name"] for engine in hardware["containers"]] == ["docker", "podman"]
    assert hardware["hypervisor"]["kvm_usable"] == (hardware["hypervisor"]["kvm_reason"] is None)
    for fit in probed["largest"]:
        if fit["method"] == "statevector":
            size = {"double": 16, "single": 8}[fit["precision"]] << fit["qubits"]
            assert size <= hardware["usable"]["memory_available"] < 4 * size


def test_the_bandwidth_is_measured_once_a_boot(home: Path, probed: dict[str, Any]) -> None:
    again = json.loads(qvirt(home, "probe", "--format", "json").stdout)
    assert again["hardware"]["memory_bandwidth"] == probed["hardware"]["memory_bandwidth"]


def test_probe_table_fits_a_terminal(home: Path, probed: dict[str, Any]) -> None:
    ran = qvirt(home, "probe")
    assert ran.returncode == 0
    lines = ran.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("CPU") and probed["hardware"]["cpu"]["model"] in line for line in lines)
    assert any("statevector" in line for line in lines)


def test_probe_csv(home: Path, probed: dict[str, Any]) -> None:
    facts = dict(csv.reader(io.StringIO(qvirt(home, "probe", "--format", "csv").stdout)))
    assert facts["hardware.cpu.model"] == probed["hardware"]["cpu"]["model"]


def test_doctor_says_what_is_wrong_and_how_to_mend_it(home: Path) -> None:
    ran = qvirt(home, "doctor", "--format", "json")
    found = json.loads(ran.stdout)
    assert found["schema"] == "qvirt.doctor/1"
    checks = {check["name"]: check for check in found["checks"]}
    assert checks["qiskit-aer"]["status"] == "ok"
    assert checks["calibration"]["mend"] == "qvirt bench --calibrate"
    assert found["problems"] == sum(check["status"] == "problem" for check in checks.values())
    assert ran.returncode == (1 if found["problems"] else 0)


def test_doctor_ends_with_1_where_there_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "file").touch(mode=0o400)
    ran = qvirt(tmp_path / "file" / "home", "doctor")
    assert ran.returncode == 1
    assert "problem" in ran.stdout
    assert "is not writable" in " ".join(ran.stdout.split())

"""The house rules that a machine can hold: light imports, help for everything, documents in step."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import qvirt
from qvirt import errors
from qvirt.cli.app import app
from qvirt.cli.checks import Check
from qvirt.host.bench import Row
from qvirt.model.estimate import Estimate, Plan, Stage
from qvirt.model.hardware import ContainerEngine, Cpu, Gpu, Hardware, Hypervisor, Largest, Torch, Usable
from qvirt.model.job import Event, Job
from qvirt.model.result import Result
from qvirt.model.state import KeptState
from qvirt.model.vm import VM, VMSpec
from qvirt.settings import Settings

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
CLI = (ROOT / "docs/cli.md").read_text("utf-8")
HEAVY = {
    *("numpy", "scipy", "matplotlib", "qiskit", "qiskit_aer", "stim", "mqt", "cirq", "qsimcirq"),
    *("torch", "fastapi", "starlette", "uvicorn", "docker", "libvirt", "qemu", "jinja2"),
    *("pydantic", "httpx", "rich"),
}


def commands(found: Any = None, path: str = "qvirt") -> Iterator[tuple[str, Any]]:
    """Every command that does something, by its full name."""
    found = found or typer.main.get_command(app)
    for name, child in getattr(found, "commands", {}).items():
        if hasattr(child, "commands"):
            yield from commands(child, f"{path} {name}")
        else:
            yield f"{path} {name}", child


COMMANDS = dict(commands())


@pytest.mark.parametrize(
    "arguments",
    [
        *("--help", "--version", "version", "completion bash", "run --help", "job --help", "vm --help"),
        *("job list", "vm list", "template list"),
    ],
)
def test_light_commands_import_nothing_heavy(arguments: str) -> None:
    program = (
        "import sys, qvirt.cli.app\n"
        f"sys.argv = ['qvirt', *{arguments.split()!r}]\n"
        "try: qvirt.cli.app.main()\n"
        "except SystemExit as stop: assert not stop.code, stop.code\n"
        "print('modules', *{name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.rpartition("modules")[2].split())
    assert "typer" in loaded
    assert not loaded & HEAVY


def test_import_of_the_package_loads_nothing_but_its_version() -> None:
    program = "import sys, qvirt; print(*(name for name in sys.modules if name.startswith('qvirt.')))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["qvirt.version"]


def test_layers() -> None:
    lint = "from importlinter.cli import lint_imports; import sys; sys.exit(lint_imports(no_cache=True))"
    done = subprocess.run([sys.executable, "-c", lint], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_has_help(name: str) -> None:
    command = COMMANDS[name]
    assert command.help
    assert [p.name for p in command.params if not (p.help or p.metavar)] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_no_two_options_of_a_command_are_written_alike(name: str) -> None:
    written = [option for parameter in COMMANDS[name].params for option in parameter.opts]
    assert len(written) == len(set(written))


def test_commands_are_the_documented_ones() -> None:
    assert set(re.findall(r"^### (qvirt .+)$", CLI, re.MULTILINE)) == set(COMMANDS)


def shown_calls() -> list[str]:
    """Command lines that stand in code blocks."""
    return re.findall(r"^(?:    |\$ )(qvirt (?!-).+?)(?: +# .*)?$", README + CLI, re.MULTILINE)


@pytest.mark.parametrize("call", shown_calls())
def test_calls_in_the_documents_are_possible(call: str) -> None:
    name = max((name for name in COMMANDS if f"{call} ".startswith(f"{name} ")), key=len, default=None)
    assert name is not None, f"there is no such command: {call}"
    known = {option for parameter in COMMANDS[name].params for option in parameter.opts} | {"--help"}
    assert set(re.findall(r"(?<=\s)--?[a-z][a-z-]*", call)) <= known


def test_exit_statuses_are_the_documented_ones() -> None:
    rows = re.findall(r"^\| (\d) \|.*\|([^|]*)\|$", CLI, re.MULTILINE)
    documented = {(code, int(status)) for status, codes in rows for code in re.findall(r"`(\w+)`", codes)}
    tree = errors._tree(errors.QvirtError)
    assert documented == {(code, kind.exit_status) for code, kind in tree.items()}


def test_schemas_are_the_documented_ones() -> None:
    sources = "".join(path.read_text("utf-8") for path in (ROOT / "qvirt/cli").glob("*.py"))
    schema = r"qvirt\.[a-z]+/\d+"
    assert set(re.findall(schema, sources)) == set(re.findall(schema, CLI))


@pytest.mark.parametrize(
    "kind",
    [
        *(errors.ErrorInfo, Result, Plan, Stage, Estimate, Job, Event, Row, Settings, VM, VMSpec, KeptState),
        *(Hardware, Cpu, Usable, Gpu, Torch, ContainerEngine, Hypervisor, Largest, Check),
    ],
)
def test_fields_are_documented(kind: type) -> None:
    named = set(re.findall(r"`(\w+)`", CLI))
    assert {field.name for field in dataclasses.fields(kind)} <= named


def test_changelog_has_this_version() -> None:
    assert f"## [{qvirt.__version__}]" in (ROOT / "CHANGELOG.md").read_text("utf-8")

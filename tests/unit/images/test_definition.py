from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest

from qvirt.images.definition import PACKAGE, content_hash, definition, lock, package_files

ROOT = PACKAGE.parent
FILES = sorted(package_files(definition()))


def name(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def pins() -> dict[str, str]:
    path = lock("3.11")
    assert path is not None
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return {name(line): line.partition("==")[2] for line in lines}


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse((PACKAGE / path).read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("qvirt"):
            yield node.module or ""
            yield from (f"{node.module}.{each.name}" for each in node.names)


def test_the_guest_imports_nothing_that_is_not_in_the_image() -> None:
    there = {
        f"qvirt.{path.with_suffix('').as_posix().replace('/', '.')}".removesuffix(".__init__")
        for path in FILES
    }
    everywhere = {
        f"qvirt.{path.relative_to(PACKAGE).with_suffix('').as_posix().replace('/', '.')}".removesuffix(
            ".__init__"
        )
        for path in PACKAGE.rglob("*.py")
    }
    # The package itself loads qvirt.engine when somebody asks for what is in it; no guest does.
    missing = {
        module for path in FILES if path != Path("__init__.py") for module in imported(path)
    } & everywhere
    assert missing - there == set()
    assert "qvirt.guest.worker" in there


def test_nothing_of_the_host_is_in_the_image() -> None:
    assert {path.parts[0] for path in FILES} & {
        "cli",
        "host",
        "store",
        "runtimes",
        "images",
        "engine.py",
    } == set()


def test_everything_that_the_guest_needs_is_pinned() -> None:
    wanted = definition()
    pinned = pins()
    assert {name(each) for each in (*wanted.requirements, *wanted.bare_requirements)} <= set(pinned)
    assert all(re.fullmatch(r"[0-9][0-9a-z.]*", version) for version in pinned.values())


def test_the_lock_is_complete() -> None:
    """It is installed without looking at dependencies, so none may be missing from it."""
    from packaging.requirements import Requirement

    bare = {name(each) for each in definition().bare_requirements}
    lacking = set()
    for package in pins().keys() - bare:
        try:
            needed = [Requirement(each) for each in requires(package) or []]
        except PackageNotFoundError:
            pytest.fail(f"{package} is pinned and not installed here: is it needed?")
        environment = {"python_version": "3.11", "extra": ""}
        lacking |= {
            name(each.name) for each in needed if not each.marker or each.marker.evaluate(environment)
        }
    assert lacking - pins().keys() == set()


def test_requirements_are_those_of_the_project() -> None:
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    wanted = definition()
    for requirement in (*wanted.requirements, *wanted.bare_requirements, *wanted.extras.values()):
        assert f'"{requirement}"' in project


def test_the_dockerfile_takes_the_same_files() -> None:
    copied = re.findall(
        r"qvirt/(\S+)", " ".join(re.findall(r"^COPY (qvirt.*) /", docker_file(), re.MULTILINE))
    )
    assert sorted(copied) == sorted(definition().qvirt)


def test_the_dockerfile_takes_the_same_debian_packages() -> None:
    last = re.findall(r"--no-install-recommends (.+?) \\", docker_file())[-1]
    assert sorted(last.split()) == sorted(definition().packages)


def docker_file() -> str:
    return (ROOT / "images/Dockerfile").read_text("utf-8")


def test_the_id_changes_with_every_file_that_goes_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from qvirt.images import definition as module

    before = content_hash()
    first = tmp_path / "first"
    first.write_bytes(b"x")
    for inputs in ([("a", first)], [("b", first)], [("a", first), ("b", first)]):
        content_hash.cache_clear()
        monkeypatch.setattr(module, "_inputs", lambda inputs=inputs: iter(inputs))
        assert content_hash() != before
        before = content_hash()
    monkeypatch.undo()
    content_hash.cache_clear()

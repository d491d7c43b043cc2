"""Named sets of choices for a new VM: those that qvirt brings, and the user's own over them."""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from qvirt.errors import NotFound, QvirtError, UsageError
from qvirt.model.run import Method, Noise, Precision
from qvirt.model.wire import from_json, to_json
from qvirt.resources import resources
from qvirt.settings import configuration_file
from qvirt.units import parse_bytes, parse_seconds

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True, slots=True)
class Template:
    """What a template's file says; None leaves it open. Bytes and seconds."""

    name: str
    file: str
    description: str = ""
    runtime: str | None = None
    qubits: int | None = None
    memory: int | None = None
    cpus: int | None = None
    method: Method | None = None
    precision: Precision | None = None
    noise: Noise | None = None
    gpu: bool = False
    spares: int | None = None
    ttl: float | None = None
    idle_stop: float | None = None
    restart: str | None = None


_READERS = {"memory": parse_bytes, "ttl": parse_seconds, "idle_stop": parse_seconds}


def folders() -> tuple[Path, ...]:
    """The later wins."""
    return resources("templates"), configuration_file().parent / "templates"


def templates() -> list[Template]:
    """By name. Raises UsageError naming the file that is wrong."""
    found = {path.stem: path for folder in folders() for path in sorted(folder.glob("*.toml"))}
    return [_read(path) for _, path in sorted(found.items())]


def template(name: str) -> Template:
    for folder in reversed(folders()):
        path = folder / f"{name}.toml"
        if path.is_file():
            return _read(path)
    known = ", ".join(found.name for found in templates())
    raise NotFound(f"there is no template {name!r}", hint=f"templates are: {known}")


def _read(path: Path) -> Template:
    try:
        table = tomllib.loads(path.read_text("utf-8"))
        known = {field.name for field in fields(Template)} - {"name", "file"}
        for name in table.keys() - known:
            raise UsageError(f"there is no setting {name!r}", hint=f"settings: {', '.join(sorted(known))}")
        return from_json(to_json(_values(path, table)), Template)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"cannot be read: {error}", file=str(path)) from None
    except QvirtError as error:
        raise UsageError(error.message, hint=error.hint, file=str(path)) from None


def _values(path: Path, table: dict[str, Any]) -> dict[str, Any]:
    read = {name: _READERS[name](str(value)) for name, value in table.items() if name in _READERS}
    return table | read | {"name": path.stem, "file": str(path)}

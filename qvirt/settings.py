"""What a user may set once for all: ``qvirt.toml`` in the configuration folder, and ``QVIRT_*`` over it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from qvirt.errors import UsageError
from qvirt.units import parse_bytes, parse_seconds

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True, slots=True)
class Settings:
    """Bytes and seconds. None leaves it to what the machine has."""

    memory: int | None = None
    cpus: int | None = None
    time_limit: float | None = None
    shots: int = 1024
    start_timeout: float = 60.0


def _cpus(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(f"{text!r} is not a number of CPUs")
    return int(text)


def _shots(text: str) -> int:
    if not text.isdecimal():
        raise UsageError(f"{text!r} is not a number of shots")
    return int(text)


_READERS = {
    "memory": parse_bytes,
    "cpus": _cpus,
    "time_limit": parse_seconds,
    "shots": _shots,
    "start_timeout": parse_seconds,
}


def configuration_file(environment: Mapping[str, str] = os.environ) -> Path:
    """``QVIRT_CONFIG``, else ``qvirt.toml`` in ``$XDG_CONFIG_HOME/qvirt``."""
    named = environment.get("QVIRT_CONFIG")
    if named:
        return Path(named).expanduser()
    folder = environment.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(folder) / "qvirt" / "qvirt.toml"


def load(environment: Mapping[str, str] = os.environ) -> Settings:
    """Raises UsageError naming the file and the setting that is wrong or unknown."""
    path = configuration_file(environment)
    values: dict[str, tuple[str, str]] = {}
    if path.is_file():
        try:
            table = tomllib.loads(path.read_text("utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"not valid TOML: {error}", file=str(path)) from None
        values |= {name: (str(value), str(path)) for name, value in table.items()}
    known = {field.name for field in fields(Settings)}
    for name in values.keys() - known:
        raise UsageError(
            f"there is no setting {name!r}", file=str(path), hint=f"settings: {', '.join(known)}"
        )
    for name in known:
        variable = f"QVIRT_{name.upper()}"
        if environment.get(variable):
            values[name] = (environment[variable], variable)
    return Settings(**{name: _read(name, *value) for name, value in values.items()})  # type: ignore[arg-type]


def _read(name: str, text: str, origin: str) -> object:
    try:
        return _READERS[name](text)
    except UsageError as error:
        raise UsageError(f"{origin}: {name}: {error.message}", hint=error.hint) from None

"""The nouns as JSON and back, checked on the way in.

msgspec reads the dataclasses' annotations, so that each schema is written once. Bytes travel as base64.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from qvirt.errors import UsageError

T = TypeVar("T")


def to_json(value: object, *, indent: int = 0) -> bytes:
    raw = msgspec.json.encode(value)
    return msgspec.json.format(raw, indent=indent) if indent else raw


def to_plain(value: object) -> Any:
    """Dicts, lists and scalars only, as they stand in JSON."""
    return msgspec.to_builtins(value)


def from_json(data: bytes, kind: type[T]) -> T:
    """Raises UsageError naming the field that is missing or of the wrong type."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UsageError(f"not a valid {kind.__name__}: {error}") from None
    except RecursionError:
        raise UsageError(f"not a valid {kind.__name__}: nested too deeply") from None


def schema(*kinds: type) -> tuple[tuple[dict[str, Any], ...], dict[str, Any]]:
    """JSON schemas of ``kinds`` and the components that they refer to (``#/components/schemas/...``)."""
    return msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")

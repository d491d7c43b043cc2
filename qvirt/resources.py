"""Where the files are that qvirt brings along beside its code: images/, qemu/ and templates/."""

from __future__ import annotations

from pathlib import Path


def resources(name: str) -> Path:
    """A folder of the source tree, or of an installed package the copy that its wheel carries."""
    package = Path(__file__).parent
    beside = package.parent / name
    return beside if (package.parent / "pyproject.toml").exists() else package / "_data" / name

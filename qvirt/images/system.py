"""The Debian or Ubuntu that this machine runs, from whose packages the image is made."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from qvirt.errors import Unavailable

TRIPLETS = {"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True)
class System:
    """``family`` is debian or ubuntu, ``suite`` the release's code name."""

    family: str
    suite: str
    name: str
    architecture: str

    @property
    def triplet(self) -> str:
        return TRIPLETS[self.architecture]

    @property
    def machine(self) -> str:
        return self.triplet.partition("-")[0]


def system(root: Path = Path("/")) -> System:
    """Raises Unavailable where no image can be built here."""
    try:
        text = (root / "etc/os-release").read_text("utf-8")
    except OSError:
        text = ""
    facts = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', text, re.MULTILINE))
    names = [facts.get("ID", ""), *facts.get("ID_LIKE", "").split()]
    family = next((name for name in ("ubuntu", "debian") if name in names), None)
    suite = facts.get("UBUNTU_CODENAME") or facts.get("VERSION_CODENAME")
    architecture = MACHINES.get(platform.machine())
    if platform.system() != "Linux" or family is None or not suite or architecture is None:
        here = facts.get("PRETTY_NAME") or platform.system()
        raise Unavailable(
            f"images are built on Debian and Ubuntu, x86-64 or Arm; here is {here}, {platform.machine()}",
            hint="build one there, `qvirt image export FILE`, and here `qvirt image import FILE`",
        )
    return System(family, suite, facts.get("PRETTY_NAME", f"{family} {suite}"), architecture)


def sources(suite: str, folder: Path = Path("/etc/apt")) -> dict[str, str]:
    """The host's package sources of its own release, by file name; those of others do not go into a guest."""
    found = {}
    for path in sorted([folder / "sources.list", *folder.glob("sources.list.d/*")]):
        if not path.is_file():
            continue
        text = path.read_text("utf-8", "replace")
        if path.suffix == ".list":
            kept = "\n".join(line for line in text.splitlines() if _of_line(line, suite))
        elif path.suffix == ".sources":
            kept = "\n\n".join(each for each in re.split(r"\n\s*\n", text) if _of_stanza(each, suite))
        else:
            continue
        if kept:
            found[path.name] = kept + "\n"
    return found


def _of_line(line: str, suite: str) -> bool:
    match = re.match(r"\s*deb\s+(?:\[[^\]]*\]\s+)?\S+\s+(\S+)", line)
    return match is not None and _belongs([match[1]], suite)


def _of_stanza(stanza: str, suite: str) -> bool:
    enabled = not re.search(r"^Enabled:\s*no\b", stanza, re.MULTILINE | re.IGNORECASE)
    match = re.search(r"^Suites:(.*(?:\n[ \t].*)*)", stanza, re.MULTILINE | re.IGNORECASE)
    return enabled and match is not None and _belongs(match[1].split(), suite)


def _belongs(suites: Iterable[str], suite: str) -> bool:
    """``bookworm`` itself, and what carries its fixes."""
    return all(re.fullmatch(rf"{suite}(?:-updates|-security)?|{suite}/updates", name) for name in suites)

"""What an image may hold beside what every one has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from qvirt.errors import Unavailable
from qvirt.images.definition import definition

GPU = "torch"
"""The one whose engine uses GPUs."""


def chosen(names: Iterable[str], environment: Mapping[str, str], nvidia: bool) -> dict[str, str]:
    """What pip is asked for, by name: what ``QVIRT_NAME_SPEC`` says, or else the definition.

    Raises Unavailable for the usual torch where there is no NVIDIA GPU.
    """
    known = definition().extras
    found = {}
    for name in sorted(set(names)):
        named = environment.get(f"QVIRT_{name.upper()}_SPEC")
        if name == GPU and not named and not nvidia:
            raise Unavailable(
                "there is no NVIDIA GPU here, and the usual torch brings gigabytes of CUDA packages",
                hint="name a build: QVIRT_TORCH_SPEC='torch==2.13.0+cpu', or the path of a wheel; where pip "
                "is to look for it goes into PIP_EXTRA_INDEX_URL or PIP_FIND_LINKS",
            )
        found[name] = named or known[name]
    return found

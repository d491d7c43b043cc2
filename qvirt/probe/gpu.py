"""GPUs, as the tools of their drivers list them."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from typing import Any

from qvirt.model.hardware import Gpu
from qvirt.probe.command import run

_LIMIT = 10.0
_NOT_TRIED = "not tried"


def gpus() -> tuple[tuple[Gpu, ...], str | None]:
    """Every GPU found; and why a tool that is installed could not list any."""
    found: list[Gpu] = []
    reasons = []
    for tool, ask in (("nvidia-smi", _nvidia), ("rocm-smi", _amd), ("system_profiler", _apple)):
        if shutil.which(tool) and (tool != "system_profiler" or sys.platform == "darwin"):
            listed, reason = ask()
            found += listed
            reasons += [f"{tool}: {reason}"] if reason else []
    return tuple(found), "; ".join(reasons) or None


def _nvidia() -> tuple[list[Gpu], str | None]:
    fields = "name,uuid,memory.total,driver_version"
    # Drivers before 510 do not know compute_cap.
    for query in (f"{fields},compute_cap", fields):
        argv = ["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader,nounits"]
        answer = run(argv, _LIMIT)
        if answer.reason is None:
            return read_nvidia(answer.out), None
    return [], answer.reason


def read_nvidia(text: str) -> list[Gpu]:
    """Lines of name, UUID, MiB, driver and, where the driver knows it, compute capability."""
    rows = (row for row in csv.reader(text.splitlines(), skipinitialspace=True) if len(row) >= 4)
    return [
        Gpu(
            vendor="NVIDIA",
            name=row[0],
            uuid=row[1],
            # GPUs that share the machine's memory say [N/A].
            memory=int(row[2]) << 20 if row[2].isdecimal() else None,
            driver=row[3],
            compute_capability=row[4] if len(row) > 4 else None,
            kernel_ran=None,
            kernel_reason=_NOT_TRIED,
        )
        for row in rows
    ]


def _amd() -> tuple[list[Gpu], str | None]:
    asked = ["--showproductname", "--showmeminfo", "vram", "--showdriverversion", "--showuniqueid"]
    answer = run(["rocm-smi", *asked, "--json"], _LIMIT)
    try:
        return read_amd(answer.out), answer.reason
    except (ValueError, AttributeError):
        return [], answer.reason or "an answer that cannot be read"


def read_amd(text: str) -> list[Gpu]:
    """rocm-smi's JSON: ``card0``, ``card1`` ... and ``system``; the case of its keys varies by version."""
    cards = {
        name: {key.lower(): value for key, value in card.items()} for name, card in _object(text).items()
    }
    driver = cards.get("system", {}).get("driver version")
    return [
        Gpu(
            vendor="AMD",
            name=card.get("card series") or card.get("device name") or "AMD GPU",
            uuid=card.get("unique id"),
            memory=int(card["vram total memory (b)"]) if "vram total memory (b)" in card else None,
            driver=card.get("driver version", driver),
            compute_capability=card.get("gfx version"),
            kernel_ran=None,
            kernel_reason=_NOT_TRIED,
        )
        for name, card in cards.items()
        if name.startswith("card")
    ]


def _apple() -> tuple[list[Gpu], str | None]:
    answer = run(["system_profiler", "-json", "SPDisplaysDataType"], _LIMIT)
    try:
        return read_apple(answer.out), answer.reason
    except (ValueError, AttributeError):
        return [], answer.reason or "an answer that cannot be read"


def read_apple(text: str) -> list[Gpu]:
    """Only Apple's own GPUs: they share the machine's memory, and torch runs on them by Metal."""
    return [
        Gpu(
            vendor="Apple",
            name=card.get("sppci_model") or card["_name"],
            uuid=None,
            memory=None,
            driver=None,
            compute_capability=card.get("spdisplays_mtlgpufamilysupport", "").removeprefix("spdisplays_")
            or None,
            kernel_ran=None,
            kernel_reason=_NOT_TRIED,
        )
        for card in _object(text).get("SPDisplaysDataType", [])
        if "apple" in card.get("spdisplays_vendor", "").lower()
    ]


def _object(text: str) -> dict[str, Any]:
    """The JSON object in ``text``; rocm-smi prints warnings before it."""
    found = json.loads(text[max(0, text.find("{")) :])
    return found if isinstance(found, dict) else {}

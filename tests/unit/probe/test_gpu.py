"""GPUs as drivers' tools list them: recorded outputs only, no GPU was seen by these tests."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qvirt.probe.gpu import gpus, read_amd, read_apple, read_nvidia

# Values as in public reports of each tool's output.
NVIDIA = """NVIDIA TITAN V, GPU-b5169cef-2205-c30e-f2b3-220cfa14bafd, 12288, 570.86.15, 7.0
NVIDIA RTX 5880 Ada Generation, GPU-7518f6b0-991f-ce2b-3d37-c779130d3137, 49140, 570.86.15, 8.9
"""
NVIDIA_OLD = "GeForce RTX 2080, GPU-22b2c6ac-2d49-4863-197c-9c469071178a, 7979, 440.64\n"
AMD = {
    "card0": {
        "VRAM Total Memory (B)": "21458059264",
        "VRAM Total Used Memory (B)": "27856896",
        "Card Series": "Radeon RX 7900 XT",
        "Card Model": "0x744c",
        "GFX Version": "gfx1100",
    },
    "system": {"Driver version": "6.7.0"},
}
APPLE = {
    "SPDisplaysDataType": [
        {
            "_name": "Apple M3 Pro",
            "spdisplays_mtlgpufamilysupport": "spdisplays_metal3",
            "spdisplays_ndrvs": [{"_name": "Color LCD"}],
            "spdisplays_vendor": "sppci_vendor_Apple",
            "sppci_model": "Apple M3 Pro",
        },
        {"_name": "kHW_IntelIrisItem", "spdisplays_vendor": "Intel", "sppci_model": "Intel Iris"},
    ]
}


def test_nvidia() -> None:
    first, second = read_nvidia(NVIDIA)
    assert (first.name, first.memory, first.driver) == ("NVIDIA TITAN V", 12288 << 20, "570.86.15")
    assert second.compute_capability == "8.9"
    assert second.uuid == "GPU-7518f6b0-991f-ce2b-3d37-c779130d3137"


def test_nvidia_with_memory_it_shares_or_an_old_driver() -> None:
    assert read_nvidia(NVIDIA.replace("12288", "[N/A]"))[0].memory is None
    assert read_nvidia(NVIDIA_OLD)[0].compute_capability is None


def test_amd_whatever_the_case_of_its_keys() -> None:
    for cards in (AMD, {"card0": {"Card series": "Radeon RX 7900 XT"} | AMD["card0"]} | AMD):
        (found,) = read_amd(f"WARNING: low power\n{json.dumps(cards)}")
        assert (found.name, found.memory, found.driver) == ("Radeon RX 7900 XT", 21458059264, "6.7.0")
        assert found.compute_capability == "gfx1100"


def test_apple_lists_only_its_own() -> None:
    (found,) = read_apple(json.dumps(APPLE))
    assert (found.vendor, found.name, found.compute_capability) == ("Apple", "Apple M3 Pro", "metal3")


def program(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def test_no_tool_means_no_gpu_and_no_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpus() == ((), None)


def test_a_tool_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, "nvidia-smi", "echo 'NVIDIA-SMI has failed: no driver'; exit 9")
    program(tmp_path, "rocm-smi", "echo 'no such device'")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    found, reason = gpus()
    assert found == ()
    assert reason == "nvidia-smi: NVIDIA-SMI has failed: no driver; rocm-smi: an answer that cannot be read"


def test_a_driver_that_does_not_know_compute_capability(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse = 'echo "Field \\"compute_cap\\" is not a valid field to query."; exit 2'
    program(tmp_path, "nvidia-smi", f"case $1 in *compute_cap*) {refuse};; esac\necho '{NVIDIA_OLD.strip()}'")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    found, reason = gpus()
    assert ([gpu.name for gpu in found], reason) == (["GeForce RTX 2080"], None)

"""How much memory everything takes; nothing here loads torch, so that forecasts are free."""

from __future__ import annotations

from qvirt.model.run import Precision

SCALED_BLOCK = 64
"""Numbers that share a scale in float8."""

TILE_BITS = {"cpu": 18, "cuda": 24, "mps": 22}
"""log2 of the amplitudes that gates work on at a time."""

CHUNK_BITS = {"cpu": 16, "cuda": 23, "mps": 20}
"""log2 of the numbers that are read at a time."""

SHARED_FROM = 17
"""log2 of the amplitudes from which several threads work on one state: at every gate they wait for one
another, which on a busy machine takes them milliseconds."""

_TILES = 5
"""What gates take beside the state, in tiles: the tile, a gathered copy and a product; two for rounding."""

_COPIES = 6
_CHUNKS = 8
"""What reading takes: amplitudes as two planes of doubles, their partners, places and products."""


def tile_bits(device: str) -> int:
    return TILE_BITS[device.partition(":")[0]]


def chunk_bits(device: str) -> int:
    return CHUNK_BITS[device.partition(":")[0]]


def state_bytes(rows: int, num_qubits: int, precision: Precision) -> int:
    """What ``Amplitudes`` takes, to the octet."""
    size = 1 << num_qubits
    scales = 2 * size // min(SCALED_BLOCK, size) if precision is Precision.FLOAT8 else 0
    return rows * (size * precision.amplitude_bytes + scales)


def copied_bytes(rows: int, num_qubits: int, device: str) -> int:
    """What a reading of a GPU's state takes of the host: chances as doubles, their places and sums."""
    return _COPIES * 8 * min(rows << num_qubits, 1 << chunk_bits(device))


def work_bytes(rows: int, num_qubits: int, precision: Precision, device: str) -> int:
    """What gates and readings take beside it, at most."""
    amplitudes = rows << num_qubits
    tile = min(amplitudes, 1 << tile_bits(device)) * max(8, precision.amplitude_bytes)
    return _TILES * tile + _CHUNKS * 16 * min(amplitudes, 1 << chunk_bits(device))

"""Memory bandwidth, measured: each pass over a state vector costs its size twice over this."""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from math import ceil
from pathlib import Path

from qvirt.model.hardware import Usable
from qvirt.probe.command import run

_SECONDS = 0.4
_LINE = 64
_LEAST, _MOST = 64 << 20, 4 << 30


def bandwidth(usable: Usable, cache: Path | None, root: Path = Path("/")) -> tuple[float | None, str | None]:
    """Bytes read and written per second by all usable CPUs together; or None and the reason.

    Taken from the file ``cache`` where it was measured since the machine was booted, with as many CPUs.
    """
    key: dict[str, str | float] = {"boot": _boot(root), "cpus": _threads(usable)}
    known = _cached(cache, key)
    if known is not None:
        return known, None
    try:
        rate = update_rate(_threads(usable), _working_set(usable, root))
    except (OSError, RuntimeError, ValueError) as error:
        return None, f"cannot be measured: {error}"
    if cache is not None:
        _store(cache, {**key, "bytes_per_second": rate})
    return rate, None


def update_rate(
    threads: int, total: int, seconds: float = _SECONDS, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Bytes read and written per second by ``threads`` that update arrays of ``total`` bytes in place.

    In place, as a simulator updates its state: copying elsewhere is half as fast. An array is moved onto
    itself, one cache line further down. The best of as many rounds as fit in ``seconds`` counts, as in
    STREAM: all else only slows a round down. Raises OSError where the memory cannot be had.
    """
    size = total // threads // mmap.PAGESIZE * mmap.PAGESIZE

    def update(array: mmap.mmap) -> None:
        # A call by ctypes lets go of the interpreter's lock, so the threads run side by side.
        ctypes.memmove(_address(array), _address(array) + _LINE, size - _LINE)

    best = 0.0
    with ThreadPoolExecutor(threads) as pool:
        arrays = list(pool.map(_touched, [size] * threads))
        end = clock() + seconds
        while not best or clock() < end:
            start = clock()
            list(pool.map(update, arrays))
            best = max(best, 2 * size * threads / (clock() - start))
    return best


def _touched(size: int) -> mmap.mmap:
    """Memory written once: pages never written are all one page of zeros, which sits in the cache."""
    array = mmap.mmap(-1, size)
    with suppress(AttributeError, OSError):  # only Linux has huge pages, and not every kernel
        array.madvise(mmap.MADV_HUGEPAGE)
    ctypes.memset(_address(array), 1, size)
    return array


def _address(array: mmap.mmap) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(array))


def _threads(usable: Usable) -> int:
    return max(1, int(usable.cpus))


def _working_set(usable: Usable, root: Path) -> int:
    """Bytes: several times the caches of as many CPUs, and at most an eighth of the memory that is free."""
    caches = [_cache(folder) for folder in (root / "sys/devices/system/cpu/cpu0/cache").glob("index*")]
    size, shared_by = max(caches, default=(0, 1))
    wanted = 8 * size * ceil(_threads(usable) / shared_by)
    return min(max(wanted, _LEAST), _MOST, usable.memory_available // 8)


def _cache(folder: Path) -> tuple[int, int]:
    """Bytes of one cache, and the number of CPUs that share it."""
    size = (folder / "size").read_text().strip().removesuffix("K")
    shared = int((folder / "shared_cpu_map").read_text().strip().replace(",", ""), 16)
    return int(size) << 10, max(1, shared.bit_count())


def _boot(root: Path) -> str:
    try:
        return (root / "proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return run(["sysctl", "-n", "kern.bootsessionuuid"], timeout=2).out.strip()


def _cached(cache: Path | None, key: dict[str, str | float]) -> float | None:
    try:
        known = json.loads(cache.read_text()) if cache else {}
        return float(known["bytes_per_second"]) if all(known[name] == key[name] for name in key) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _store(cache: Path, content: dict[str, str | float]) -> None:
    """A figure that cannot be kept is measured again."""
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        new = cache.with_suffix(f".{os.getpid()}.new")
        new.write_text(json.dumps(content))
        new.replace(cache)
    except OSError:
        return

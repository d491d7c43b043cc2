"""One file format for the checkpoints of all engines.

    qvirt-checkpoint 1 CRC HEAD     one line; HEAD is a CheckpointHead as JSON, CRC that of its octets
    frame                           the engine's header as JSON
    frames                          the engine's chunks
    end mark                        a frame of no octets: what is cut off lacks it

A frame is its kind (raw, zstd or end), the octets stored, the octets they stand for and a checksum, then
what is stored. The checksum is CRC-32 over all of the file up to there: it finds every change of up to 32
bits in a row, and frames that are left out, doubled or swapped. It comes with Python and takes less time
than a disk; against forgery nothing is done here, whoever may write a checkpoint may run circuits too.

A chunk is compressed (zstd, its fastest level) where a sample of it becomes a tenth smaller. Amplitudes of
a random state do not; of a sparse or structured one they become next to nothing.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO

from qvirt.errors import CheckpointRefused, Unavailable
from qvirt.model.checkpoint import LONGEST_HEAD, CheckpointHead, cut_off, damaged, head_line, read_head
from qvirt.simulators.checkpoint import CHUNK, Checkpoint
from qvirt.units import show_bytes

Put = Callable[[bytes | memoryview], object]

_FRAME = struct.Struct(">BIII")
_RAW, _ZSTD, _END = b"rze"

_SAMPLE = 128 << 10
_WORTH = 0.9
_LEVEL = 1


def write(put: Put, head: CheckpointHead, checkpoint: Checkpoint) -> None:
    """``put`` the file, one chunk after the other, so that nothing is in memory twice."""
    _Writer(put).all(head, checkpoint)


@contextmanager
def opened(file: BinaryIO) -> Iterator[tuple[CheckpointHead, Checkpoint]]:
    """The checkpoint that ``file`` holds; its chunks are read, checked and unpacked as they are asked for.

    Raises CheckpointRefused with the reason where that is no whole checkpoint: also at the end of the
    block, where not all of it has been read.
    """
    reader = _Reader(file)
    head = reader.head()
    frames = reader.frames()
    yield head, Checkpoint(_header(next(frames, b"")), frames)
    if next(frames, None) is not None:
        raise CheckpointRefused("the checkpoint holds more than its engine takes")


class _Writer:
    def __init__(self, put: Put) -> None:
        self._put = put
        self._crc = 0
        self._compress = _compressor()

    def all(self, head: CheckpointHead, checkpoint: Checkpoint) -> None:
        line = head_line(head)
        self._put(line)
        self._crc = zlib.crc32(line)
        self._chunk(json.dumps(checkpoint.header).encode())
        for chunk in checkpoint.chunks:
            self._chunk(chunk)
        self._frame(_END, b"", 0)

    def _chunk(self, chunk: bytes | memoryview) -> None:
        if not len(chunk):
            return
        sample = chunk[:_SAMPLE]
        if len(self._compress(sample)) < _WORTH * len(sample):
            self._frame(_ZSTD, self._compress(chunk), len(chunk))
        else:
            self._frame(_RAW, chunk, len(chunk))

    def _frame(self, kind: int, stored: bytes | memoryview, size: int) -> None:
        self._crc = zlib.crc32(stored, zlib.crc32(struct.pack(">BII", kind, len(stored), size), self._crc))
        self._put(_FRAME.pack(kind, len(stored), size, self._crc))
        self._put(stored)


class _Reader:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._crc = 0

    def head(self) -> CheckpointHead:
        line = self._file.readline(LONGEST_HEAD)
        self._crc = zlib.crc32(line)
        return read_head(line)

    def frames(self) -> Iterator[bytes]:
        while True:
            kind, size, whole, crc = _FRAME.unpack(self._read(_FRAME.size))
            if size > 2 * CHUNK or whole > CHUNK:
                raise damaged(f"a chunk of {show_bytes(max(size, whole))} is larger than any")
            stored = self._read(size)
            self._crc = zlib.crc32(stored, zlib.crc32(struct.pack(">BII", kind, size, whole), self._crc))
            if self._crc != crc:
                raise damaged("it does not match its checksum")
            if kind == _END:
                break
            yield stored if kind == _RAW else _decompressed(stored, whole)
        if self._file.read(1):
            raise damaged("something follows its end")

    def _read(self, size: int) -> bytes:
        found = self._file.read(size)
        if len(found) < size:
            raise cut_off()
        return found


def _header(octets: bytes) -> Mapping[str, Any]:
    try:
        header = json.loads(octets)
    except ValueError:
        header = None
    if not isinstance(header, dict):
        raise CheckpointRefused("the checkpoint has no header of its engine")
    return header


def _compressor() -> Callable[[bytes | memoryview], bytes]:
    """Without the library nothing is compressed, and everything can be read."""
    try:
        import zstandard
    except ImportError:
        return bytes
    found: Callable[[bytes | memoryview], bytes] = zstandard.ZstdCompressor(level=_LEVEL).compress
    return found


def _decompressed(stored: bytes, size: int) -> bytes:
    try:
        import zstandard
    except ImportError:
        raise Unavailable(
            "the checkpoint is compressed, and the package zstandard is not installed here"
        ) from None
    try:
        # The size that the octets claim for themselves is not to be believed.
        if zstandard.frame_content_size(stored) == size:
            return bytes(zstandard.ZstdDecompressor().decompress(stored))
    except zstandard.ZstdError:
        pass
    raise damaged("a chunk cannot be unpacked")

"""Sweeps over the amplitudes in CUDA, written in Triton: one pass over the state each, in place.

A program of the grid takes a tile of some thousand amplitudes of one row into its registers: those that
differ in a group's bit positions and in the lowest others, so that memory is read in runs. As in qsim's CUDA
kernels (ApplyGateH and ApplyGateL, quantumlib.github.io/qsim), a group with low positions is read in the
order of addresses and put in that of the matrix in shared memory. The matrix is four real products by
``tl.dot``. Those of float32 and float64 are IEEE; where amplitudes are kept in less, tensor cores take them
as they are, sums are float32, and the matrix comes in two parts, so that only the storing rounds. Float8 is
e4m3 with an exponent for 64 numbers.

A phase that is quadratic in the bits is summed in integers, as parts of a turn: they wrap as angles do, and
nothing is lost however many there are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import triton
import triton.language as tl
from triton.language import constexpr

SCALED_RUN = 64
"""Numbers that share an exponent."""

OUTER = 32
"""Bit positions outside of a tile, at most."""

SIDE_BITS = 6
"""Of a tile of neighbours: log2 of its runs, and of the amplitudes in each."""

HEADER = 8
"""Of a table: tiles in a row, a row's amplitudes, where the first tile begins, mask and value of controls,
and what lies between the matrices (or the factors) of one row and of the next. Then comes what each bit of a
tile's number adds to where it begins; for a matrix, where its runs and its columns are."""

ENTRY = 48
"""Of a diagonal: mask, value, offset, width; then its positions."""
ENTRY_HEADER = 4

_OUTER = constexpr(OUTER)
_SIDE = constexpr(1 << SIDE_BITS)
_HEADER = constexpr(HEADER)
_ENTRY = constexpr(ENTRY)
_ENTRY_HEADER = constexpr(ENTRY_HEADER)
_SCALED_RUN = constexpr(SCALED_RUN)
_TILES, _SIZE, _START, _MASK, _VALUE, _STRIDE = (constexpr(place) for place in range(6))


def _kernel(function: Callable[..., Any]) -> Any:
    return triton.jit(function)


@_kernel
def _row_and_base(table):  # type: ignore[no-untyped-def]
    """The row of this program, and the first amplitude of its tile in it."""
    program = tl.program_id(0).to(tl.int64)
    tiles = tl.load(table + _TILES)
    tile = program % tiles
    bits = tl.arange(0, _OUTER)
    weights = tl.load(table + _HEADER + bits)
    return program // tiles, tl.load(table + _START) + tl.sum(((tile >> bits) & 1) * weights)


@_kernel
def _power(exponents):  # type: ignore[no-untyped-def]
    """Of two, as float32."""
    return ((exponents.to(tl.int32) + 127) << 23).to(tl.float32, bitcast=True)


@_kernel
def _decoded(octets, powers):  # type: ignore[no-untyped-def]
    """As float16 an e4m3 number is 2**8 times as small."""
    wide = octets.to(tl.uint16)
    half = ((wide & 0x80) << 8) | ((wide & 0x7F) << 7)
    return half.to(tl.float16, bitcast=True).to(tl.float32) * 256.0 * powers


@_kernel
def _encoded(numbers):  # type: ignore[no-untyped-def]
    """To the nearest e4m3, ties to even. Numbers are below 448."""
    bits = numbers.to(tl.int32, bitcast=True)
    size = tl.abs(numbers)
    magnitude = size.to(tl.int32, bitcast=True)
    normal = ((magnitude + 0x7FFFF + ((magnitude >> 20) & 1)) >> 20) - (120 << 3)
    # Where float32 ends at 2**-9, as numbers under 2**-6 do here.
    small = (size + 16384.0).to(tl.int32, bitcast=True) & 0xF
    octet = tl.where(size < 0.015625, small, normal)
    return (octet | ((bits >> 24) & 0x80)).to(tl.uint8)


@_kernel
def _exponent(numbers):  # type: ignore[no-untyped-def]
    """That a run of numbers has in common."""
    largest = tl.max(tl.abs(numbers), axis=1).to(tl.int32, bitcast=True)
    return tl.maximum((largest >> 23) - 126, -100) - 8


@_kernel
def _origin(table, row, base, run: constexpr, pairs: constexpr):  # type: ignore[no-untyped-def]
    """Where in the state's memory, in complex numbers or in those of a plane, ``base`` is: begins of runs."""
    size = tl.multiple_of(tl.load(table + _SIZE), _SCALED_RUN)
    return tl.multiple_of((row * size if pairs else 2 * row * size) + base, run)


@_kernel
def _read(state, scales, size, place, pairs: constexpr, scaled: constexpr):  # type: ignore[no-untyped-def]
    """Real and imaginary parts; ``place`` is (runs, run)."""
    if pairs:
        part = tl.arange(0, 2)
        both = tl.load(state + 2 * tl.expand_dims(place, 2) + part[None, None, :])
        real, imaginary = tl.split(both)
    else:
        real = tl.load(state + place)
        imaginary = tl.load(state + size + place)
    if scaled:
        block = tl.min(place, axis=1) // _SCALED_RUN
        real = _decoded(real, _power(tl.load(scales + block))[:, None])
        imaginary = _decoded(imaginary, _power(tl.load(scales + size // _SCALED_RUN + block))[:, None])
    return real, imaginary


@_kernel
def _write(state, scales, size, place, real, imaginary, pairs: constexpr, scaled: constexpr):  # type: ignore[no-untyped-def]
    if pairs:
        part = tl.arange(0, 2)
        both = tl.join(real, imaginary).to(state.dtype.element_ty)
        tl.store(state + 2 * tl.expand_dims(place, 2) + part[None, None, :], both)
    elif scaled:
        block = tl.min(place, axis=1) // _SCALED_RUN
        upper, lower = _exponent(real), _exponent(imaginary)
        tl.store(scales + block, upper.to(tl.int8))
        tl.store(scales + size // _SCALED_RUN + block, lower.to(tl.int8))
        tl.store(state + place, _encoded(real * _power(-upper)[:, None]))
        tl.store(state + size + place, _encoded(imaginary * _power(-lower)[:, None]))
    else:
        kind = state.dtype.element_ty
        tl.store(state + place, real.to(kind))
        tl.store(state + size + place, imaginary.to(kind))


@_kernel
def _ordered(numbers, order, group: constexpr, columns: constexpr, permuted: constexpr):  # type: ignore[no-untyped-def]
    """From the order of addresses to that of the matrix."""
    if permuted:
        flat = tl.reshape(numbers, [group * columns])
        numbers = tl.gather(flat, tl.load(order + tl.arange(0, group * columns)), 0)
    return tl.reshape(numbers, [group, columns])


@_kernel
def _put_back(numbers, order, group: constexpr, columns: constexpr, run: constexpr, permuted: constexpr):  # type: ignore[no-untyped-def]
    amount: constexpr = group * columns
    if permuted:
        flat = tl.reshape(numbers, [amount])
        numbers = tl.gather(flat, tl.load(order + amount + tl.arange(0, amount)), 0)
    return tl.reshape(numbers, [amount // run, run])


@_kernel
def dense(  # type: ignore[no-untyped-def]
    state,
    scales,
    matrices,
    table,
    order,
    group: constexpr,
    columns: constexpr,
    run: constexpr,
    parts: constexpr,
    pairs: constexpr,
    scaled: constexpr,
    permuted: constexpr,
    masked: constexpr,
):
    """A matrix on a group of bits: (rows or 1, parts, 2, group, group), real and imaginary."""
    row, base = _row_and_base(table)
    size = tl.multiple_of(tl.load(table + _SIZE), _SCALED_RUN)
    runs: constexpr = group * columns // run
    offsets = tl.load(table + _HEADER + _OUTER + tl.arange(0, runs))
    place = _origin(table, row, base + offsets, run, pairs)[:, None] + tl.arange(0, run)[None, :]
    real, imaginary = _read(state, scales, size, place, pairs, scaled)

    kind = matrices.dtype.element_ty
    wide: constexpr = tl.float64 if matrices.dtype.element_ty == tl.float64 else tl.float32
    real = _ordered(real, order, group, columns, permuted)
    imaginary = _ordered(imaginary, order, group, columns, permuted)
    factor = matrices + row * tl.load(table + _STRIDE) * (2 * parts * group * group)
    factor += tl.arange(0, group)[:, None] * group + tl.arange(0, group)[None, :]
    new_real = tl.zeros([group, columns], dtype=wide)
    new_imaginary = tl.zeros([group, columns], dtype=wide)
    right, turned = real.to(kind), imaginary.to(kind)
    for part in tl.static_range(parts):
        cosine = tl.load(factor + 2 * part * group * group)
        sine = tl.load(factor + (2 * part + 1) * group * group)
        new_real = tl.dot(cosine, right, new_real, input_precision="ieee", out_dtype=wide)
        new_real = tl.dot(sine, -turned, new_real, input_precision="ieee", out_dtype=wide)
        new_imaginary = tl.dot(cosine, turned, new_imaginary, input_precision="ieee", out_dtype=wide)
        new_imaginary = tl.dot(sine, right, new_imaginary, input_precision="ieee", out_dtype=wide)
    if masked:
        column = base + tl.load(table + _HEADER + _OUTER + runs + tl.arange(0, columns))
        holds = ((column & tl.load(table + _MASK)) == tl.load(table + _VALUE))[None, :]
        new_real = tl.where(holds, new_real, real.to(wide))
        new_imaginary = tl.where(holds, new_imaginary, imaginary.to(wide))
    new_real = _put_back(new_real, order, group, columns, run, permuted)
    new_imaginary = _put_back(new_imaginary, order, group, columns, run, permuted)
    _write(state, scales, size, place, new_real, new_imaginary, pairs, scaled)


@_kernel
def _cis(turn):  # type: ignore[no-untyped-def]
    """exp(2 pi i turn / 2**w) of integers of w bits."""
    if turn.dtype == tl.int64:
        angle = turn.to(tl.float64) * tl.full([1], 3.4061215800865545e-19, tl.float64)
    else:
        angle = turn.to(tl.float32) * 1.4629180792671596e-09
    return tl.cos(angle), tl.sin(angle)


@_kernel
def _inner(start):  # type: ignore[no-untyped-def]
    """Where the amplitudes of a tile of neighbours are."""
    lane = tl.arange(0, _SIDE)
    return start + lane[:, None] * _SIDE + lane[None, :]


@_kernel
def phase(state, scales, factors, turns, table, pairs: constexpr, scaled: constexpr):  # type: ignore[no-untyped-def]
    """``factors`` are the phases of a tile as it is where all bits outside are 0.

    What the bits outside add, in parts of a turn: ``turns`` has what they do among themselves, what to the
    six bits within a run, and what to those that number the runs.
    """
    row, start = _row_and_base(table)
    size = tl.multiple_of(tl.load(table + _SIZE), _SCALED_RUN)
    bit, eight = tl.arange(0, _OUTER), tl.arange(0, 8)
    outside = (((start // (_SIDE * _SIDE)) >> bit) & 1).to(turns.dtype.element_ty)
    among = tl.load(turns + bit[:, None] * _OUTER + bit[None, :])
    total = tl.sum(tl.sum(among * outside[:, None], axis=0).to(outside.dtype) * outside, axis=0)

    lane = tl.arange(0, _SIDE)
    bits = ((lane[:, None] >> eight[None, :]) & 1).to(outside.dtype)
    between = turns + _OUTER * _OUTER + eight[:, None] * _OUTER + bit[None, :]
    low = tl.sum(tl.load(between) * outside[None, :], axis=1).to(outside.dtype)
    high = tl.sum(tl.load(between + 8 * _OUTER) * outside[None, :], axis=1).to(outside.dtype)
    low_cosine, low_sine = _cis(tl.sum(bits * low[None, :], axis=1).to(outside.dtype))
    high_cosine, high_sine = _cis((tl.sum(bits * high[None, :], axis=1) + total).to(outside.dtype))

    inner = _inner(0)
    cosine, sine = tl.load(factors + 2 * inner), tl.load(factors + 2 * inner + 1)
    cosine, sine = _turned(cosine, sine, low_cosine[None, :], low_sine[None, :])
    cosine, sine = _turned(cosine, sine, high_cosine[:, None], high_sine[:, None])
    place = _origin(table, row, start, _SIDE, pairs) + inner
    real, imaginary = _read(state, scales, size, place, pairs, scaled)
    real, imaginary = _turned(real.to(cosine.dtype), imaginary.to(cosine.dtype), cosine, sine)
    _write(state, scales, size, place, real, imaginary, pairs, scaled)


@_kernel
def _turned(real, imaginary, cosine, sine):  # type: ignore[no-untyped-def]
    return real * cosine - imaginary * sine, real * sine + imaginary * cosine


@_kernel
def diagonals(state, scales, factors, table, entries, pairs: constexpr, scaled: constexpr):  # type: ignore[no-untyped-def]
    """A run of diagonals: the factors of each, complex, by the values of its bits."""
    row, start = _row_and_base(table)
    size = tl.multiple_of(tl.load(table + _SIZE), _SCALED_RUN)
    inner = _inner(0)
    place = _origin(table, row, start, _SIDE, pairs) + inner
    real, imaginary = _read(state, scales, size, place, pairs, scaled)
    kind = factors.dtype.element_ty
    real, imaginary = real.to(kind), imaginary.to(kind)
    for number in range(tl.load(entries)):
        entry = entries + 1 + number * _ENTRY
        key = inner.to(tl.int64) * 0
        for bit in range(tl.load(entry + 3)):
            position = tl.load(entry + _ENTRY_HEADER + bit)
            key |= (((start + inner) >> position) & 1) << bit
        factor = factors + row * tl.load(table + _STRIDE) + tl.load(entry + 2) * 2 + 2 * key
        holds = ((start + inner) & tl.load(entry)) == tl.load(entry + 1)
        new_real, new_imaginary = _turned(real, imaginary, tl.load(factor), tl.load(factor + 1))
        real, imaginary = tl.where(holds, new_real, real), tl.where(holds, new_imaginary, imaginary)
    _write(state, scales, size, place, real, imaginary, pairs, scaled)

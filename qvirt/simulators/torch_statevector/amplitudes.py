"""Amplitudes in memory: storage formats, and reading and writing a part of them for arithmetic.

Double and single precision are complex numbers. Half, bfloat16 and float8 are kept as two real planes
and computed with in float32, a tile at a time. Where a device has no good complex arithmetic (Apple's
MPS), tiles are two planes as well. Half is kept 2**(n/2) times as large, so that the amplitudes of a
spread state are near 1 and far from its smallest numbers. Float8 (e4m3) shares a power of two among 64
numbers, as in the OCP's microscaling formats.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from qvirt.model.run import Precision
from qvirt.simulators.torch_statevector.sizes import SCALED_BLOCK

_MOST_HALF_BITS = 15
"""log2 of what half is multiplied with, at most: it ends at 65504."""

_FLOAT8_BITS = 8
"""A block's largest number is brought to between 2**7 and 2**8; float8 ends at 448."""

_LEAST_EXPONENT = -100

Shape = Sequence[int]


@dataclass(frozen=True, slots=True)
class Format:
    """How amplitudes are kept, and what they are computed with."""

    storage: torch.dtype
    work: torch.dtype
    planes: bool
    """Two real numbers in two places, not next to one another."""

    complex_work: bool
    scaled: bool = False

    @property
    def is_work(self) -> bool:
        """What is kept can be computed with as it is."""
        return bool(self.storage == self.work)


def format_for(precision: Precision, device: str, planes: bool = False) -> Format:
    """``planes`` asks for real arithmetic where complex would do, as MPS always has it."""
    real = planes or device.startswith("mps")
    work = torch.float32 if real else torch.complex64
    match precision:
        case Precision.DOUBLE:
            if real:
                return Format(torch.float64, torch.float64, True, False)
            return Format(torch.complex128, torch.complex128, False, True)
        case Precision.SINGLE:
            return Format(work, work, real, not real)
        case Precision.HALF:
            return Format(torch.float16, work, True, not real)
        case Precision.BFLOAT16:
            return Format(torch.bfloat16, work, True, not real)
        case Precision.FLOAT8:
            return Format(torch.float8_e4m3fn, work, True, not real, scaled=True)


class Amplitudes:
    """``rows`` states of ``num_qubits`` qubits: ``tensor`` is (rows, 2**n) complex, or (rows, 2, 2**n).

    Float8 is kept as octets, which every device can move; ``scales`` are its exponents.
    """

    def __init__(self, rows: int, num_qubits: int, kept: Format, device: str) -> None:
        self.num_qubits = num_qubits
        self.format = kept
        self.device = device
        size = 1 << num_qubits
        self.block = min(SCALED_BLOCK, size)
        dtype = torch.uint8 if kept.scaled else kept.storage
        self.tensor = torch.empty(
            (rows, 2, size) if kept.planes else (rows, size), dtype=dtype, device=device
        )
        self.scales: torch.Tensor | None = None
        if kept.scaled:
            self.scales = torch.empty((rows, 2, size // self.block), dtype=torch.int8, device=device)
        self._scratch: torch.Tensor | None = None

    @classmethod
    def over(cls, tensor: torch.Tensor, precision: Precision, device: str) -> Amplitudes:
        """Complex numbers that are there already."""
        state = cls(0, tensor.shape[-1].bit_length() - 1, format_for(precision, device), device)
        state.tensor = tensor
        return state

    @property
    def rows(self) -> int:
        return int(self.tensor.shape[0])

    @property
    def sum_type(self) -> torch.dtype:
        """What sums are taken in."""
        return torch.float32 if self.device.startswith("mps") else torch.float64

    def scratch(self) -> torch.Tensor:
        """A second buffer like ``tensor``."""
        if self._scratch is None or self._scratch.shape != self.tensor.shape:
            self._scratch = torch.empty_like(self.tensor)
        return self._scratch

    def swap(self) -> None:
        """What was written to the scratch is the state from now on."""
        self.tensor, self._scratch = self.scratch(), self.tensor

    def zero(self) -> None:
        """Every row in the state |0...0>."""
        self.tensor.zero_()
        if self.scales is not None:
            self.scales.zero_()
        first = self.read(slice(None), (1 << self.num_qubits,), (slice(0, self.block),))
        first[..., 0].fill_(1) if self.format.complex_work else first[:, 0, 0].fill_(1)
        self.write(slice(None), (1 << self.num_qubits,), (slice(0, self.block),), first)

    def select(self, rows: torch.Tensor) -> Amplitudes:
        """The rows with these numbers, in their order; a row may stand more than once."""
        chosen = object.__new__(Amplitudes)
        chosen.num_qubits, chosen.format, chosen.device = self.num_qubits, self.format, self.device
        chosen.block = self.block
        chosen.tensor = self.tensor.index_select(0, rows)
        chosen.scales = None if self.scales is None else self.scales.index_select(0, rows)
        chosen._scratch = None
        return chosen

    def kept(self) -> list[torch.Tensor]:
        """All that there is of it; the rows are the first axis."""
        return [self.tensor] if self.scales is None else [self.tensor, self.scales]

    def planes(self, work: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The real and the imaginary parts of what ``read`` gave, in what sums are taken in."""
        planes = (work.real, work.imag) if self.format.complex_work else (work[:, 0], work[:, 1])
        return planes[0].to(self.sum_type), planes[1].to(self.sum_type)

    def read(self, rows: slice, shape: Shape, index: tuple[Any, ...]) -> torch.Tensor:
        """A part, to compute with: (rows, amplitudes), or (rows, 2, amplitudes) without complex arithmetic.

        The last axis is seen as of ``shape``, and ``index`` says what of it is wanted. It may be the memory
        of the state itself.
        """
        part = self._part(self.tensor, rows, shape, index)
        if self.format.is_work:
            return part.reshape(*part.shape[: 2 if self.format.planes else 1], -1).contiguous()
        part = part.reshape(part.shape[0], 2, -1)
        if self.scales is not None:
            numbers = self._unscaled(part, self._scale_part(rows, shape, index).reshape(part.shape[0], 2, -1))
        else:
            numbers = part.float() / self._factor
        return torch.complex(numbers[:, 0], numbers[:, 1]) if self.format.complex_work else numbers

    def write(self, rows: slice, shape: Shape, index: tuple[Any, ...], work: torch.Tensor) -> None:
        """Put back what ``read`` gave with the same arguments."""
        part = self._part(self.tensor, rows, shape, index)
        if self.format.is_work:
            if part.data_ptr() != work.data_ptr():
                part.copy_(work.reshape(part.shape))
            return
        numbers = torch.stack((work.real, work.imag), 1) if self.format.complex_work else work
        if self.scales is None:
            part.copy_((numbers * self._factor).reshape(part.shape))
            return
        octets, exponents = self._rescaled(numbers)
        part.copy_(octets.reshape(part.shape))
        scales = self._scale_part(rows, shape, index)
        scales.copy_(exponents.reshape(scales.shape))

    def chunk(self, rows: slice, start: int, length: int) -> torch.Tensor:
        """``length`` amplitudes from ``start`` on, a multiple of ``block`` both, as ``read`` gives them."""
        return self.read(rows, (1 << self.num_qubits,), (slice(start, start + length),))

    def weights(self, rows: slice, start: int, length: int) -> torch.Tensor:
        """The squares of the amplitudes from ``start`` on: (rows, length)."""
        real, imaginary = self.planes(self.chunk(rows, start, length))
        return real.square() + imaginary.square()

    @property
    def _factor(self) -> float:
        if self.format.storage != torch.float16:
            return 1.0
        return float(1 << min(self.num_qubits // 2, _MOST_HALF_BITS))

    def _part(self, tensor: torch.Tensor, rows: slice, shape: Shape, index: tuple[Any, ...]) -> torch.Tensor:
        chosen = tensor[rows]
        everywhere = ((slice(None),) * (tensor.dim() - 1)) + index
        return chosen.view(*chosen.shape[:-1], *shape)[everywhere]

    def _scale_part(self, rows: slice, shape: Shape, index: tuple[Any, ...]) -> torch.Tensor:
        assert self.scales is not None  # noqa: S101
        last = index[-1]
        if last != slice(None):
            last = slice(last.start // self.block, last.stop // self.block)
        return self._part(self.scales, rows, (*shape[:-1], shape[-1] // self.block), (*index[:-1], last))

    def _unscaled(self, octets: torch.Tensor, exponents: torch.Tensor) -> torch.Tensor:
        numbers = octets.contiguous().view(torch.float8_e4m3fn).float()
        blocks = numbers.view(*exponents.shape, self.block)
        return torch.ldexp(blocks, exponents.unsqueeze(-1).int()).view(numbers.shape)

    def _rescaled(self, numbers: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        blocks = numbers.reshape(*numbers.shape[:-1], -1, self.block)
        _, exponents = torch.frexp(blocks.abs().amax(-1))
        exponents = exponents.clamp_(min=_LEAST_EXPONENT) - _FLOAT8_BITS
        scaled = torch.ldexp(blocks, -exponents.unsqueeze(-1))
        octets = scaled.to(torch.float8_e4m3fn).view(torch.uint8)
        return octets.view(numbers.shape), exponents.to(torch.int8)

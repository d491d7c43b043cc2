"""The fast path on CPUs: sweeps over blocks that fit the cache, every gate a complex matrix product.

The qubits of a matrix stand next to one another in the block, so a product needs no transposition: from
the left on the highest ones, from the right on the lowest ones, batched between. Blocks of nothing but
zeros are left as they are: a state that few qubits have entered is swept in that part only. Threads take
one block after the other; torch lets go of the interpreter's lock in every operation.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import Any

import torch

from qvirt.model.run import Precision
from qvirt.simulators.torch_statevector import kernels
from qvirt.simulators.torch_statevector.amplitudes import Amplitudes
from qvirt.simulators.torch_statevector.blocks import BLOCK_BITS, LOW_BITS, block_bits
from qvirt.simulators.torch_statevector.fusion import Phase, Step, fuse
from qvirt.simulators.torch_statevector.operations import Dense, Diagonal, Matrix, Operation, Permutation
from qvirt.simulators.torch_statevector.stages import ROW_BITS, Stage, window
from qvirt.simulators.torch_statevector.sweeps import Sweep, sweeps
from qvirt.simulators.torch_statevector.unitary import Traits

_LEAST_ROW_BITS = 3

_LEAST_SHARED_QUBITS = 15
"""Of a state that is one block: below, one thread is as fast as several."""

Call = Callable[[], Any]


class BlockedUnitary:
    def __init__(
        self, operations: Sequence[Operation], num_qubits: int, traits: Traits, bits: int | None = None
    ) -> None:
        self._num_qubits = num_qubits
        self._num_threads = traits.threads
        self._type = torch.complex128 if traits.precision is Precision.DOUBLE else torch.complex64
        self._block_bits = min(num_qubits, bits or block_bits(num_qubits, traits.precision, traits.threads))
        self._sweeps, self.moved = sweeps(fuse(operations, num_qubits), num_qubits, self._block_bits)

    def __len__(self) -> int:
        return len(self._sweeps)

    @cached_property
    def _buffers(self) -> list[list[torch.Tensor]]:
        """Two for each thread; fresh memory for every sweep would take as long as a step."""
        size = 1 << self._block_bits
        return [[torch.empty(size, dtype=self._type) for _ in range(2)] for _ in range(self._num_threads)]

    def run(self, amplitudes: Amplitudes, index: int) -> None:
        # Small products and tables take longer to share than to make.
        with _threads(1):
            sweep = _Prepared(self._sweeps[index], self._num_qubits, self._type)
            if self._block_bits < self._num_qubits:
                for row in amplitudes.tensor:
                    sweep.run(row, self._buffers)
                return
        with _threads(1 if self._num_qubits < _LEAST_SHARED_QUBITS else self._num_threads):
            for rows in amplitudes.tensor.split(max(1, 1 << BLOCK_BITS >> self._num_qubits)):
                state = rows if len(rows) > 1 else rows[0]
                worker = _Worker(sweep, state, [state, torch.empty_like(state)])
                worker.whole()
                worker.close()


def is_for(operations: Sequence[Operation], traits: Traits) -> bool:
    """Whether there is one matrix for all rows, in numbers that a CPU computes with."""
    batched = any(_is_batched(operation) for operation in operations)
    exact = traits.precision in (Precision.SINGLE, Precision.DOUBLE)
    return traits.device == "cpu" and exact and not batched


def _is_batched(operation: Operation) -> bool:
    if isinstance(operation, Dense):
        return operation.matrix.ndim > 2
    return isinstance(operation, Diagonal) and operation.diagonal.ndim > 1


@dataclass(frozen=True, slots=True)
class _Factors:
    """Of a phase, for each block: over the high bits (blocks, 2**h, 1), the low (blocks, 1, 2**l), both."""

    high: torch.Tensor
    low: torch.Tensor
    both: torch.Tensor | None


class _Prepared:
    """A sweep with its matrices, phases and moves as tensors; each thread has buffers of its own."""

    def __init__(self, sweep: Sweep, num_qubits: int, dtype: torch.dtype) -> None:
        self._sweep = sweep
        self._type = dtype
        self._bits = len(sweep.local)
        self._outer = [position for position in range(num_qubits) if position not in set(sweep.local)]
        self._tensors = {
            id(step): self._tensor(step, stage) for stage in sweep.stages for step in stage.steps
        }
        self._moves = [
            _Move(before, stage.order, dtype)
            for before, stage in zip(
                [sweep.order, *(s.order for s in sweep.stages)], sweep.stages, strict=False
            )
        ]
        self.shape = (2,) * self._bits
        run = next((i for i, position in enumerate(sweep.local) if position != i), self._bits)
        self._row_bits = min(self._moves[0].common, run)
        self.gathers_in_order = self._moves[0].sources is None or self._row_bits < ROW_BITS
        places = [sweep.local[sweep.order.index(qubit)] for qubit in sweep.stages[0].order]
        self._rows = (
            None
            if self.gathers_in_order
            else _numbers([place - self._row_bits for place in places[self._row_bits :]])
        )

    def gather(self, part: torch.Tensor, block: torch.Tensor) -> None:
        """``part`` begins at the block's first amplitude."""
        if self._rows is None:
            block.view(self.shape).copy_(self.place(part, 0))
            return
        length = len(part) >> self._row_bits << self._row_bits
        rows = _rows(part[:length], self._row_bits)
        torch.index_select(rows, 0, self._rows, out=_rows(block, self._row_bits))

    def place(self, state: torch.Tensor, outer: int) -> torch.Tensor:
        """The block's amplitudes in the state."""
        strides = [1 << position for position in reversed(self._sweep.local)]
        return torch.as_strided(state, self.shape, strides, state.storage_offset() + outer)

    def run(self, state: torch.Tensor, buffers: Sequence[list[torch.Tensor]]) -> None:
        blocks = iter(range(1 << len(self._outer)))
        lock = threading.Lock()

        def work(own: list[torch.Tensor]) -> None:
            with _threads(1):
                worker = _Worker(self, state, own)
                while True:
                    with lock:
                        block = next(blocks, None)
                    if block is None:
                        worker.close()
                        return
                    worker.block(block)

        with ThreadPoolExecutor(len(buffers)) as pool:
            for done in [pool.submit(work, own) for own in buffers]:
                done.result()

    def _tensor(self, step: Step, stage: Stage) -> Any:
        if isinstance(step, Phase):
            return self._factors(step, stage.order)
        if isinstance(step, Dense) and not step.controls:
            return torch.as_tensor(_reordered(step, stage.order)).to(self._type)
        return None

    def _factors(self, phase: Phase, order: Sequence[int]) -> _Factors:
        split = min(LOW_BITS, self._bits)
        parts = [list(self._sweep.outer), list(order[split:]), list(order[:split])]
        outer, high, low = tables = [_bit_table(len(part)) for part in parts]
        pairs = torch.as_tensor(phase.coupling + phase.coupling.T)
        linear = torch.as_tensor(phase.linear)

        def alone(part: int) -> torch.Tensor:
            return (
                tables[part] @ linear[parts[part]]
                + ((tables[part] @ coupled(part, part)) * tables[part]).sum(1) / 2
            )

        def coupled(a: int, b: int) -> torch.Tensor:
            return pairs[parts[a]][:, parts[b]]

        over_high = (alone(0) + phase.constant)[:, None] + alone(1) + outer @ coupled(0, 1) @ high.T
        over_low = alone(2) + outer @ coupled(0, 2) @ low.T
        both = high @ coupled(1, 2) @ low.T if coupled(1, 2).any() else None
        return _Factors(
            self._turned(over_high).unsqueeze(2),
            self._turned(over_low).unsqueeze(1),
            None if both is None else self._turned(both),
        )

    def _turned(self, angles: torch.Tensor) -> torch.Tensor:
        """exp(i angle); brought to small angles before it is rounded."""
        angles = angles.remainder_(2 * math.pi).to(self._type.to_real())
        return torch.polar(torch.ones_like(angles), angles)


class _Worker:
    """One thread's buffers, and the calls that take a block through the sweep in them.

    A state that is one block is such a buffer itself; then there may be several, (rows, 2**n).
    """

    def __init__(self, prepared: _Prepared, state: torch.Tensor, buffers: list[torch.Tensor]) -> None:
        self._prepared = prepared
        self._state = state
        self._block = 0
        self._buffers = buffers
        self._now = 0
        self._calls = list(self._prepare_calls(gathers=bool(prepared._outer)))

    def whole(self) -> None:
        for call in self._calls:
            call()
        if self._now:
            self._state.copy_(self._buffers[1])

    def close(self) -> None:
        """Its calls know it, and so would keep it and the state until the next collection of garbage."""
        self._calls.clear()

    def block(self, block: int) -> None:
        prepared = self._prepared
        self._block = block
        outer = _deposit(block, prepared._outer)
        prepared.gather(self._state[outer:], self._buffers[0])
        if self._is_zero():
            return
        for call in self._calls:
            call()
        prepared.place(self._state, outer).copy_(self._buffers[self._now].view(prepared.shape))

    def _is_zero(self) -> bool:
        return not self._buffers[0][0].item() and not torch.view_as_real(self._buffers[0]).any().item()

    def _prepare_calls(self, gathers: bool) -> Iterator[Call]:
        prepared = self._prepared
        for number, stage in enumerate(prepared._sweep.stages):
            move = prepared._moves[number]
            if move.sources is not None and not (gathers and number == 0 and not prepared.gathers_in_order):
                source, target = self._turn()
                rows = _rows(source, move.bits)
                yield partial(
                    torch.index_select, rows, source.dim() - 1, move.sources, out=_rows(target, move.bits)
                )
            for step in stage.steps:
                yield self._call(step, stage.order)

    def _turn(self) -> tuple[torch.Tensor, torch.Tensor]:
        source = self._buffers[self._now]
        self._now = 1 - self._now
        return source, self._buffers[self._now]

    def _call(self, step: Step, order: Sequence[int]) -> Call:
        tensor = self._prepared._tensors[id(step)]
        if isinstance(step, Phase):
            return partial(self._turn_phases, tensor, self._buffers[self._now])
        if tensor is None:
            return partial(self._large, step, order, self._buffers[self._now])
        return _product(tensor, window(order, step.qubits), *self._turn())

    def _turn_phases(self, factors: _Factors, buffer: torch.Tensor) -> None:
        table = buffer.view(-1, factors.high.shape[1], factors.low.shape[2])
        if factors.both is not None:
            table.mul_(factors.both)
        table.mul_(factors.high[self._block]).mul_(factors.low[self._block])

    def _large(self, operation: Operation, order: Sequence[int], buffer: torch.Tensor) -> None:
        """A gate with many controls, or a large diagonal."""
        place = {qubit: number for number, qubit in enumerate(order)}
        fixed = {q: self._block >> bit & 1 for bit, q in enumerate(self._prepared._sweep.outer)}
        _large(buffer.view(-1, 1 << len(order)), operation, place, fixed)


def _product(matrix: torch.Tensor, first: int | None, source: torch.Tensor, target: torch.Tensor) -> Call:
    size = len(matrix)
    assert first is not None  # noqa: S101
    if first == 0:
        return partial(torch.mm, source.view(-1, size), matrix.t(), out=target.view(-1, size))
    shape = (-1, size, 1 << first)
    left, right = source.view(shape), target.view(shape)
    if len(left) == 1:
        return partial(torch.mm, matrix, left[0], out=right[0])
    return partial(torch.bmm, matrix.expand(len(left), size, size), left, out=right)


class _Move:
    """Row i of the block comes from row ``sources[i]``; None where nothing moves. Rows have 2**bits."""

    def __init__(self, before: Sequence[int], after: Sequence[int], dtype: torch.dtype) -> None:
        self.common = next(
            (i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b), len(after)
        )
        self.bits = _row_bits(self.common, dtype)
        places = [before.index(qubit) - self.bits for qubit in after[self.bits :]]
        self.sources = None if self.common == len(after) else _numbers(places)


def _row_bits(common: int, dtype: torch.dtype) -> int:
    """Rows of four amplitudes move slower than twice as many of two."""
    if common >= _LEAST_ROW_BITS:
        return common
    return int(common > 0 and dtype == torch.complex64)


def _numbers(places: Sequence[int]) -> torch.Tensor:
    """All numbers whose bits stand at ``places``, counting by the bits in their order."""
    if len(places) > LOW_BITS:
        return (_numbers(places[LOW_BITS:])[:, None] + _numbers(places[:LOW_BITS])).view(-1)
    wide = max(places, default=0) >= 31
    numbers = torch.zeros(1, dtype=torch.int64 if wide else torch.int32)
    for place in places:
        numbers = torch.cat((numbers, numbers + (1 << place)))
    return numbers


def _rows(amplitudes: torch.Tensor, bits: int) -> torch.Tensor:
    """Torch selects numbers several times faster than short rows: two amplitudes are taken as one."""
    if bits == 1:
        return amplitudes.view(torch.complex128)
    return amplitudes.view(*amplitudes.shape[:-1], -1, 1 << bits) if bits else amplitudes


def _deposit(number: int, places: Sequence[int]) -> int:
    return sum((number >> bit & 1) << place for bit, place in enumerate(places))


@lru_cache(maxsize=8)
def _bit_table(width: int) -> torch.Tensor:
    """Row i holds the bits of i, the lowest first."""
    return (torch.arange(1 << width)[:, None] >> torch.arange(width) & 1).double()


def _reordered(step: Dense, order: Sequence[int]) -> Matrix:
    """The matrix for the order in which its qubits stand in the block."""
    width = len(step.qubits)
    standing = sorted(step.qubits, key=order.index)
    axes = [width - 1 - step.qubits.index(qubit) for qubit in reversed(standing)]
    tensor = step.matrix.reshape((2,) * (2 * width))
    matrix: Matrix = tensor.transpose(*axes, *(axis + width for axis in axes)).reshape(step.matrix.shape)
    return matrix


def _large(numbers: torch.Tensor, operation: Operation, place: dict[int, int], fixed: dict[int, int]) -> None:
    """Where qubits and controls are in the block, or what they are in it."""
    controls: dict[int, int] = {}
    for bit, qubit in enumerate(operation.controls):
        wanted = operation.values >> bit & 1
        if qubit in place:
            controls[place[qubit]] = wanted
        elif fixed[qubit] != wanted:
            return
    qubits = [place[qubit] for qubit in operation.qubits if qubit in place]
    if isinstance(operation, Permutation):
        kernels.permutation(numbers, qubits, operation.targets, controls)
    elif isinstance(operation, Dense):
        kernels.dense(numbers, qubits, torch.as_tensor(operation.matrix).to(numbers.dtype), controls)
    else:
        factors = torch.as_tensor(operation.diagonal).to(numbers.dtype).view((2,) * len(operation.qubits))
        index = tuple(fixed.get(qubit, slice(None)) for qubit in reversed(operation.qubits))
        kernels.diagonal(numbers, qubits, factors[index].reshape(-1), controls)


@contextmanager
def _threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)

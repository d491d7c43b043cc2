"""States on a device: what is read from amplitudes, and what measuring does to them.

A state has rows, one or a batch of them, and qubits that may be anywhere in the amplitudes' index:
``wires`` says where, so that a swap is a renaming. Sums are taken in chunks and in double precision;
norms that are not quite 1 do no harm.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from qiskit.quantum_info import SparsePauliOp

from qvirt.simulators.starting import blocks
from qvirt.simulators.torch_statevector import plain, sizes
from qvirt.simulators.torch_statevector.amplitudes import Amplitudes, format_for
from qvirt.simulators.torch_statevector.flow import Noisy
from qvirt.simulators.torch_statevector.kernels import exposed
from qvirt.simulators.torch_statevector.operations import Dense, Diagonal, Operation, placed
from qvirt.simulators.torch_statevector.unitary import Traits, Unitary

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


class State:
    """``num_qubits`` is the circuit's; a row holds 2**n amplitudes."""

    def __init__(
        self, num_qubits: int, amplitudes: Amplitudes, layout: Sequence[int], traits: Traits
    ) -> None:
        self.num_qubits = num_qubits
        self.amplitudes = amplitudes
        self.wires = list(layout)
        self.traits = traits

    @classmethod
    def zero(cls, rows: int, num_qubits: int, traits: Traits, planes: bool = False) -> State:
        """Every row in |0...0>; ``planes`` for real arithmetic where complex would do."""
        bits = cls.bits(num_qubits)
        kept = format_for(traits.precision, traits.device, planes)
        amplitudes = Amplitudes(rows, bits, kept, traits.device)
        amplitudes.zero()
        return cls(num_qubits, amplitudes, range(num_qubits), traits)

    def set(self, amplitudes: NDArray[np.complexfloating]) -> None:
        """The first row, from amplitudes in Qiskit's order, while no qubit has been moved."""
        kept = self.amplitudes.format
        kind = torch.complex128 if kept.work in (torch.complex128, torch.float64) else torch.complex64
        for start, block in blocks(amplitudes, self._length):
            part = torch.from_numpy(block).to(kind)
            work = part if kept.complex_work else torch.stack((part.real, part.imag))
            index = (slice(start, start + self._length),)
            work = work.to(self.traits.device).unsqueeze(0)
            self.amplitudes.write(slice(0, 1), (1 << self.num_qubits,), index, work)

    @staticmethod
    def bits(num_qubits: int) -> int:
        """Positions in the index of a row."""
        return num_qubits

    @property
    def layout(self) -> list[int]:
        """All that says which amplitude is which."""
        return self.wires

    @property
    def rows(self) -> int:
        return self.amplitudes.rows

    def renamed(self, qubits: Sequence[int]) -> None:
        """Qubit q is from now on what qubit ``qubits[q]`` was."""
        self.wires = [self.wires[qubit] for qubit in qubits]

    def moved(self, unitary: Unitary) -> None:
        """All sweeps of ``unitary`` have been run."""
        self.wires = [unitary.moved[wire] for wire in self.wires]

    def operations(self, found: Iterable[Operation | Noisy]) -> Iterator[Operation]:
        """On positions. Channels are drawn here, and are no operations."""
        unmoved = self.wires == list(range(self.num_qubits))
        for each in found:
            assert not isinstance(each, Noisy)  # noqa: S101
            yield each if unmoved else placed(each, self.wires)

    def apply(self, operations: Sequence[Operation]) -> None:
        """Operations on qubits, at once and without compiling them."""
        plain.once(self.amplitudes, list(self.operations(operations)), self.traits)

    def select(self, rows: Rows) -> State:
        """A copy of these rows, in this order."""
        numbers = torch.as_tensor(rows, device=self.traits.device)
        return type(self)(self.num_qubits, self.amplitudes.select(numbers), self.layout, self.traits)

    def put(self, rows: Rows, other: State) -> None:
        """``other``, which has the same wires, over these rows."""
        numbers = torch.as_tensor(rows, device=self.traits.device)
        for mine, theirs in zip(self.amplitudes.kept(), other.amplitudes.kept(), strict=True):
            mine.index_copy_(0, numbers, theirs)

    def norm(self) -> Floats:
        """Of each row, squared."""
        return sum((self._sums(start) for start in self._starts()), np.zeros(self.rows))

    def chance_of_one(self, qubit: int) -> Floats:
        """That reading ``qubit`` gives 1, for each row."""
        wire, length = self.wires[qubit], self._length
        found = np.zeros((2, self.rows))
        for rows, start in self._parts():
            weights = self._weights(rows, start, length)
            if 1 << wire < length:
                sums = weights.view(weights.shape[0], -1, 2, 1 << wire).sum((1, 3)).T
                found[:, rows] += sums.cpu().numpy()
            else:
                found[start >> wire & 1, rows] += weights.sum(1).cpu().numpy()
        return np.asarray(found[1] / found.sum(0))

    def collapse(self, qubit: int, outcomes: NDArray[np.bool_], chances: Floats, reset: bool = False) -> None:
        """Each row to what it is after its outcome, which had its chance; with ``reset`` back to 0."""
        factors = np.zeros((self.rows, 2), np.complex128)
        factors[np.arange(self.rows), outcomes.astype(int)] = chances**-0.5
        if not reset:
            self.apply([Diagonal((qubit,), factors)])
            return
        matrices = np.zeros((self.rows, 2, 2), np.complex128)
        matrices[:, 0] = factors
        self.apply([Dense((qubit,), matrices)])

    def reduced(self, qubits: Sequence[int]) -> NDArray[np.complex128]:
        """The density matrix of ``qubits`` (the first is bit 0), for each row: (rows, 2**k, 2**k)."""
        amplitudes, wires = self.amplitudes, [self.wires[qubit] for qubit in qubits]
        tile_bits = sizes.tile_bits(self.traits.device)
        low = plain.low_bits(amplitudes.num_qubits, tile_bits)
        size = 1 << len(qubits)
        found = np.zeros((self.rows, size, size), np.complex128)
        for tile in plain.tiles(amplitudes, low, sorted(w for w in wires if w >= low), tile_bits):
            numbers = amplitudes.read(tile.rows, tile.shape, tile.index)
            places = [tile.place[wire] for wire in wires]
            planes = [numbers] if numbers.is_complex() else [numbers[:, 0], numbers[:, 1]]
            parts = [exposed(part, places, {}).reshape(len(part), size, -1) for part in planes]
            part = parts[0] if len(parts) == 1 else torch.complex(parts[0].cpu(), parts[1].cpu())
            found[tile.rows] += torch.matmul(part, part.mH).cpu().numpy()
        trace = np.trace(found, axis1=1, axis2=2)
        return np.asarray(found / trace[:, None, None])

    def sample(self, shots: Rows, generator: np.random.Generator) -> Rows:
        """Basis states, ``shots[row]`` of each row, row by row and each row's in random order.

        Bit ``wires[q]`` of one is qubit q.
        """
        if self.rows > 1 and self._length == 1 << self.num_qubits:
            return self._sample_rows(shots, generator)
        drawn = [self._sample_row(row, int(count), generator) for row, count in enumerate(shots) if count]
        return np.concatenate(drawn) if drawn else np.empty(0, np.int64)

    def sample_each(self, shots: int, generators: Sequence[np.random.Generator]) -> list[Rows]:
        """``shots`` of each row, each with a generator of its own."""
        if self._length < 1 << self.num_qubits:
            return [self._sample_row(row, shots, each) for row, each in enumerate(generators)]
        drawn = []
        for rows, start in self._parts():
            weights = self._weights(rows, start, self._length).cpu().to(torch.float64).numpy()
            for steps, generator in zip(np.cumsum(weights, axis=1), generators[rows], strict=True):
                places = np.searchsorted(steps, generator.random(shots) * steps[-1], side="right")
                drawn.append(np.minimum(places, self._length - 1))
        return drawn

    def marginal(self, qubits: Sequence[int]) -> Floats:
        """Chances of what ``qubits`` are (the first is bit 0), for each row: (rows, 2**k)."""
        found = np.zeros((self.rows, 1 << len(qubits)))
        for rows, start in self._parts():
            weights = self._weights(rows, start, self._length).cpu().to(torch.float64)
            states = torch.arange(start, start + self._length)
            keys = sum(
                ((states >> self.wires[q] & 1) << bit for bit, q in enumerate(qubits)),
                torch.zeros_like(states),
            )
            sums = torch.zeros(len(weights), found.shape[1], dtype=torch.float64)
            found[rows] += sums.index_add_(1, keys, weights).numpy()
        return np.asarray(found / found.sum(1, keepdims=True))

    def expectation(self, observable: SparsePauliOp) -> Floats:
        """For each row. Paulis that flip the same qubits are one group and share their products."""
        groups: defaultdict[int, list[tuple[int, complex]]] = defaultdict(list)
        for x, z, coefficient in zip(
            observable.paulis.x, observable.paulis.z, observable.coeffs, strict=True
        ):
            factor = complex(coefficient) * 1j ** int(np.sum(x & z))
            groups[self._mask(x)].append((self._mask(z), factor))
        total, norm = np.zeros(self.rows), np.zeros(self.rows)
        for rows, start in self._parts():
            states = torch.arange(start, start + self._length, device=self.traits.device)
            norm[rows] += self._weights(rows, start, self._length).sum(1).cpu().numpy()
            for x, terms in groups.items():
                real, imaginary = self._products(rows, x, states)
                for z, factor in terms:
                    signs = (1 - 2 * _parity(states & z)).to(real.dtype)
                    mean = factor.real * (real @ signs)
                    if imaginary is not None:
                        mean -= factor.imag * (imaginary @ signs)
                    total[rows] += mean.cpu().numpy()
        return total / norm

    def numpy(self) -> NDArray[np.complex128]:
        """The first row in Qiskit's order, with norm 1."""
        state = np.empty(1 << self.num_qubits, np.complex128)
        for start in self._starts():
            work = self.amplitudes.chunk(slice(0, 1), start, self._length)
            part = work[0] if work.is_complex() else torch.complex(work[0, 0].cpu(), work[0, 1].cpu())
            state[start : start + self._length] = part.cpu().numpy()
        state /= np.linalg.norm(state)
        last = self.num_qubits - 1
        if self.wires == sorted(self.wires):
            return state
        # Axis 0 is the highest qubit.
        axes = [last - self.wires[last - axis] for axis in range(last + 1)]
        return np.ascontiguousarray(state.reshape((2,) * (last + 1)).transpose(axes)).reshape(-1)

    @property
    def _length(self) -> int:
        """Basis states that are read at a time."""
        return 1 << min(self.num_qubits, sizes.chunk_bits(self.traits.device))

    def _starts(self) -> range:
        return range(0, 1 << self.num_qubits, self._length)

    def _parts(self) -> Iterator[tuple[slice, int]]:
        """Rows and the first of the basis states that are read with them, a chunk at a time."""
        at_once = max(1, (1 << sizes.chunk_bits(self.traits.device)) // self._length)
        for first in range(0, self.rows, at_once):
            for start in self._starts():
                yield slice(first, min(first + at_once, self.rows)), start

    def _sums(self, start: int) -> Floats:
        return np.asarray(self._weights(slice(None), start, self._length).sum(1).cpu().numpy(), np.float64)

    def _weights(self, rows: slice, start: int, length: int) -> torch.Tensor:
        """Chances of basis states, up to the norm: (rows, length)."""
        return self.amplitudes.weights(rows, start, length)

    def _products(
        self, rows: slice, x: int, states: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The amplitude of each of ``states`` times the conjugate of that of the state with ``x`` flipped."""
        amplitudes, length, start = self.amplitudes, len(states), int(states[0])
        if x == 0:
            return amplitudes.weights(rows, start, length), None
        mine = amplitudes.planes(amplitudes.chunk(rows, start, length))
        theirs = amplitudes.chunk(rows, start ^ x & ~(length - 1), length)
        flipped = states % length ^ x % length
        real, imaginary = (part[:, flipped] for part in amplitudes.planes(theirs))
        return real * mine[0] + imaginary * mine[1], real * mine[1] - imaginary * mine[0]

    def _mask(self, bits: NDArray[np.bool_]) -> int:
        return sum(1 << self.wires[int(qubit)] for qubit in np.flatnonzero(bits))

    def _sample_row(self, row: int, shots: int, generator: np.random.Generator) -> Rows:
        rows = slice(row, row + 1)
        totals = np.array([float(self._weights(rows, start, self._length).sum()) for start in self._starts()])
        per_chunk = generator.multinomial(shots, totals / totals.sum())
        drawn = np.empty(shots, np.int64)
        end = np.cumsum(per_chunk)
        for chunk in np.flatnonzero(per_chunk):
            start = int(chunk) * self._length
            steps = torch.cumsum(self._weights(rows, start, self._length)[0], 0)
            chances = torch.as_tensor(generator.random(per_chunk[chunk])).to(steps) * steps[-1]
            places = torch.searchsorted(steps, chances, right=True).clamp_(max=self._length - 1)
            drawn[end[chunk] - per_chunk[chunk] : end[chunk]] = start + places.cpu().numpy()
        generator.shuffle(drawn)
        return drawn

    def _sample_rows(self, shots: Rows, generator: np.random.Generator) -> Rows:
        """Many rows of few amplitudes: row r's chances are laid out between r and r + 1."""
        drawn = []
        for rows, start in self._parts():
            weights = self._weights(rows, start, self._length).cpu().to(torch.float64).numpy()
            steps = np.cumsum(weights, axis=1)
            steps /= steps[:, -1:]
            steps += np.arange(len(steps))[:, None]
            owner = np.repeat(np.arange(len(steps)), shots[rows])
            places = np.searchsorted(steps.ravel(), owner + generator.random(len(owner)), side="right")
            last = (owner + 1) * self._length - 1
            drawn.append(np.minimum(places, last) - owner * self._length)
        return np.concatenate(drawn)


def _parity(numbers: torch.Tensor) -> torch.Tensor:
    for shift in (32, 16, 8, 4, 2, 1):
        numbers = numbers ^ numbers >> shift
    return numbers & 1

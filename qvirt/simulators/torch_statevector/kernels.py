"""One operation on a tile, in plain torch: what every faster kernel is checked against.

A tile is (rows, 2**bits) complex numbers, contiguous and changed in place; or (rows, 2, 2**bits) real
ones, where a complex matrix is a real one of twice the size with the plane as its highest bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch

Controls = Mapping[int, int]
"""Position -> the value that it must have."""


def real_matrix(matrix: torch.Tensor) -> torch.Tensor:
    """The same on two real planes."""
    real, imaginary = matrix.real, matrix.imag
    return torch.cat((torch.cat((real, -imaginary), -1), torch.cat((imaginary, real), -1)), -2)


def dense(tile: torch.Tensor, qubits: Sequence[int], matrix: torch.Tensor, controls: Controls) -> None:
    """``matrix`` is (2**k, 2**k) or (rows, 2**k, 2**k), complex where the tile is; else ``real_matrix``'s."""
    rows, size = tile.shape[0], tile.shape[-1]
    if not tile.is_complex():
        qubits = (*qubits, size.bit_length() - 1)
        tile = tile.view(rows, 2 * size)
    view = exposed(tile, qubits, controls)
    before = view.reshape(rows, 1 << len(qubits), -1)
    view.copy_(torch.matmul(matrix, before).view(view.shape))


def diagonal(tile: torch.Tensor, qubits: Sequence[int], factors: torch.Tensor, controls: Controls) -> None:
    """``factors`` is complex where the tile is, (2**k,) or (rows, 2**k); else its planes: (2, ...)."""
    if tile.is_complex():
        view = exposed(tile, qubits, controls)
        view.mul_(_beside(factors, view, len(qubits)))
        return
    real, imaginary = (exposed(tile[:, plane], qubits, controls) for plane in (0, 1))
    cosine, sine = (_beside(plane, real, len(qubits)) for plane in factors)
    after = real * cosine - imaginary * sine
    imaginary.mul_(cosine).add_(real * sine)
    real.copy_(after)


def _beside(factors: torch.Tensor, view: torch.Tensor, qubits: int) -> torch.Tensor:
    return factors.reshape(-1, *(2,) * qubits, *(1,) * (view.dim() - 1 - qubits))


def permutation(
    tile: torch.Tensor, qubits: Sequence[int], targets: Sequence[int], controls: Controls
) -> None:
    view = exposed(tile.view(-1, tile.shape[-1]), qubits, controls)
    for cycle in _cycles(targets):
        parts = [view[_place(number, len(qubits))] for number in cycle]
        last = parts[-1].clone()
        for part, before in zip(parts[:0:-1], parts[-2::-1], strict=True):
            part.copy_(before)
        parts[0].copy_(last)


def exposed(tile: torch.Tensor, qubits: Sequence[int], controls: Controls) -> torch.Tensor:
    """What the controls allow, with an axis for each of ``qubits`` after the rows, the highest bit first."""
    above = tile.shape[-1].bit_length() - 1
    shape, index = [tile.shape[0]], [slice(None)]
    axis: dict[int, int] = {}
    for position in sorted((*qubits, *controls), reverse=True):
        shape += [1 << (above - 1 - position), 2]
        index.append(slice(None))
        if position in controls:
            index.append(controls[position])  # type: ignore[arg-type]
        else:
            axis[position] = len(index) - sum(not isinstance(each, slice) for each in index)
            index.append(slice(None))
        above = position
    shape.append(1 << above)
    view = tile.view(shape)[tuple(index)]
    return view.movedim([axis[qubit] for qubit in reversed(qubits)], list(range(1, len(qubits) + 1)))


def _place(number: int, width: int) -> tuple[int | slice, ...]:
    """Of a basis state in what ``exposed`` gives."""
    return slice(None), *(number >> bit & 1 for bit in reversed(range(width)))


def _cycles(targets: Sequence[int]) -> Iterator[list[int]]:
    """Each from a basis state along where it goes to; those that stay are left out."""
    seen: set[int] = set()
    for first in range(len(targets)):
        cycle: list[int] = []
        number = first
        while number not in seen:
            seen.add(number)
            cycle.append(number)
            number = targets[number]
        if len(cycle) > 1:
            yield cycle

"""Reading a matrix product state that Aer saved: ``(gammas, lambdas)`` in Vidal's canonical form.

Aer itself measures shot by shot on a copy of the state, which takes a hundred times as long.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qvirt.simulators.aer.cost import READ_BLOCK

Sites = Sequence[NDArray[np.complex128]]


def sites(saved: Any) -> Sites:
    """One tensor a qubit, shape (2, left bond, right bond), each with the Schmidt values on its right.

    All that is right of a cut is then orthonormal, so that a qubit's chances follow from what is left of
    it alone (Schollwoeck, arXiv:1008.3477, section 4.6).
    """
    gammas, lambdas = saved
    weights = [np.asarray(values) for values in lambdas] + [np.ones(1)]
    return [np.stack(gamma) * values for gamma, values in zip(gammas, weights, strict=True)]


def amplitudes(state: Sites) -> NDArray[np.complex128]:
    """All 2**n of them, little-endian."""
    vector = np.ones((1, 1), complex)
    for site in state:
        vector = np.einsum("xl,slr->sxr", vector, site).reshape(-1, site.shape[2])
    return np.ascontiguousarray(vector[:, 0])


def shots_at_once(state: Sites) -> int:
    """So many that their vectors stay small."""
    bond = max(int(site.shape[2]) for site in state)
    return max(1, READ_BLOCK // (16 * bond + 4 * len(state)))


def sample(state: Sites, shots: int, generator: np.random.Generator) -> NDArray[np.uint8]:
    """Bits of shape (shots, qubits) in random order.

    Shots that agree so far share one vector, and split where a qubit's chances split them.
    """
    vectors = np.ones((1, 1), complex)
    counts = np.array([shots])
    splits: list[tuple[NDArray[np.intp], NDArray[np.uint8]]] = []
    for site in state:
        after = [vectors @ matrix for matrix in site]
        weights = [np.square(np.abs(found)).sum(axis=1) for found in after]
        ones = generator.binomial(counts, np.clip(weights[1] / (weights[0] + weights[1]), 0.0, 1.0))
        kept = [np.flatnonzero(counts > ones), np.flatnonzero(ones)]
        vectors = np.concatenate(
            [after[bit][rows] / np.sqrt(weights[bit][rows, None]) for bit, rows in enumerate(kept)]
        )
        counts = np.concatenate([(counts - ones)[kept[0]], ones[kept[1]]])
        splits.append(
            (np.concatenate(kept), np.repeat(np.array([0, 1], np.uint8), [len(kept[0]), len(kept[1])]))
        )
    bits = np.empty((len(counts), len(state)), np.uint8)
    rows = np.arange(len(counts))
    for place, (parents, bit) in reversed(list(enumerate(splits))):
        bits[:, place] = bit[rows]
        rows = parents[rows]
    return generator.permutation(np.repeat(bits, counts, axis=0))

"""From states to counts: bit order, chances, readout errors."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from scipy.stats import chisquare

from qvirt.model.run import Noise
from qvirt.simulators import sampling
from qvirt.simulators.sampling import Readings, clbit_probabilities, draw, in_blocks, read_bits, read_indices


@pytest.fixture
def generator() -> np.random.Generator:
    return np.random.default_rng(7)


def _slowly(indices: np.ndarray, clbit_of: dict[int, int]) -> tuple[int, ...]:
    """What each shot reads, in plain Python."""
    return tuple(sum((int(i) >> qubit & 1) << clbit for clbit, qubit in clbit_of.items()) for i in indices)


@pytest.mark.parametrize(
    ("clbit_of", "num_clbits"),
    [
        ({q: q for q in range(63)}, 63),
        ({q: 62 - q for q in range(63)}, 63),
        ({0: 5, 3: 5, 2: 0}, 4),
        ({63: 0, 0: 62}, 64),
        ({64: 0, 99: 62, 7: 3}, 130),
        ({}, 3),
        ({}, 0),
    ],
)
def test_reads_qubits_into_clbits(
    clbit_of: dict[int, int], num_clbits: int, generator: np.random.Generator
) -> None:
    indices = generator.integers(0, 2**63 - 1, 200)
    expected = _slowly(indices, clbit_of)
    bits = (indices[:, None] >> np.arange(63)) & 1
    for readings in (read_indices(indices, clbit_of, num_clbits), read_bits(bits == 1, clbit_of, num_clbits)):
        assert readings.memory() == expected
        assert readings.counts() == Counter(expected)


def test_blocks_are_joined_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "BLOCK_BITS", 14)
    sizes: list[int] = []

    def read(shots: int) -> Readings:
        sizes.append(shots)
        return Readings(np.full((shots, 1), len(sizes), np.uint8))

    assert in_blocks(10, 3, read).memory() == (1, 1, 1, 1, 2, 2, 2, 2, 3, 3)


@pytest.mark.parametrize("block", [4, 1 << 16])
def test_draws_follow_the_amplitudes(
    block: int, generator: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "BLOCK", block)
    state = np.array([0, 1, 2j, 0, 0, -1, 1 + 1j, 3, 0, 0, 0, 0, 0, 0, 0, 1]).astype(np.complex64)
    weights = abs(state) ** 2 / np.sum(abs(state) ** 2)
    drawn = draw(state, 20_000, generator)
    found = np.bincount(drawn, minlength=16)
    assert not found[weights == 0].any()
    assert chisquare(found[weights > 0], 20_000 * weights[weights > 0]).pvalue > 1e-4
    assert len(set(drawn[:20].tolist())) > 1, "shots come in random order"
    assert (
        draw(weights, 10, np.random.default_rng(3)).tolist()
        == draw(weights, 10, np.random.default_rng(3)).tolist()
    )


def test_probabilities_of_the_bits_that_are_read(generator: np.random.Generator) -> None:
    state = generator.normal(size=16) + 1j * generator.normal(size=16)
    state /= np.linalg.norm(state)
    clbit_of = {70: 2, 0: 3, 5: 2}
    expected: Counter[int] = Counter()
    for index, amplitude in enumerate(state):
        expected[_slowly(np.array([index]), clbit_of)[0]] += abs(amplitude) ** 2
    assert clbit_probabilities(state, clbit_of) == pytest.approx(dict(expected))
    assert clbit_probabilities(state, {}) == pytest.approx({0: 1.0})


def test_readout_errors_change_chances_and_shots_alike(generator: np.random.Generator) -> None:
    noise = Noise(readout_0to1=0.1, readout_1to0=0.3)
    clbit_of = {0: 0, 1: 1, 9: 1}
    state = np.sqrt([0.5, 0.0, 0.2, 0.3])
    chances = clbit_probabilities(state.astype(complex), clbit_of, noise)
    assert chances[0b0_0] == pytest.approx(0.5 * 0.9**3 + 0.2 * 0.9 * 0.3**2 + 0.3 * 0.3**3)
    assert sum(chances.values()) == pytest.approx(1)
    clean = read_indices(draw(state + 0j, 50_000, generator), clbit_of, 10)
    counts = clean.flipped(clbit_of, noise, generator).counts()
    keys = sorted(chances)
    assert set(counts) <= set(keys)
    assert chisquare([counts.get(k, 0) for k in keys], [50_000 * chances[k] for k in keys]).pvalue > 1e-4
    assert clean.flipped(clbit_of, None, generator) is clean
    assert clean.flipped([3], Noise(readout_0to1=1.0), generator).counts() == {
        key | 0b1000: count for key, count in clean.counts().items()
    }

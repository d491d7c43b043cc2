"""Benchmark circuits as OpenQASM 2, written in plain Python so that the host needs no quantum library.

The same family, number of qubits, depth and seed give the same text. Where the ideal answer is known
in closed form it is given with the circuit, so that a benchmark can check an engine at any size.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from qvirt.errors import UsageError

Gates = list[str]
Known = dict[int, float]
"""Basis states (bit i is qubit i) and the exact probability of each; not every state need be there."""


@dataclass(frozen=True, slots=True)
class Family:
    """``default_depth`` gives the number of layers for a number of qubits; None: the family has no depth."""

    name: str
    description: str
    build: Callable[[int, int, random.Random], tuple[Gates, Known]]
    default_depth: Callable[[int], int] | None = None


def families() -> dict[str, Family]:
    return {family.name: family for family in _FAMILIES}


def circuit(family: str, qubits: int, seed: int = 0, depth: int | None = None) -> str:
    """OpenQASM 2 that ends by measuring all ``qubits`` (two at least) into one register ``c``.

    ``depth`` is the number of layers, where the family has them. Raises UsageError.
    """
    gates, _ = _build(family, qubits, seed, depth)
    lines = [
        f"// qvirt benchmark circuit: {family}, {qubits} qubits, seed {seed}",
        "OPENQASM 2.0;",
        'include "qelib1.inc";',
        f"qreg q[{qubits}];",
        f"creg c[{qubits}];",
        *gates,
        "measure q -> c;",
    ]
    return "\n".join(lines) + "\n"


def known_outcomes(family: str, qubits: int, seed: int = 0, depth: int | None = None) -> dict[str, float]:
    """Some outcomes (clbit 0 rightmost) of ``circuit`` and their exact probabilities.

    Empty where no closed form is known; else what is left out may have any share of the rest.
    """
    _, known = _build(family, qubits, seed, depth)
    return {f"{state:0{qubits}b}": probability for state, probability in known.items()}


def _build(family: str, qubits: int, seed: int, depth: int | None) -> tuple[Gates, Known]:
    found = families().get(family)
    if found is None:
        raise UsageError(
            f"there is no circuit family {family!r}", hint=f"families are: {', '.join(families())}"
        )
    if qubits < 2:
        raise UsageError(f"a benchmark circuit needs at least two qubits, not {qubits}")
    if depth is not None and found.default_depth is None:
        raise UsageError(f"{family} circuits have no depth to choose")
    if depth is not None and depth < 1:
        raise UsageError(f"depth must be at least 1, not {depth}")
    layers = depth or (found.default_depth(qubits) if found.default_depth else 0)
    return found.build(qubits, layers, random.Random(seed))  # noqa: S311 - reproducible, not secret


def _gate(name: str, *qubits: int, angles: Sequence[float] = ()) -> str:
    # Fixed point: OpenQASM 2 has no literal such as 1e-05.
    arguments = f"({','.join(f'{angle:.15f}' for angle in angles)})" if angles else ""
    return f"{name}{arguments} {','.join(f'q[{qubit}]' for qubit in qubits)};"


def _haar_u3(qubit: int, rng: random.Random) -> str:
    """A Haar-random rotation: the Bloch sphere's polar angle has density sin(theta) / 2."""
    theta = math.acos(1 - 2 * rng.random())
    return _gate("u3", qubit, angles=(theta, rng.uniform(0, math.tau), rng.uniform(0, math.tau)))


def _random_pairs(qubits: int, rng: random.Random) -> list[tuple[int, int]]:
    order = rng.sample(range(qubits), qubits)
    return list(zip(order[::2], order[1::2], strict=False))


def _ghz(qubits: int, _: int, __: random.Random) -> tuple[Gates, Known]:
    chain = [_gate("cx", qubit, qubit + 1) for qubit in range(qubits - 1)]
    return [_gate("h", 0), *chain], {0: 0.5, 2**qubits - 1: 0.5}


def _wstate(qubits: int, _: int, __: random.Random) -> tuple[Gates, Known]:
    """The excitation starts on qubit 0; each step leaves 1 / (qubits left) of what came that far."""
    gates = [_gate("x", 0)]
    for qubit in range(qubits - 1):
        half = math.acos(1 / math.sqrt(qubits - qubit))
        gates += [
            _gate("ry", qubit + 1, angles=(half,)),
            _gate("cx", qubit, qubit + 1),
            _gate("ry", qubit + 1, angles=(-half,)),
            _gate("cx", qubit, qubit + 1),
            _gate("cx", qubit + 1, qubit),
        ]
    return gates, {1 << qubit: 1 / qubits for qubit in range(qubits)}


def _qft(qubits: int, _: int, rng: random.Random) -> tuple[Gates, Known]:
    """The Fourier transform of a plane wave whose frequency lies between two integers.

    The wave comes with its bits reversed, which saves the swaps. The answer is the peak of phase
    estimation, sin^2(pi d) / (N sin(pi d / N))^2 at distance d from the frequency (Nielsen and Chuang,
    section 5.2.1).
    """
    size = 1 << qubits
    whole, part = rng.randrange(size), rng.uniform(0.25, 0.75)
    gates = []
    for qubit in range(qubits):
        turns = ((whole << (qubits - 1 - qubit)) % size) / size + math.ldexp(part, -1 - qubit)
        gates += [_gate("h", qubit), _gate("u1", qubit, angles=(-math.tau * (turns % 1),))]
    for target in range(qubits):
        gates.append(_gate("h", target))
        for control in range(target + 1, qubits):
            gates.append(_gate("cu1", control, target, angles=(math.ldexp(math.pi, target - control),)))
    known = {}
    for state, distance in ((whole, part), ((whole + 1) % size, 1 - part)):
        wide = size * math.sin(math.pi * distance / size)
        known[state] = (math.sin(math.pi * distance) / wide) ** 2
    return gates, known


def _quantum_volume(qubits: int, depth: int, rng: random.Random) -> tuple[Gates, Known]:
    """Haar-random SU(4) blocks on random pairs (Cross et al., arXiv:1811.12926).

    The rotations after a block are left to the next layer: a product of Haar-random gates is one.
    """
    gates = []
    for _ in range(depth):
        for first, second in _random_pairs(qubits, rng):
            gates += [_haar_u3(first, rng), _haar_u3(second, rng), *_entangler(first, second, rng)]
    return [*gates, *(_haar_u3(qubit, rng) for qubit in range(qubits))], {}


def _entangler(first: int, second: int, rng: random.Random) -> Gates:
    """The non-local part of a Haar-random two-qubit gate, in the circuit of Vatan and Williams
    (arXiv:quant-ph/0308006, figure 6); its outer rotations about Z are lost in the random ones.

    The angles are those of exp(i/2 (x XX + y YY + z ZZ)) and have the Haar measure of Watts, O'Connor
    and Vala (arXiv:1306.2664): proportional to |(X - Y)(Y - Z)(Z - X)|, at most 2, with X = cos(2 x) ...
    """
    while True:
        x, y, z = (rng.uniform(0, math.pi) for _ in range(3))
        cos_x, cos_y, cos_z = (math.cos(2 * angle) for angle in (x, y, z))
        if 2 * rng.random() < abs((cos_x - cos_y) * (cos_y - cos_z) * (cos_z - cos_x)):
            break
    return [
        _gate("cx", second, first),
        _gate("rz", first, angles=(z - math.pi / 2,)),
        _gate("ry", second, angles=(math.pi / 2 - x,)),
        _gate("cx", first, second),
        _gate("ry", second, angles=(y - math.pi / 2,)),
        _gate("cx", second, first),
    ]


def _random(qubits: int, depth: int, rng: random.Random) -> tuple[Gates, Known]:
    gates = []
    for _ in range(depth):
        gates += [_haar_u3(qubit, rng) for qubit in range(qubits)]
        gates += [_gate("cx", *pair) for pair in _random_pairs(qubits, rng)]
    return gates, {}


def _clifford(qubits: int, depth: int, rng: random.Random) -> tuple[Gates, Known]:
    gates = []
    for _ in range(depth):
        gates += [_gate(rng.choice(("h", "s", "sdg")), qubit) for qubit in range(qubits)]
        gates += [_gate("cx", *pair) for pair in _random_pairs(qubits, rng)]
    return gates, {}


def _hidden_shift(qubits: int, _: int, rng: random.Random) -> tuple[Gates, Known]:
    """Finds the shift s of the bent function f(x, y) = x.y + h(y), whose dual is x.y + h(x) (Roetteler,
    arXiv:0811.3208): H, f(. + s), H, dual, H leaves |s>. h holds CCZ gates, so it is not Clifford."""
    half = qubits // 2
    shift = rng.randrange(1 << (2 * half))
    every = [_gate("h", qubit) for qubit in range(2 * half)]
    flips = [_gate("x", qubit) for qubit in range(2 * half) if shift >> qubit & 1]
    pairs = [_gate("cz", qubit, half + qubit) for qubit in range(half)]
    terms = [rng.sample(range(half), min(half, 3)) for _ in range(half)]
    function, dual = ([*pairs, *_phases(terms, offset)] for offset in (half, 0))
    return [*every, *flips, *function, *flips, *every, *dual, *every], {shift: 1.0}


def _phases(terms: list[list[int]], offset: int) -> Gates:
    return [gate for term in terms for gate in _controlled_z([offset + qubit for qubit in term], [])]


def _qaoa(qubits: int, depth: int, rng: random.Random) -> tuple[Gates, Known]:
    """MaxCut by QAOA (Farhi et al., arXiv:1411.4028) on a ring with chords: 3-regular for even numbers."""
    edges = [(qubit, (qubit + 1) % qubits) for qubit in range(qubits if qubits > 2 else 1)]
    if qubits % 2 == 0 and qubits > 2:
        edges += _chords(qubits, rng)
    gates = [_gate("h", qubit) for qubit in range(qubits)]
    for _ in range(depth):
        gamma, beta = rng.uniform(0, math.pi), rng.uniform(0, math.pi)
        for first, second in edges:
            phase = _gate("rz", second, angles=(gamma,))
            gates += [_gate("cx", first, second), phase, _gate("cx", first, second)]
        gates += [_gate("rx", qubit, angles=(beta,)) for qubit in range(qubits)]
    return gates, {}


def _chords(qubits: int, rng: random.Random) -> list[tuple[int, int]]:
    """A random pairing of all nodes of a ring in which no pair are neighbours (one try in about seven)."""
    while True:
        pairs = _random_pairs(qubits, rng)
        if all((first - second) % qubits not in (1, qubits - 1) for first, second in pairs):
            return pairs


def _grover(qubits: int, depth: int, rng: random.Random) -> tuple[Gates, Known]:
    """Search for one marked state; nearly half of the qubits are clean ancillas of the controlled Z."""
    count = (qubits + 3) // 2
    search, ancillas = list(range(count)), list(range(count, qubits))
    marked = rng.randrange(1 << count)
    every = [_gate("h", qubit) for qubit in search]
    flips = [_gate("x", qubit) for qubit in search if not marked >> qubit & 1]
    invert = [_gate("x", qubit) for qubit in search]
    phase = _controlled_z(search, ancillas)
    iteration = [*flips, *phase, *flips, *every, *invert, *phase, *invert, *every]
    angle = (2 * depth + 1) * math.asin(2 ** (-count / 2))
    return [*every, *(iteration * depth)], {marked: math.sin(angle) ** 2}


def _grover_depth(qubits: int) -> int:
    """The best number of iterations, but no more than the qubits: it grows as 2^(qubits / 4)."""
    count = (qubits + 3) // 2
    return min(qubits, round(math.pi / 4 * 2 ** (count / 2) - 0.5))


def _controlled_z(qubits: list[int], ancillas: list[int]) -> Gates:
    """Z on |1...1> of ``qubits``; more than three need that many ancillas less three, given back clean."""
    if len(qubits) < 3:
        return [_gate("cz" if len(qubits) == 2 else "z", *qubits)]
    chain, control = [], qubits[0]
    for qubit, ancilla in zip(qubits[1:-2], ancillas, strict=False):
        chain.append(_gate("ccx", control, qubit, ancilla))
        control = ancilla
    target = qubits[-1]
    flip = [_gate("h", target), _gate("ccx", control, qubits[-2], target), _gate("h", target)]
    return [*chain, *flip, *reversed(chain)]


def _as_many_as_qubits(qubits: int) -> int:
    return qubits


def _two(_: int) -> int:
    return 2


_FAMILIES = (
    Family("ghz", "a GHZ state along a chain (Clifford)", _ghz),
    Family("wstate", "one excitation shared by all qubits", _wstate),
    Family("qft", "Fourier transform of a plane wave between two frequencies", _qft),
    Family("qv", "quantum volume: random SU(4) blocks on random pairs", _quantum_volume, _as_many_as_qubits),
    Family("random", "layers of random rotations and CX on random pairs", _random, _as_many_as_qubits),
    Family("clifford", "layers of random Clifford gates on random pairs", _clifford, _as_many_as_qubits),
    Family("hidden_shift", "hidden shift of a bent function with CCZ gates", _hidden_shift),
    Family("qaoa", "QAOA for MaxCut on a 3-regular graph", _qaoa, _two),
    Family("grover", "Grover's search for one state, with ancillas", _grover, _grover_depth),
)

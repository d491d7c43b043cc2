"""The Triton kernels against the plain path: on a GPU where there is one, else in Triton's interpreter.

What the compiler makes of them for a GPU that is not here is looked at too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
DEVICE = "cuda:0" if torch.cuda.is_available() else "cpu"
if DEVICE == "cpu":
    # Before triton is loaded: it is asked when kernels are defined, triton's own too, and when they run.
    os.environ["TRITON_INTERPRET"] = "1"
pytest.importorskip("triton", reason="triton is not installed")

from qvirt.circuits import load  # noqa: E402
from qvirt.model.circuit import CircuitSource  # noqa: E402
from qvirt.model.estimate import Candidate  # noqa: E402
from qvirt.model.run import Device, Limits, Method, Precision, RunOptions  # noqa: E402
from qvirt.simulators.registry import simulator  # noqa: E402
from qvirt.simulators.torch_statevector import devices, triton_path, triton_unitary  # noqa: E402
from qvirt.simulators.torch_statevector.amplitudes import Amplitudes, format_for  # noqa: E402
from qvirt.simulators.torch_statevector.operations import (  # noqa: E402
    Dense,
    Diagonal,
    Matrix,
    Operation,
    Permutation,
)
from qvirt.simulators.torch_statevector.plain import PlainUnitary  # noqa: E402
from qvirt.simulators.torch_statevector.triton_unitary import TritonUnitary  # noqa: E402
from qvirt.simulators.torch_statevector.unitary import Traits, Unitary  # noqa: E402
from qvirt.simulators.workload import Workload  # noqa: E402

TOLERANCE = {
    Precision.DOUBLE: 1e-13,
    Precision.SINGLE: 1e-6,
    Precision.HALF: 1e-3,
    # The interpreter cuts bits off where a GPU rounds.
    Precision.BFLOAT16: 2e-2,
    Precision.FLOAT8: 6e-2,
}
every_precision = pytest.mark.parametrize("precision", Precision, ids=lambda each: each.value)


def unitary(generator: np.random.Generator, width: int, rows: tuple[int, ...] = ()) -> Matrix:
    shape = (*rows, 1 << width, 1 << width)
    return np.linalg.qr(generator.normal(size=shape) + 1j * generator.normal(size=shape))[0]


def phases(generator: np.random.Generator, width: int, rows: tuple[int, ...] = ()) -> Matrix:
    return np.exp(1j * generator.normal(size=(*rows, 1 << width)))


def random_states(
    generator: np.random.Generator, precision: Precision, rows: int, num_qubits: int, planes: bool
) -> Amplitudes:
    kept = format_for(precision, DEVICE, planes)
    amplitudes = Amplitudes(rows, num_qubits, kept, DEVICE)
    size = 1 << num_qubits
    states = generator.normal(size=(rows, size)) + 1j * generator.normal(size=(rows, size))
    states /= np.linalg.norm(states, axis=1)[:, None]
    work = torch.as_tensor(states, device=DEVICE)
    work = work.to(torch.complex128 if precision is Precision.DOUBLE else torch.complex64)
    if not kept.complex_work:
        work = torch.stack((work.real, work.imag), 1)
    amplitudes.write(slice(None), (size,), (slice(0, size),), work)
    return amplitudes


def swept(path: Unitary, amplitudes: Amplitudes) -> Matrix:
    for sweep in range(len(path)):
        path.run(amplitudes, sweep)
    work = amplitudes.chunk(slice(None), 0, 1 << amplitudes.num_qubits)
    real, imaginary = amplitudes.planes(work)
    return real.cpu().numpy() + 1j * imaginary.cpu().numpy()


def distance(
    operations: Sequence[Operation],
    precision: Precision,
    rows: int = 1,
    num_qubits: int = 13,
    planes: bool = False,
) -> float:
    """Of the two paths' states, over the tolerance; the largest of all rows."""
    generator = np.random.default_rng(7)
    mine = random_states(generator, precision, rows, num_qubits, planes)
    theirs = mine.select(torch.arange(rows, device=DEVICE))
    traits = Traits(DEVICE, precision)
    found = swept(TritonUnitary(operations, num_qubits, traits, planes), mine)
    expected = swept(PlainUnitary(operations, num_qubits, traits, planes=planes), theirs)
    away = np.linalg.norm(found - expected, axis=1) / np.linalg.norm(expected, axis=1)
    return float(away.max() / TOLERANCE[precision])


@every_precision
@pytest.mark.parametrize("width", range(1, 7))
@pytest.mark.parametrize("where", ["low", "high", "mixed"])
def test_a_matrix_anywhere(precision: Precision, width: int, where: str) -> None:
    generator = np.random.default_rng(width)
    places = {"low": np.arange(6), "high": np.arange(6, 12), "mixed": np.arange(12)}[where]
    qubits = tuple(generator.permutation(places)[:width].tolist())
    assert distance([Dense(qubits, unitary(generator, width))], precision, num_qubits=12) < 1


@every_precision
def test_controls_high_low_and_too_many_for_the_grid(precision: Precision) -> None:
    generator = np.random.default_rng(0)
    matrix = unitary(generator, 2)
    assert distance([Dense((3, 9), matrix, (12, 11, 7), 5)], precision) < 1
    assert distance([Dense((3, 9), matrix, (0, 12, 5), 3)], precision) < 1
    others = tuple(qubit for qubit in range(13) if qubit not in (3, 9))
    assert distance([Dense((3, 9), matrix, others, 0b10110011101)], precision) < 1


@every_precision
def test_a_permutation_moves_every_bit_as_the_plain_path_does(precision: Precision) -> None:
    operations = [
        Permutation((8, 2, 11), (3, 0, 1, 2, 7, 6, 5, 4)),
        Permutation((0,), (1, 0), (4, 12, 6, 7), 9),
        Permutation((10, 11), (0, 2, 1, 3), (1, 2, 3, 4), 9),
    ]
    mine = random_states(np.random.default_rng(1), precision, 2, 13, False)
    theirs = mine.select(torch.arange(2, device=DEVICE))
    traits = Traits(DEVICE, precision)
    for operation in operations:
        swept(TritonUnitary([operation], 13, traits), mine)
        swept(PlainUnitary([operation], 13, traits), theirs)
    for found, expected in zip(mine.kept(), theirs.kept(), strict=True):
        assert torch.equal(found.view(torch.uint8), expected.view(torch.uint8))


@every_precision
def test_rounding_is_that_of_the_plain_path_ties_and_smallest_numbers_included(precision: Precision) -> None:
    """Times 3/4, which float32 holds exactly of whatever is kept in less."""
    mine = random_states(np.random.default_rng(1), precision, 1, 13, False)
    theirs = mine.select(torch.arange(1, device=DEVICE))
    for factor in (0.75, 2**-20):
        operation = Dense((2, 9), factor * np.eye(4, dtype=np.complex128))
        found = swept(TritonUnitary([operation], 13, Traits(DEVICE, precision)), mine)
        expected = swept(PlainUnitary([operation], 13, Traits(DEVICE, precision)), theirs)
        if precision is Precision.BFLOAT16 and DEVICE == "cpu":
            assert np.abs(found - expected).max() <= 2**-7 * np.abs(expected).max()
        else:
            assert np.array_equal(found, expected)


@every_precision
def test_a_matrix_and_a_diagonal_for_each_row(precision: Precision) -> None:
    generator = np.random.default_rng(2)
    operations = [
        Dense((3, 9), unitary(generator, 2, (3,))),
        Diagonal((2, 12), phases(generator, 2, (3,)), (5, 8), 1),
        Dense((0, 1, 6, 11), unitary(generator, 4, (3,))),
        Diagonal((7,), phases(generator, 1, (3,))),
        Dense((4,), unitary(generator, 1)),
    ]
    assert distance(operations, precision, rows=3) < 1


@every_precision
def test_a_run_of_phases_is_one_sweep(precision: Precision) -> None:
    generator = np.random.default_rng(3)
    operations = [
        Diagonal(tuple(generator.permutation(15)[:2].tolist()), phases(generator, 2)) for _ in range(60)
    ]
    assert len(TritonUnitary(operations, 15, Traits(DEVICE, precision))) == 1
    assert distance(operations, precision, num_qubits=15) < 1


@every_precision
def test_diagonals_with_many_controls_are_one_sweep(precision: Precision) -> None:
    generator = np.random.default_rng(4)
    operations: list[Operation] = []
    for _ in range(5):
        *controls, a, b = generator.permutation(14)[: generator.integers(9, 15)].tolist()
        values = int(generator.integers(1 << len(controls)))
        operations.append(Diagonal((a, b), phases(generator, 2), tuple(controls), values))
    assert len(TritonUnitary(operations, 14, Traits(DEVICE, precision))) == 1
    assert distance(operations, precision, num_qubits=14) < 1


@every_precision
def test_diagonals_that_are_not_of_size_one(precision: Precision) -> None:
    """As a reading leaves them, and damping."""
    damping = np.array([1, 0.5, 0.5, 1], np.complex128)
    assert distance([Diagonal((3, 9), damping), Diagonal((5,), np.array([0.3, 1]))], precision) < 1
    assert distance([Dense((3, 9), np.diag(damping))], precision) < 1


@every_precision
def test_gates_as_they_come(precision: Precision) -> None:
    generator = np.random.default_rng(5)
    operations: list[Operation] = []
    for _ in range(40):
        a, b, c = generator.permutation(14)[:3].tolist()
        operations.append(Dense((a,), unitary(generator, 1)))
        operations.append(Permutation((a,), (1, 0), (b,), 1))
        operations.append(Diagonal((a, c), phases(generator, 2)))
    path = TritonUnitary(operations, 14, Traits(DEVICE, precision))
    assert len(path) < 60, "gates are joined"
    # Every sweep rounds anew, and not at the same places as the plain path.
    assert distance(operations, precision, num_qubits=14) < len(path) ** 0.5


@pytest.mark.parametrize("precision", [Precision.SINGLE, Precision.DOUBLE], ids=lambda each: each.value)
def test_planes_where_complex_would_do(precision: Precision) -> None:
    generator = np.random.default_rng(6)
    operations = [
        Dense((3, 9), unitary(generator, 2)),
        Diagonal((1, 12), phases(generator, 2)),
        Diagonal(tuple(range(13)), phases(generator, 13)),
    ]
    assert distance(operations, precision, rows=2, planes=True) < 1


def test_float32_amplitudes_with_products_in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on compute capabilities 8.0 and 9.0."""
    monkeypatch.setattr(triton_unitary, "_product_type", lambda kept, device: torch.float64)
    generator = np.random.default_rng(8)
    for qubits in [(3, 9, 0, 12), (7, 9, 11, 12)]:
        operations = [Dense(qubits, unitary(generator, 4), (5,), 1)]
        assert distance(operations, Precision.SINGLE, rows=2) < 1


@every_precision
def test_the_kernels_pass_their_trial(precision: Precision) -> None:
    triton_path.refusal.cache_clear()
    assert triton_path.refusal(DEVICE, precision) is None


def test_a_kernel_that_computes_something_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    real = triton_unitary.fuse
    monkeypatch.setattr(triton_unitary, "fuse", lambda operations, *rest: real(operations[1:], *rest))
    triton_path.refusal.cache_clear()
    assert "gave another state" in str(triton_path.refusal(DEVICE, Precision.SINGLE))
    triton_path.refusal.cache_clear()


def test_an_old_triton_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_path, "_triton_version", lambda: (3, 4))
    triton_path.refusal.cache_clear()
    assert triton_path.refusal(DEVICE, Precision.SINGLE) == "triton is too old: the kernels need 3.5"
    triton_path.refusal.cache_clear()


def test_cpus_and_small_states_go_the_plain_path() -> None:
    gates = [Permutation((0,), (1, 0))]
    assert triton_path.triton_unitary(gates, 20, Traits("cpu", Precision.SINGLE)) is None
    if DEVICE != "cpu":
        assert triton_path.triton_unitary(gates, 4, Traits(DEVICE, Precision.SINGLE)) is None


WHOLE = """OPENQASM 2.0;
include "qelib1.inc";
qreg q[12]; creg c[12]; creg early[1];
h q; cx q[0], q[11]; cp(0.3) q[2], q[9]; ry(0.4) q[11]; swap q[3], q[10];
measure q[11] -> early[0];
if (early == 1) rx(0.9) q[10];
reset q[0]; ry(1.1) q[0]; cx q[0], q[10]; ccx q[1], q[10], q[5];
measure q -> c;
"""


@every_precision
def test_a_whole_circuit_by_the_kernels(precision: Precision, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chance, resets and readings between the segments; a device of Triton's is a GPU to the engine."""
    where = DEVICE if DEVICE != "cpu" else "cpu:0"
    compiled: list[TritonUnitary] = []

    def by_kernels(operations: Sequence[Operation], num_qubits: int, traits: Traits) -> Unitary | None:
        if traits.device != where:
            return None
        compiled.append(TritonUnitary(operations, num_qubits, traits))
        return compiled[-1]

    monkeypatch.setattr(triton_path, "triton_unitary", by_kernels)
    if DEVICE == "cpu":
        monkeypatch.setattr(devices, "free_memory", lambda name: 1 << 30)
    gpu = Device(where, 1 << 30, 1e12, 1e-5, 1.0, 1 << 20, triton=True)
    limits = Limits(1 << 30, 2, devices=(gpu,))
    loaded = load(CircuitSource("whole", WHOLE.encode()))
    options = RunOptions(shots=40, seed=3, precision=precision, observables=("ZZIIIIIIIIIX",))
    answers = []
    for device in (where, None):
        candidate = Candidate("torch", Method.STATEVECTOR, precision, device)
        work = Workload(loaded.circuit, loaded.facts, options)
        program = simulator("torch").prepare(candidate, work, limits)
        while not program.advance(1.0):
            pass
        answers.append(program.result())
    assert compiled
    assert sum(answers[0].counts.values()) == 40
    (mine,), (theirs,) = (answer.expectations for answer in answers)
    tolerance = max(TOLERANCE[precision] * 20, 1e-9)
    assert abs(mine.value - theirs.value) < tolerance + 6 * (mine.standard_error + theirs.standard_error)


COMPILED = """
import json, re, sys
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from qvirt.simulators.torch_statevector import triton_kernels as kernels
STATE = {"single": "fp32", "double": "fp64", "half": "fp16", "bfloat16": "bf16", "float8": "u8"}
MATRIX = {"single": "fp64", "double": "fp64", "half": "fp16", "bfloat16": "bf16", "float8": "bf16"}
WIDTH = {"single": 4, "double": 4, "half": 5, "bfloat16": 5, "float8": 5}

def compiled(kernel, pointers, constants, warps, capability):
    names = [*pointers, *constants]
    signature = {**{k: "*" + v for k, v in pointers.items()}, **{k: "constexpr" for k in constants}}
    places = {(names.index(name),): value for name, value in constants.items()}
    aligned = {(i,): [["tt.divisibility", 16]] for i in range(len(pointers))}
    source = ASTSource(fn=kernel, signature=signature, constexprs=places, attrs=aligned)
    return triton.compile(source, target=GPUTarget("cuda", capability, 32), options={"num_warps": warps})

def row(name, found):
    return {"name": name, "cubin": len(found.asm["cubin"]), "tensor_cores": "mma" in found.asm["ptx"]}

rows = []
capability = int(sys.argv[1])
for precision, state in STATE.items():
    pairs, scaled, width = precision in ("single", "double"), precision == "float8", WIDTH[precision]
    wide = "fp64" if precision == "double" else "fp32"
    first = {"state": state, "scales": "i8"}
    for permuted in (False, True):
        if permuted or not scaled:
            constants = dict(group=1 << width, columns=(1024 if pairs else 4096) >> width)
            constants |= dict(run=16 if pairs else 64, parts=1 if pairs else 2, pairs=pairs, scaled=scaled)
            constants |= dict(permuted=permuted, masked=permuted)
            pointers = {**first, "matrices": MATRIX[precision], "table": "i64", "order": "i32"}
            made = compiled(kernels.dense, pointers, constants, 4 if pairs else 8, capability)
            rows.append(row(f"dense {precision}", made))
    kept = dict(pairs=pairs, scaled=scaled)
    pointers = {**first, "factors": wide, "turns": wide.replace("fp", "i"), "table": "i64"}
    rows.append(row(f"phase {precision}", compiled(kernels.phase, pointers, kept, 16, capability)))
    pointers = {**first, "factors": wide, "table": "i64", "entries": "i64"}
    rows.append(row(f"diagonals {precision}", compiled(kernels.diagonals, pointers, kept, 16, capability)))
print(json.dumps(rows))
"""


@pytest.mark.slow
@pytest.mark.parametrize("capability", [80, 90])
def test_every_kernel_compiles_for_a_gpu_that_is_not_here(capability: int, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment["TRITON_CACHE_DIR"] = str(tmp_path)
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", COMPILED, str(capability)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    rows = json.loads(ran.stdout.splitlines()[-1])
    assert len(rows) == 19
    for row in rows:
        assert row["cubin"], row
        assert row["tensor_cores"] == row["name"].startswith("dense"), row

"""From where on a GPU is faster, read off the rows of a benchmark. The rows are made up."""

from __future__ import annotations

from dataclasses import replace

from qvirt.cli.options import OutputFormat
from qvirt.cli.render_bench import bench_text
from qvirt.host.bench import Crossover, Row, _forced, _with_devices, crossovers
from qvirt.model.estimate import Candidate
from qvirt.model.run import Method, Precision, RunOptions
from qvirt.model.vm import VM, VMSpec, VMState


def row(qubits: int, seconds: float | None, device: str | None = None, family: str = "qv") -> Row:
    candidate = Candidate("torch" if device else "aer", Method.STATEVECTOR, Precision.SINGLE)
    engine = candidate.engine
    return Row(family, qubits, engine, candidate, seconds, seconds, seconds, 1.0, None, "aer", device=device)


CPU = [row(10, 0.001), row(10, 0.002), row(20, 0.1), row(25, 4.0), row(30, None)]


def test_faster_from_the_first_size_after_which_it_never_is_slower() -> None:
    gpu = [row(10, 0.02, "cuda:0"), row(20, 0.03, "cuda:0"), row(25, 0.2, "cuda:0"), row(30, 6.0, "cuda:0")]
    assert crossovers(CPU + gpu) == [Crossover("qv", "cuda:0", 20, 25)]
    assert "qv: cuda:0 is faster than the CPU from 20 qubits on" in bench_text(CPU + gpu, OutputFormat.TABLE)
    assert bench_text(CPU + gpu, OutputFormat.CSV).splitlines()[6].endswith(",cuda:0")


def test_a_size_at_which_it_is_slower_again_counts() -> None:
    gpu = [row(10, 0.0001, "mps"), row(20, 0.2, "mps"), row(25, 0.2, "mps")]
    assert crossovers(CPU + gpu) == [Crossover("qv", "mps", 25, 25)]


def test_never_faster() -> None:
    gpu = [row(10, 0.02, "cuda:0")]
    assert crossovers(CPU + gpu) == [Crossover("qv", "cuda:0", None, 10)]
    text = bench_text(CPU + gpu, OutputFormat.TABLE)
    assert "qv: the CPU is faster than cuda:0 up to 10 qubits at least" in text


def test_each_family_and_each_gpu_by_itself_and_nothing_without_both() -> None:
    assert crossovers(CPU) == []
    assert "faster" not in bench_text(CPU, OutputFormat.TABLE)
    assert crossovers([row(10, 0.02, "cuda:0", "ghz")]) == []
    gpus = [row(25, 0.2, "cuda:0"), row(25, 5.0, "cuda:1"), row(25, 0.2, "cuda:0", "ghz")]
    assert crossovers(CPU + gpus) == [Crossover("qv", "cuda:0", 25, 25), Crossover("qv", "cuda:1", None, 25)]


def test_errors_stand_below_the_table_once_for_all_sizes() -> None:
    why = "no method can do this: stim stabilizer double: 5 of the 9 gates are no Clifford gates"
    refused = [replace(row(qubits, None), engine="stim", check="not run", error=why) for qubits in (10, 20)]
    text = bench_text([*CPU, *refused], OutputFormat.TABLE)
    table, _, below = text.partition("qv on stim, 10, 20 qubits: ")
    assert table.count("not run") == 2
    assert " ".join(below.split()) == why
    assert bench_text(refused, OutputFormat.CSV).count(why) == 2


def test_torch_is_measured_on_both_where_the_vm_has_a_gpu() -> None:
    def engines(gpu: bool) -> tuple[str, ...]:
        return tuple(_with_devices(("auto", "torch"), VM("1", VMSpec("lab", gpu=gpu), VMState.RUNNING, 0.0)))

    assert engines(gpu=False) == ("auto", "torch")
    assert engines(gpu=True) == ("auto", "torch:cpu", "torch:gpu")
    forced = _forced(RunOptions(), "torch:gpu")
    assert (forced.engine, forced.device) == ("torch", "gpu")
    assert _forced(RunOptions(), "torch").device is None

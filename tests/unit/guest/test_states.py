"""What a VM keeps between jobs, as its files have it, and what it takes for a state at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qvirt.errors import Conflict, DoesNotFit, NotFound, StateError, UsageError
from qvirt.guest import keeping
from qvirt.guest.messages import Inspected, Work
from qvirt.guest.states import KeptStates, in_memory
from qvirt.model.circuit import CircuitFacts, CircuitSource
from qvirt.model.run import Limits, Precision, RunOptions
from qvirt.model.state import KeptState

PLUS = np.full(4, 0.5, np.complex128)


def _state(name: str, octets: int = 192) -> KeptState:
    return KeptState(name, 2, Precision.DOUBLE, 1.0, 1.8e9, octets, "ab")


def _keep(states: KeptStates, name: str, content: bytes = b"x") -> None:
    written = states.place("job")
    written.write_bytes(content)
    states.take(_state(name, len(content)), written)


def _saved(folder: Path, array: np.ndarray) -> Path:
    np.save(folder / "given.npy", array)
    return folder / "given.npy"


def test_states_are_kept_found_counted_and_removed(tmp_path: Path) -> None:
    states = KeptStates(tmp_path)
    assert (states.all(), states.memory) == ([], 0)
    _keep(states, "psi", b"one")
    _keep(states, "phi.2", b"four")
    assert [state.name for state in states.all()] == ["phi.2", "psi"]
    assert states.memory == 7
    assert states.file("psi").read_bytes() == b"one"
    assert KeptStates(tmp_path).find("psi") == _state("psi", 3), "they are in its directory"
    states.remove("psi")
    with pytest.raises(NotFound) as failure:
        states.find("psi")
    assert "phi.2" in str(failure.value.hint)
    states.remove("phi.2")
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_taken_is_given_up_only_where_that_was_asked(tmp_path: Path) -> None:
    states = KeptStates(tmp_path)
    _keep(states, "psi", b"old")
    with pytest.raises(Conflict) as failure:
        states.require_free("psi", overwrite=False)
    assert "--force" in str(failure.value.hint)
    states.require_free("psi", overwrite=True)
    _keep(states, "psi", b"newer")
    assert states.file("psi").read_bytes() == b"newer"
    assert states.memory == 5


@pytest.mark.parametrize("name", ["", ".psi", "../psi", "a/b", "a b", "é", "a" * 64, "-x"])
def test_names_are_checked(tmp_path: Path, name: str) -> None:
    states = KeptStates(tmp_path)
    for refused in (lambda: states.find(name), lambda: states.require_free(name, overwrite=True)):
        with pytest.raises(UsageError):
            refused()
    for asked in ("start", "keep"):
        with pytest.raises(UsageError):
            RunOptions(**{asked: name})


def test_half_a_state_is_none(tmp_path: Path) -> None:
    states = KeptStates(tmp_path)
    _keep(states, "psi")
    (tmp_path / "kept-psi.npy").unlink()
    (tmp_path / "kept-phi.npy").write_bytes(b"x")
    (tmp_path / "kept-chi.npy").write_bytes(b"x")
    (tmp_path / "kept-chi.json").write_bytes(b"{")
    assert states.all() == []


def test_a_vm_without_a_directory_keeps_none() -> None:
    states = KeptStates(None)
    assert states.all() == []
    with pytest.raises(StateError):
        states.place("job")


@pytest.mark.parametrize(
    ("kind", "precision"), [(np.complex64, Precision.SINGLE), (np.complex128, Precision.DOUBLE)]
)
def test_a_state_is_told_from_its_file(tmp_path: Path, kind: type, precision: Precision) -> None:
    found = keeping.inspected(_saved(tmp_path, PLUS.astype(kind)))
    assert found == Inspected(2, precision, pytest.approx(1.0))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (PLUS.real, "float64"),
        (PLUS.reshape(2, 2), "shape"),
        (PLUS.astype(">c16"), ">c16"),
        (np.full(3, 3**-0.5, complex), "power of two"),
        (np.ones(1, complex), "power of two"),
        (PLUS * 1.00001, "norm"),
        (PLUS * np.nan, "norm"),
        (np.array([{"a": 1}, None], object), "npy"),
    ],
    ids=["real", "matrix", "big-endian", "three", "one", "norm", "nan", "pickle"],
)
def test_what_is_no_state_is_refused_with_the_reason(tmp_path: Path, array: np.ndarray, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        keeping.inspected(_saved(tmp_path, array))


@pytest.mark.parametrize("octets", [b"", b"hello", b"PK\x03\x04zip", b"\x93NUMPY\x01\x00"])
def test_what_is_no_npy_file_is_refused(tmp_path: Path, octets: bytes) -> None:
    file = tmp_path / "given.npy"
    file.write_bytes(octets)
    with pytest.raises(UsageError, match="npy"):
        keeping.inspected(file)


def test_a_file_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    file = _saved(tmp_path, PLUS)
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(UsageError):
        keeping.inspected(file)


def test_what_will_be_kept_is_no_memory_to_run_in(tmp_path: Path) -> None:
    facts = CircuitFacts.__new__(CircuitFacts)
    object.__setattr__(facts, "num_qubits", 20)
    work = Work(
        CircuitSource("x", b""), RunOptions(keep="psi"), Limits(64 << 20, 1), keep=str(tmp_path / "x")
    )
    assert keeping.limits(work, facts).memory == 48 << 20
    object.__setattr__(facts, "num_qubits", 22)
    with pytest.raises(DoesNotFit) as failure:
        keeping.limits(work, facts)
    assert failure.value.message.count("64.0 MiB") == 2


def test_files_of_states_count_where_they_lie_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = CircuitFacts.__new__(CircuitFacts)
    object.__setattr__(facts, "num_qubits", 20)
    given, file = Limits(64 << 20, 1), str(tmp_path / "x")
    work = Work(CircuitSource("x", b""), RunOptions(state=True), given, state_file=file)
    assert not in_memory(tmp_path)
    assert keeping.limits(work, facts) == given
    monkeypatch.setattr(keeping, "in_memory", lambda folder: folder == tmp_path)
    assert keeping.limits(work, facts).memory == 48 << 20

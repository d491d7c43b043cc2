from __future__ import annotations

from qvirt.errors import CircuitError, ErrorInfo, QvirtError, from_info


def test_an_error_survives_the_way_as_data() -> None:
    error = CircuitError("bad gate", hint="write another", file="a.qasm", line=3, column=7)
    again = from_info(error.info())
    assert type(again) is CircuitError
    assert again.info() == error.info()
    assert str(again) == "a.qasm:3:7: bad gate"


def test_an_unknown_code_is_still_an_error() -> None:
    assert type(from_info(ErrorInfo("from_the_future", "x"))) is QvirtError

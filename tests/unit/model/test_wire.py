from __future__ import annotations

import json

import pytest

from qvirt.errors import UsageError
from qvirt.model.circuit import CircuitSource
from qvirt.model.order import Order
from qvirt.model.run import Method, Noise, RunOptions
from qvirt.model.wire import from_json, schema, to_json


def test_an_order_comes_back_as_it_was_sent() -> None:
    order = Order(
        "j1",
        source=CircuitSource("a.qpy", b"\x00\xff"),
        options=RunOptions(7, 3, "aer", Method.MPS, noise=Noise(readout_0to1=0.1), observables=("ZZ",)),
    )
    assert from_json(to_json(order), Order) == order


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ("{", "Order"),
        ("{}", "id"),
        ('{"id": 3}', "id"),
        ('{"id": "a", "options": {"shots": 0}}', "shots"),
        ('{"id": "a", "options": {"shots": 9223372036854775808}}', "shots"),
        ('{"id": "a", "options": {"method": "magic"}}', "method"),
        ('{"id": "a", "options": {"noise": {"readout_0to1": 1.5}}}', "readout_0to1"),
        ("[" * 100_000, "Order"),
    ],
)
def test_what_does_not_follow_the_schema_is_refused_by_name(body: str, names: str) -> None:
    with pytest.raises(UsageError) as caught:
        from_json(body.encode(), Order)
    assert names in str(caught.value)


@pytest.mark.parametrize("shots", [0, -1, 2**63, 10_000_001])
def test_shots_have_bounds(shots: int) -> None:
    with pytest.raises(UsageError, match="shots must be between"):
        RunOptions(shots=shots)


def test_every_reference_in_the_schema_is_defined() -> None:
    (order,), components = schema(Order)
    text = json.dumps([order, components])
    names = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert names
    assert names <= components.keys()

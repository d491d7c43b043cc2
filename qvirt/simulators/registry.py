"""The engines: ours by dotted name, others' by the entry point group ``qvirt.simulators``."""

from __future__ import annotations

import importlib
from functools import cache
from importlib.metadata import entry_points

from qvirt.errors import Unsupported
from qvirt.simulators.contract import Simulator

BUILT_IN = (
    "qvirt.simulators.product:ProductSimulator",
    "qvirt.simulators.stim:StimSimulator",
    "qvirt.simulators.decision_diagram:DecisionDiagramSimulator",
    "qvirt.simulators.qsim:QsimSimulator",
    "qvirt.simulators.aer:AerSimulator",
)


@cache
def simulators() -> dict[str, Simulator]:
    """Every known engine by name, installed or not. Importing them loads no engine."""
    found: dict[str, Simulator] = {}
    for dotted in BUILT_IN:
        module, _, name = dotted.partition(":")
        simulator: Simulator = getattr(importlib.import_module(module), name)()
        found[simulator.name] = simulator
    for point in entry_points(group="qvirt.simulators"):
        simulator = point.load()()
        found[simulator.name] = simulator
    return found


def simulator(name: str) -> Simulator:
    """Raises Unsupported naming the engines that there are."""
    try:
        return simulators()[name]
    except KeyError:
        known = ", ".join(simulators())
        raise Unsupported(f"there is no engine {name!r}", hint=f"engines are: {known}") from None


@cache
def installed(name: str) -> bool:
    return simulator(name).version() is not None

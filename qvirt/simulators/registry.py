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
    "qvirt.simulators.torch_statevector:TorchSimulator",
)


@cache
def _known() -> tuple[dict[str, Simulator], dict[str, str]]:
    """The engines, and why those of others that cannot be loaded cannot."""
    found: dict[str, Simulator] = {}
    broken: dict[str, str] = {}
    for dotted in BUILT_IN:
        module, _, name = dotted.partition(":")
        simulator: Simulator = getattr(importlib.import_module(module), name)()
        found[simulator.name] = simulator
    for point in entry_points(group="qvirt.simulators"):
        try:
            simulator = point.load()()
            found[simulator.name] = simulator
        except Exception as error:  # whatever is wrong with it, the others work
            broken[point.name] = f"{type(error).__name__}: {error}"
    return found, broken


def simulators() -> dict[str, Simulator]:
    """Every engine by name, installed or not. Importing them loads no engine."""
    return _known()[0]


def broken() -> dict[str, str]:
    """Entry points that cannot be loaded, and why."""
    return _known()[1]


def simulator(name: str) -> Simulator:
    """Raises Unsupported naming the engines that there are, or why this one cannot be loaded."""
    try:
        return simulators()[name]
    except KeyError:
        if name in broken():
            raise Unsupported(
                f"the engine {name} cannot be loaded: {broken()[name]}", hint="update or remove its package"
            ) from None
        known = ", ".join(simulators())
        raise Unsupported(f"there is no engine {name!r}", hint=f"engines are: {known}") from None


@cache
def installed(name: str) -> bool:
    return simulator(name).version() is not None

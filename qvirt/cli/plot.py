"""Benchmark rows as a picture (extra ``plot``)."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from qvirt.errors import Unavailable
from qvirt.host.bench import Row
from qvirt.model.hardware import Hardware


def require_matplotlib() -> None:
    """Asked before the rows are measured, which takes minutes."""
    if find_spec("matplotlib") is None:
        raise Unavailable("--plot needs matplotlib", hint="pip install 'qvirt[plot]'")


def plot_bench(rows: Sequence[Row], hardware: Hardware, file: Path) -> None:
    """Write a PNG: a panel for each family, median seconds against qubits, a line for each engine."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    families = list(dict.fromkeys(row.family for row in rows))
    figure, panels = pyplot.subplots(
        1, len(families), figsize=(4.2 * len(families), 3.6), squeeze=False, sharey=True, layout="constrained"
    )
    for panel, family in zip(panels[0], families, strict=True):
        for engine in dict.fromkeys(row.engine for row in rows):
            line = [
                (r.qubits, r.median) for r in rows if (r.family, r.engine) == (family, engine) and r.median
            ]
            if line:
                panel.plot(*zip(*line, strict=True), marker="o", label=engine)
        panel.set(title=family, xlabel="qubits", yscale="log")
        panel.grid(alpha=0.3)
    panels[0][0].set_ylabel("seconds (median)")
    panels[0][0].legend()
    figure.suptitle(f"{hardware.cpu.model}, {hardware.usable.cpus:g} CPUs", fontsize=9)
    figure.savefig(file, dpi=130, format="png")
    pyplot.close(figure)

"""Circuit files in, circuits with facts out. For worker processes: it loads Qiskit."""

from qvirt.circuits.drawing import draw
from qvirt.circuits.facts import analyse
from qvirt.circuits.limits import ParseLimits
from qvirt.circuits.load import Loaded, dump, load

__all__ = ["Loaded", "ParseLimits", "analyse", "draw", "dump", "load"]

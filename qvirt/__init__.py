"""qvirt: a manager of quantum virtual machines.

The Python names are loaded on first use, so that ``import qvirt`` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qvirt.version import __version__

__all__ = [
    "Engine",
    "QuantumBackend",
    "QuantumJobResult",
    "QuantumVMConfig",
    "QuantumVirtualizationEngine",
    "__version__",
]

if TYPE_CHECKING:
    from qvirt.engine import (
        Engine,
        QuantumBackend,
        QuantumJobResult,
        QuantumVirtualizationEngine,
        QuantumVMConfig,
    )


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'qvirt' has no attribute {name!r}")
    from qvirt import engine

    return getattr(engine, name)

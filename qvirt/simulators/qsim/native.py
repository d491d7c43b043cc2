"""The native module of qsim by itself: the package ``qsimcirq`` would import Cirq, which takes seconds."""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from types import ModuleType

from qvirt.errors import Unavailable

_MODULES = ("qsim_avx512", "qsim_avx2", "qsim_sse", "qsim_basic")


@cache
def native() -> ModuleType:
    """The module for this CPU, as ``qsimcirq`` itself would choose it."""
    return _load(_MODULES[_load("qsim_decide").detect_instructions()])


def _load(name: str) -> ModuleType:
    full_name = f"qsimcirq.{name}"
    # Loaded twice it ends the process, so it is kept where ``import qsimcirq`` finds it too.
    if full_name in sys.modules:
        return sys.modules[full_name]
    package = importlib.util.find_spec("qsimcirq")
    for folder in (package.submodule_search_locations or ()) if package else ():
        for suffix in EXTENSION_SUFFIXES:
            path = Path(folder) / f"{name}{suffix}"
            spec = importlib.util.spec_from_file_location(full_name, path)
            if path.exists() and spec is not None and spec.loader is not None:
                module = sys.modules[full_name] = importlib.util.module_from_spec(spec)
                spec.loader.exec_module(module)
                return module
    raise Unavailable(f"qsimcirq has no module {name} here", hint="pip install 'qvirt[qsim]'")

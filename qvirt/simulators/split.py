"""A circuit whose qubits fall into independent parts is run part by part.

The sum of small state vectors instead of their product. What runs them is in split_program.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from qvirt.model.circuit import CircuitFacts
from qvirt.model.estimate import Candidate, Estimate
from qvirt.model.run import Method, Precision, RunOptions

CANDIDATE = Candidate("qvirt", Method.SPLIT, Precision.SINGLE)


def part_options(options: RunOptions) -> RunOptions:
    """What is asked of each part when ``options`` are asked of the whole."""
    return replace(options, per_shot_memory=True, method=None, engine=None)


def estimate(
    facts: CircuitFacts, parts: Sequence[Sequence[Estimate]], options: RunOptions
) -> Estimate | None:
    """The best certain candidate of every part, one after another; None where it does not apply."""
    from qvirt.simulators.sampling import reading_memory

    asked = options.method in (None, Method.SPLIT) and options.engine in (None, CANDIDATE.engine)
    if len(parts) < 2 or not asked or options.observables or options.state or options.probabilities:
        return None
    best = [min((e for e in part if e.certain), key=lambda e: e.cost, default=None) for part in parts]
    chosen = [e for e in best if e is not None]
    if len(chosen) < len(best):
        return None
    return Estimate(
        CANDIDATE,
        memory=max(e.memory for e in chosen) + reading_memory(facts, options),
        seconds=sum(e.seconds for e in chosen),
        error=max(e.error for e in chosen),
        certain=True,
        reason=f"{len(parts)} independent parts, simulated one after another",
    )

"""What the options of ``run`` and ``plan`` ask for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from qvirt.errors import UsageError
from qvirt.model.run import NOISE_AMOUNTS, NOISE_RATES, Method, Noise, Precision, RunOptions
from qvirt.model.wire import from_json
from qvirt.settings import Settings
from qvirt.units import parse_bytes, parse_seconds

_BOTH = {
    "depolarizing": ("depolarizing_1q", "depolarizing_2q"),
    "readout": ("readout_0to1", "readout_1to0"),
    "gate_time": ("gate_time_1q", "gate_time_2q"),
}


@dataclass(frozen=True, slots=True)
class Asked:
    """The options as they were typed, in the order in which ``run`` and ``plan`` have them."""

    shots: int | None
    seed: int | None
    engine: str | None
    method: Method | None
    precision: Precision | None
    observables: list[str] | None
    noise: str | None
    probabilities: bool
    per_shot: bool
    memory_limit: str | None
    time_limit: str | None
    state: bool = False
    start: str | None = None
    keep: str | None = None
    overwrite: bool = False
    device: str | None = None

    def options(self, settings: Settings) -> RunOptions:
        """Checked, and with the user's settings where nothing was typed. Raises UsageError."""
        return RunOptions(
            shots=settings.shots if self.shots is None else self.shots,
            seed=self.seed,
            engine=self.engine,
            method=self.method,
            precision=self.precision,
            device=self.device,
            observables=tuple(self.observables or ()),
            noise=parse_noise(self.noise) if self.noise else None,
            per_shot_memory=self.per_shot,
            probabilities=self.probabilities,
            state=self.state,
            start=self.start,
            keep=self.keep,
            overwrite=self.overwrite,
            memory_limit=parse_bytes(self.memory_limit) if self.memory_limit else settings.memory,
            time_limit=parse_seconds(self.time_limit) if self.time_limit else settings.time_limit,
        )


def parse_noise(text: str) -> Noise:
    """``depolarizing=0.01,readout=0.02``, or the name of a JSON file with the fields of Noise."""
    if "=" not in text:
        path = Path(text)
        if not path.is_file():
            raise UsageError(
                f"{text!r} is neither a noise file nor rates", hint="for example --noise depolarizing=0.01"
            )
        return from_json(path.read_bytes(), Noise)
    rates: dict[str, float] = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        for field in _BOTH.get(name.strip(), (name.strip(),)):
            if field not in (*NOISE_RATES, *NOISE_AMOUNTS):
                known = ", ".join([*_BOTH, *NOISE_RATES, *NOISE_AMOUNTS])
                raise UsageError(f"there is no noise rate {name.strip()!r}", hint=f"rates are: {known}")
            rates[field] = _rate(field, value)
    return Noise(**rates)  # type: ignore[arg-type]  # no rate is a list of matrices


def _rate(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"noise rate {name}: {text!r} is not a number") from None

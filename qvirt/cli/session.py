"""A host, and a process VM that lives as long as one command."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from secrets import token_hex
from typing import TYPE_CHECKING

from qvirt import settings
from qvirt.cli import output
from qvirt.cli.options import OutputFormat
from qvirt.cli.stages import stages
from qvirt.errors import Conflict, DoesNotFit, UsageError
from qvirt.host.host import Host
from qvirt.model.vm import VM, VMSpec, VMState
from qvirt.paths import Paths, default_home
from qvirt.units import show_bytes

if TYPE_CHECKING:
    from qvirt.host.specs import Wanted
    from qvirt.host.vms import Teller
    from qvirt.host.warm import Suits
    from qvirt.model.circuit import CircuitSource
    from qvirt.model.run import RunOptions
    from qvirt.model.sweep import Sweep

SHARE_OF_FREE_MEMORY = 0.9
SMALLEST_VM = 512 << 20


@contextmanager
def opened_host() -> Iterator[Host]:
    host = Host(Paths(default_home()), settings.load())
    try:
        yield host
    finally:
        host.close()


@dataclass(frozen=True, slots=True)
class Target:
    """Where circuits are to run, as it was typed: a VM that there is, or what one is made of for them.

    ``quiet``: nothing is said of how it comes about.
    """

    vm: str | None = None
    runtime: str | None = None
    template: str | None = None
    cpus: int | None = None
    quiet: bool = False

    def tell(self, text: str) -> None:
        output.notes(self.quiet)(text)


@contextmanager
def target_vm(host: Host, target: Target, suits: Suits | None = None) -> Iterator[VM]:
    """A VM that is up or comes up; what is made for this command goes with it.

    One that is kept warm is taken where it ``suits``, which is asked of no other; None takes none.
    """
    if target.vm is not None:
        yield _existing(host, target)
        return
    if target.template is None and target.runtime in (None, "process"):
        with embedded_vm(host, target.cpus) as vm:
            yield vm
        return
    from qvirt.host.specs import Wanted

    name = f"run-{token_hex(4)}"
    wanted = Wanted(name, target.runtime, cpus=target.cpus)
    with _warm(host, wanted, target, suits) as vm:
        if vm is not None:
            yield vm
            return
    wanted = replace(wanted, spares=0)
    if target.template is None:
        wanted = replace(wanted, memory=_free_memory(), cpus=target.cpus or _all_cpus())
    with host.machine(host.specify(wanted, target.template, target.tell)) as vm:
        warn_of_slowness(host, vm, target.tell)
        yield vm


@contextmanager
def _warm(host: Host, wanted: Wanted, target: Target, suits: Suits | None) -> Iterator[VM | None]:
    """One that waits; without a template of any size that ``suits``, as nobody has named another."""
    if suits is None or not host.warm.waiting():
        yield None
        return
    spec = host.specify(wanted, target.template, output.notes(quiet=True))
    kinds = [spec] if target.template else _kinds(host, spec.runtime)
    like = [replace(kind, name=spec.name) for kind in kinds]
    if wanted.cpus is not None:
        like = [each for each in like if each.cpus == wanted.cpus]
    with host.warm_machine(like, suits, target.tell) as vm:
        yield vm


def _kinds(host: Host, runtime: str) -> Iterator[VMSpec]:
    """What is kept warm there, and made of what is made now."""
    for filled in host.warm.filled():
        kind = filled.pool.spec
        if kind.runtime == runtime and kind.image is None and not kind.gpu:
            yield kind


def roomy(host: Host, batch: list[CircuitSource], options: RunOptions, sweep: Sweep | None) -> Suits:
    """Whether a VM has room for all of these; one that is made for them has all that is free."""
    return lambda vm: host.holds(vm, batch, options, sweep)


def made_vm(host: Host, make: Callable[[Teller], VM], quiet: bool) -> VM:
    """What ``make`` makes, with its stages, and with a word where simulations in it are slow."""
    with stages(quiet) as tell:
        vm = make(tell)
    warn_of_slowness(host, vm, output.notes(quiet))
    return vm


def print_vm(vm: VM, format: OutputFormat) -> None:
    """One that was made: its name is enough for people."""
    if format is OutputFormat.JSON:
        output.document("qvirt.vm/1", vm=vm)
    else:
        output.result(vm.spec.name)


def warn_of_slowness(host: Host, vm: VM, tell: Callable[[str], None]) -> None:
    slowdown = host.vms.capabilities(vm).slowdown
    if slowdown > 1:
        tell(
            f"warning: simulations in a {vm.spec.runtime} VM take about {slowdown:.0f} times as long here; "
            f"`qvirt doctor` says why"
        )


def _existing(host: Host, target: Target) -> VM:
    if target.runtime or target.template or target.cpus:
        raise UsageError("--vm names a VM that there is: leave out --runtime, --template and --cpus")
    vm = host.vms.find(target.vm or "")
    verb = {VMState.PAUSED: "resume", VMState.STOPPED: "start", VMState.FAILED: "start"}.get(vm.state)
    if verb is not None:
        why = f" ({vm.reason})" if vm.reason else ""
        raise Conflict(f"VM {vm.spec.name} is {vm.state.value}{why}", hint=f"qvirt vm {verb} {vm.spec.name}")
    return vm


@contextmanager
def embedded_vm(host: Host, cpus: int | None = None, gpu: bool = False) -> Iterator[VM]:
    """A process VM with all that this process may use, less a share of the memory for everybody else.

    With a GPU its first order waits for the trial of that, which takes longer than most circuits.
    """
    available = _all_cpus()
    spec = VMSpec(
        name=f"run-{token_hex(4)}",
        memory=_free_memory(),
        cpus=min(cpus or host.settings.cpus or available, available),
        spares=0,
        gpu=gpu,
    )
    with host.machine(spec) as vm:
        yield vm


def _all_cpus() -> int:
    from qvirt.probe import usable

    return max(1, int(usable().cpus))


def _free_memory() -> int:
    """Bytes. Raises DoesNotFit where it is too little for any VM."""
    from qvirt.probe import usable

    found = usable()
    memory = int(SHARE_OF_FREE_MEMORY * min(found.memory, found.memory_available))
    if memory < SMALLEST_VM:
        raise DoesNotFit(
            f"{show_bytes(found.memory_available)} of memory is free, a VM needs {show_bytes(SMALLEST_VM)}",
            hint="end something else, or raise the limit that `qvirt probe` names",
        )
    return memory

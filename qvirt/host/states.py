"""The states that VMs keep between jobs, as the host moves them: out to files and in, from VM to VM."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from qvirt.errors import Conflict, NotFound, Unsupported, UsageError
from qvirt.host.bodies import PIECE
from qvirt.host.guests import Guest
from qvirt.host.vms import Teller, VMs
from qvirt.model.state import KeptState
from qvirt.model.vm import VM, VMState
from qvirt.store import write_atomically


class States:
    """A VM keeps them itself, so it is asked, and must be running."""

    def __init__(self, vms: VMs) -> None:
        self._vms = vms

    def of(self, vm: VM) -> list[KeptState]:
        with self._guest(vm) as guest:
            return guest.states()

    def known(self, vm: VM, tell: Teller) -> list[KeptState]:
        """The same; none, and ``tell`` hears why, where its image is older than states."""
        try:
            return self.of(vm)
        except Unsupported as error:
            tell(f"without states that VM {vm.spec.name} may keep: {error.message}; {error.hint}")
            return []

    def find(self, vm: VM, name: str) -> KeptState:
        """Raises NotFound naming those that there are."""
        states = {state.name: state for state in self.of(vm)}
        if name not in states:
            known = f"it keeps: {', '.join(states)}" if states else "`qvirt run --keep NAME` keeps one"
            raise NotFound(f"VM {vm.spec.name} keeps no state {name!r}", hint=known)
        return states[name]

    def write(self, vm: VM, name: str, path: Path) -> int:
        """To a file that is there whole or not at all; its size."""
        with self._guest(vm) as guest, guest.kept_state(name) as octets:
            return write_atomically(path, octets)

    def read(
        self, vm: VM, name: str, path: Path, *, overwrite: bool = False, like: KeptState | None = None
    ) -> KeptState:
        """From a file; see ``Guest.give_state``."""
        try:
            file = path.open("rb")
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror}") from None
        with file, self._guest(vm) as guest:
            octets = iter(partial(file.read, PIECE), b"")
            return guest.give_state(name, octets, overwrite=overwrite, like=like)

    def remove(self, vm: VM, name: str) -> None:
        with self._guest(vm) as guest:
            guest.remove_state(name)

    def copy(self, vm: VM, other: VM, tell: Teller) -> None:
        """All that ``vm`` keeps, to ``other`` as well; ``tell``: see ``known``."""
        states = self.known(vm, tell)
        with self._guest(vm) as giver, self._guest(other) as taker:
            for state in states:
                with giver.kept_state(state.name) as octets:
                    taker.give_state(state.name, octets, overwrite=True, like=state)

    @contextmanager
    def _guest(self, vm: VM) -> Iterator[Guest]:
        if vm.state is not VMState.RUNNING:
            verb = "resume" if vm.state is VMState.PAUSED else "start"
            raise Conflict(
                f"VM {vm.spec.name} is {vm.state.value}: only one that runs can be asked for its states",
                hint=f"qvirt vm {verb} {vm.spec.name}",
            )
        with Guest(self._vms.endpoint(vm)) as guest:
            yield guest

"""A process VM that fails when it is told to, for tests and demonstrations.

What fails is written in the VM's environment variable ``QVIRT_FAKE``: names of calls, separated by
commas. ``create``, ``start``, ``stop``, ``endpoint``, ``logs`` and ``stats`` raise; ``away`` has ``start``
say that the engine does not answer; ``silent`` makes a guest that nobody can reach; ``dies`` one that ends
as soon as it is started. With none it is a process VM. ``slow`` in the environment of qvirt itself has
simulations said to take longer here.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from dataclasses import replace

from qvirt.errors import Unavailable, VMFailed
from qvirt.model.vm import VM, Endpoint, Handle
from qvirt.runtimes.contract import Availability, Capabilities, Stats
from qvirt.runtimes.process import ProcessRuntime

SCRIPT = "QVIRT_FAKE"
SLOWDOWN = 40.0


class FakeRuntime(ProcessRuntime):
    name = "fake"

    def probe(self) -> Availability:
        return Availability(True, f"process VMs that fail as {SCRIPT} in their environment says")

    def capabilities(self) -> Capabilities:
        found = super().capabilities()
        return replace(found, slowdown=SLOWDOWN) if "slow" in _words(os.environ) else found

    def create(self, vm: VM) -> Handle:
        _fail("create", vm.spec.environment)
        return super().create(vm)

    def start(self, handle: Handle) -> Handle:
        script = self._script(handle)
        self._fail(handle, "start")
        if "away" in script:
            raise Unavailable("the engine was told to be away", hint=f"take it out of {SCRIPT}")
        started = super().start(handle)
        pid = self.inspect(started).pid
        if pid is not None and "dies" in script:
            os.kill(pid, signal.SIGKILL)
        return started

    def stop(self, handle: Handle, timeout: float = 5.0) -> None:
        self._fail(handle, "stop")
        super().stop(handle, timeout)

    def endpoint(self, handle: Handle) -> Endpoint:
        self._fail(handle, "endpoint")
        found = super().endpoint(handle)
        return replace(found, socket=f"{found.socket}.nobody") if "silent" in self._script(handle) else found

    def logs(self, handle: Handle) -> str:
        self._fail(handle, "logs")
        return super().logs(handle)

    def stats(self, handle: Handle) -> Stats:
        self._fail(handle, "stats")
        return super().stats(handle)

    def _fail(self, handle: Handle, call: str) -> None:
        _fail(call, {SCRIPT: ",".join(self._script(handle))})

    def _script(self, handle: Handle) -> frozenset[str]:
        try:
            return _words(self._machine(handle).spec.environment)
        except VMFailed:
            return frozenset()


def _words(environment: Mapping[str, str]) -> frozenset[str]:
    return frozenset(filter(None, environment.get(SCRIPT, "").split(",")))


def _fail(call: str, environment: Mapping[str, str]) -> None:
    if call in _words(environment):
        raise VMFailed(f"{call} was told to fail", hint=f"take it out of {SCRIPT}")

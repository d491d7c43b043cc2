"""Finding the container engine of this machine, and asking it."""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from qvirt.errors import Conflict, QvirtError, StateError, Unavailable, VMFailed
from qvirt.runtimes.docker.facts import Facts, read_facts

VARIABLES = ("DOCKER_HOST", "CONTAINER_HOST")
INSTALL = "./setup_quantum_vm.sh --with docker"
START = "sudo systemctl start docker, or without systemd: sudo service docker start"
WHOLE = "`qvirt image inspect --verify` says whether the image is whole, `qvirt image build` mends it"
JOIN = "sudo usermod -aG docker $USER, then log in again"
CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 60
LOAD_SECONDS = 600


def address(environment: Mapping[str, str]) -> str:
    """Path of the engine's socket; of the usual ones the first that answers. Raises Unavailable."""
    if not sys.platform.startswith("linux"):  # elsewhere it lives in a VM, which shares no sockets
        raise Unavailable("containers are VMs on Linux only", hint="use the process or qemu runtime")
    for name in VARIABLES:
        if environment.get(name):
            return _local(environment[name], name)
    own = environment.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    usual = (
        "/var/run/docker.sock",
        f"{own}/docker.sock",
        "/run/podman/podman.sock",
        f"{own}/podman/podman.sock",
    )
    found = [path for path in usual if Path(path).is_socket()]
    if not found:
        raise Unavailable("neither Docker nor Podman runs here: there is no socket of theirs", hint=INSTALL)
    return next((path for path in found if silence(path) is None), found[0])


def _local(url: str, name: str) -> str:
    scheme, _, rest = url.partition(":")
    if scheme != "unix":
        raise Unavailable(
            f"{name} is {url}: a VM shares a folder with its engine, which must be on this machine",
            hint=f"unset {name}, or set it to unix:///path/of/the/socket",
        )
    return "/" + rest.lstrip("/")


def silence(path: str) -> OSError | None:
    """Why nobody can be reached at a Unix socket; None where somebody listens."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(CONNECT_SECONDS)
        try:
            probe.connect(path)
        except OSError as error:
            return error
    return None


def library() -> Any:
    """The SDK, imported. Raises Unavailable."""
    try:
        import docker
    except ImportError as error:
        raise Unavailable(
            f"the Python library docker cannot be loaded: {error}", hint="pip install 'qvirt[docker]'"
        ) from None
    return docker


class Engine:
    """One container engine. It is reached when it is first asked, and remembers nothing of its VMs."""

    def __init__(self, path: str) -> None:
        self.path = path

    @cached_property
    def api(self) -> Any:
        """The SDK's client. Raises Unavailable."""
        return self._connect(ANSWER_SECONDS)

    @cached_property
    def facts(self) -> Facts:
        with self.asked("say what it is"):
            return read_facts(self.api.version(), self.api.info())

    def container(self, name: str) -> dict[str, Any] | None:
        """What ``docker inspect`` shows; None where there is no such container."""
        with self.asked(f"say how {name} is"), suppress(library().errors.NotFound):
            found: dict[str, Any] = self.api.inspect_container(name)
            return found
        return None

    def make(self, name: str, body: Mapping[str, Any]) -> bool:
        """A container that does not run yet; False where the engine has not got its image."""
        with self.asked(f"make {name}"), suppress(library().errors.ImageNotFound):
            self.api.create_container_from_config(body, name)
            return True
        return False

    def remove(self, name: str) -> None:
        """End and remove a container; one that is gone, or is just being removed, is no error."""
        errors = library().errors
        with self.asked(f"remove {name}"), suppress(errors.NotFound):
            try:
                self.api.remove_container(name, force=True, v=True)
            except errors.APIError as error:
                if error.status_code != 409 or "in progress" not in str(error.explanation):
                    raise
                self.api.wait(name, condition="removed")

    def log(self, name: str) -> str:
        """All that a container has printed, as far as the engine keeps it."""
        with self.asked(f"give the log of {name}"):
            printed: bytes = self.api.logs(name, stdout=True, stderr=True)
        return printed.decode("utf-8", "replace")

    def labelled(self, label: str) -> Sequence[Mapping[str, Any]]:
        """The containers, running or not, that have a label ``name=value``."""
        with self.asked("list its containers"):
            found: Sequence[Mapping[str, Any]] = self.api.containers(all=True, filters={"label": [label]})
            return found

    def load(self, archive: Path) -> None:
        """Take in an image from the file that ``docker save`` would have written."""
        with self.asked(f"load {archive}"), archive.open("rb") as file:
            for said in self._connect(LOAD_SECONDS).load_image(file):
                if "error" in said:
                    raise _refusal(f"load {archive}", str(said["error"]), None, hint=WHOLE)

    @contextmanager
    def asked(self, what: str) -> Iterator[None]:
        """Raises what the engine has against doing ``what``: Unavailable, Conflict, StateError, VMFailed."""
        errors = library().errors
        try:
            yield
        except errors.APIError as error:
            raise _refusal(what, str(error.explanation or error), error.status_code) from None
        except (errors.DockerException, OSError) as error:
            raise self._unreachable(silence(self.path) or error) from None

    def _connect(self, patience: int) -> Any:
        refused = silence(self.path)
        if refused is not None:
            raise self._unreachable(refused)
        docker = library()
        try:
            return docker.APIClient(base_url=f"unix://{self.path}", version="auto", timeout=patience)
        except docker.errors.DockerException as error:
            raise self._unreachable(error) from None

    def _unreachable(self, error: BaseException) -> Unavailable:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        denied = isinstance(error, OSError) and error.errno == errno.EACCES
        return Unavailable(
            f"the container engine at {self.path} does not answer: {why}", hint=JOIN if denied else START
        )


_REFUSALS: tuple[tuple[str, Callable[[str], QvirtError]], ...] = (
    (
        "no space left on device",
        lambda said: StateError(said, hint="free some space: docker system df shows what the engine uses"),
    ),
    (
        "could not select device driver",
        lambda said: Unavailable(said, hint="install the NVIDIA Container Toolkit and restart the engine"),
    ),
)
"""What an engine says in particular cases, and what that is for us."""


def _refusal(what: str, said: str, status: int | None, hint: str | None = None) -> QvirtError:
    message = f"the container engine would not {what}: {said.strip()}"
    for sign, kind in _REFUSALS:
        if sign in said.lower():
            return kind(message)
    return Conflict(message, hint=hint) if status == 409 else VMFailed(message, hint=hint)

"""A VM as a container of Docker or Podman."""

from qvirt.runtimes.docker.runtime import DockerRuntime

__all__ = ["DockerRuntime"]

"""Qiskit Aer: dense states, density matrices, matrix product states and stabilizers, noise of any kind."""

from qvirt.simulators.aer.simulator import AerSimulator

__all__ = ["AerSimulator"]

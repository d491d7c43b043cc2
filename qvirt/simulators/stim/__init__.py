"""Clifford circuits, noisy ones too, by Stim: thousands of qubits, millions of shots."""

from qvirt.simulators.stim.simulator import StimSimulator

__all__ = ["StimSimulator"]

"""Decision diagrams: states with structure, of any number of qubits, by the package of MQT."""

from qvirt.simulators.decision_diagram.simulator import DecisionDiagramSimulator

__all__ = ["DecisionDiagramSimulator"]

"""Dense states by our own engine in PyTorch: one code for CUDA, Apple's MPS and CPUs.

A circuit becomes segments of gates between what chance decides, each compiled into sweeps over the
amplitudes. Which qubit is at which bit of the index is a table, so that swaps are renamings; gates are
applied to tiles that hold the low bits and a few high ones, as in mpiQulacs (arXiv:2203.16044) and
Häner and Steiger's simulator (SC17, arXiv:1704.01127), whose global qubits these high bits are. Noise is
drawn in batches of quantum trajectories that share what they have in common, or held exactly in a density
matrix, which the same kernels change as a state of twice as many qubits. States are changed in place;
beside them there are a few tiles.
"""

from qvirt.simulators.torch_statevector.simulator import TorchSimulator

__all__ = ["TorchSimulator"]

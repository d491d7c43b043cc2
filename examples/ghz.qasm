// Five qubits in a GHZ state: all 0 or all 1. Nothing is measured here, so qvirt measures every qubit.
OPENQASM 3.0;
include "stdgates.inc";

const int n = 5;
qubit[n] q;

h q[0];
for int i in [0:n - 2] {
  cx q[i], q[i + 1];
}

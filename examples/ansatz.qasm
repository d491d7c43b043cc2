// A small variational circuit: `qvirt run examples/ansatz.qasm --params examples/ansatz.csv -O ZZ`
OPENQASM 3.0;
include "stdgates.inc";
input float theta;
input float phi;
qubit[2] q;
bit[2] c;
ry(theta) q[0];
cx q[0], q[1];
rz(phi) q[1];
rx(theta / 2) q[1];
c = measure q;

// Teleportation: the state of q[0] moves to q[2], with two classical bits sent on the way.
OPENQASM 3.0;
include "stdgates.inc";

qubit[3] q;
bit[2] sent;
bit received;

ry(pi / 3) q[0];  // the state to send: 1 is read with probability 1/4

h q[1];  // an entangled pair, q[1] here and q[2] there
cx q[1], q[2];

cx q[0], q[1];  // the sender's measurement in the Bell basis
h q[0];
sent[0] = measure q[0];
sent[1] = measure q[1];

if (sent[1] == 1) { x q[2]; }  // the receiver's corrections
if (sent[0] == 1) { z q[2]; }

received = measure q[2];

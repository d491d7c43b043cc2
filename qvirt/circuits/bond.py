"""An upper bound of the bond dimension that a matrix product state in qubit order needs.

Cut k lies between qubit k - 1 and qubit k. A gate that crosses it multiplies the Schmidt rank there by
its own operator Schmidt rank at most; the rank is never above 2 to the number of qubits on either side,
and at most twice that of a neighbouring cut (one more qubit on one side).
"""

from __future__ import annotations

_STATE_BITS = {
    **dict.fromkeys(("swap", "iswap", "dcx", "cswap", "rcccx", "xx_plus_yy", "xx_minus_yy"), 2),
    **dict.fromkeys(("cx", "cy", "cz", "ch", "cs", "csdg", "csx", "cp", "cu1", "crx", "cry", "crz"), 1),
    **dict.fromkeys(("cu", "cu3", "rxx", "ryy", "rzz", "rzx", "ecr"), 1),
    **dict.fromkeys(("ccx", "ccz", "mcx", "c3sx", "mcphase"), 1),
}
"""log2 of the largest operator Schmidt rank of a gate over all cuts. A gate with controls and one target
is the identity plus one product term, whatever the cut."""

_STEPS = 2_000_000
"""Cuts that are updated one by one; after that the bound stays valid but is only capped at the end."""

_HIGHEST = 300
_POWERS_OF_8 = [8.0**bits for bits in range(_HIGHEST + 1)]
"""Up to where a sum of millions of them is still a float."""


def schmidt_bits(name: str, num_qubits: int) -> int:
    return _STATE_BITS.get(name, 2 * (num_qubits // 2))


class BondBound:
    """The bound, gate by gate; time is linear in the number of gates for any number of qubits."""

    def __init__(self, num_qubits: int) -> None:
        # Entries 0 and n are the ends, where the rank is 1.
        self._bits = [0] * (num_qubits + 1)
        self._left = _STEPS
        self._cost = 0.0
        self._late = [(0, 0)] * (num_qubits + 2)

    def gate(self, name: str, qubits: list[int]) -> None:
        low, high = min(qubits), max(qubits)
        added = schmidt_bits(name, len(qubits))
        bits = self._bits
        self._left -= high - low
        if self._left < 0:
            self._defer(low, high, added)
        elif high == low + 1:
            bound = min(bits[high] + added, bits[low] + 1, bits[high + 1] + 1)
            bits[high] = bound
            self._cost += _power_of_8(bound)
        else:
            self._spread(low, high, added)

    def _spread(self, low: int, high: int, added: int) -> None:
        """The innermost loops of all facts: no calls in them."""
        bits, powers = self._bits, _POWERS_OF_8
        bound = bits[low]
        for cut in range(low + 1, high + 1):
            most = bound + 1
            bound = bits[cut] + added
            if bound > most:
                bound = most
            bits[cut] = bound
        bound = bits[high + 1]
        cost = 0.0
        for cut in range(high, low, -1):
            most = bound + 1
            bound = bits[cut]
            if bound > most:
                bits[cut] = bound = most
            cost += powers[bound] if bound < _HIGHEST else powers[_HIGHEST]
        self._cost += cost

    def _defer(self, low: int, high: int, added: int) -> None:
        bits, gates = self._late[low + 1]
        self._late[low + 1] = (bits + added, gates + 1)
        bits, gates = self._late[high + 1]
        self._late[high + 1] = (bits - added, gates - 1)

    def result(self) -> tuple[int, float]:
        """log2 of the bond dimension at the worst cut, and the sum over gates of 8 to the bound there.

        A gate that crosses several cuts counts at each of them.
        """
        bits = self._bits
        added = gates = 0
        crossing = [0] * len(bits)
        for cut in range(1, len(bits) - 1):
            more, begun = self._late[cut]
            added += more
            gates += begun
            crossing[cut] = gates
            bits[cut] = min(bits[cut] + added, bits[cut - 1] + 1)
        cost = self._cost
        for cut in range(len(bits) - 2, 0, -1):
            bits[cut] = min(bits[cut], bits[cut + 1] + 1)
            if crossing[cut]:
                cost += crossing[cut] * _power_of_8(bits[cut])
        return max(bits), cost


def _power_of_8(bits: int) -> float:
    return _POWERS_OF_8[min(bits, _HIGHEST)]

from __future__ import annotations

import msgspec
import pytest

from qvirt.errors import CircuitError, EngineFailed
from qvirt.guest import messages
from qvirt.guest.messages import Choose, Done, Failed, Progressed, Work, expect
from qvirt.model.circuit import CircuitSource
from qvirt.model.run import Limits, Noise, RunOptions

WORK = Work(
    CircuitSource("x.qasm", bytes(range(256))),
    RunOptions(shots=3, seed=2**62, noise=Noise(depolarizing_1q=0.1), observables=("ZZ",)),
    Limits(memory=1 << 40, threads=2, seconds=0.5),
)


def test_a_frame_says_its_length_and_holds_the_message() -> None:
    frame = messages.frame(Choose(WORK, go_on=True))
    header, body = frame[: messages.HEADER.size], frame[messages.HEADER.size :]
    assert messages.length(header) == len(body)
    assert messages.request(body) == Choose(WORK, go_on=True)


def test_what_is_no_reply_is_refused() -> None:
    request = messages.frame(Choose(WORK, go_on=True))[messages.HEADER.size :]
    with pytest.raises(msgspec.MsgspecError):
        messages.reply(request)


def test_the_expected_reply_is_given_back_and_a_failure_raised_as_what_it_was() -> None:
    assert expect(Progressed, Progressed(0.5)).fraction == 0.5
    with pytest.raises(EngineFailed, match="Progressed, not Done"):
        expect(Done, Progressed(0.5))
    error = CircuitError("no such gate", file="x.qasm", line=3, column=7)
    with pytest.raises(CircuitError) as raised:
        expect(Done, Failed(error.info()))
    assert raised.value.info() == error.info()

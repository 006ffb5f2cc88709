"""Frames out of a stream, however it is cut.

Covers server/mllp/framing.py.
"""

from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.mllp.framing import HEAD_BYTES, Frame, Framer, framed

BYTES = st.lists(st.sampled_from([b"\x0b", b"\x1c", b"\r", b"MSH|", b"x", b"\x1c\r"]), max_size=40).map(
    b"".join
)


def frames(*pieces: bytes, most: int = 1_000_000) -> list[Frame]:
    framer = Framer(most)
    return [frame for piece in pieces for frame in framer.feed(piece)] + framer.end()


@pytest.mark.requirement("MLLP2")
@given(BYTES, st.data())
def test_it_does_not_matter_where_the_network_cuts(stream: bytes, data: st.DataObject) -> None:
    places = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    cuts = [0, *places, len(stream)]
    pieces = [stream[start:end] for start, end in itertools.pairwise(cuts)]
    assert frames(*pieces) == frames(stream)


@given(st.lists(st.binary(max_size=60).filter(lambda data: data and b"\x0b" not in data), max_size=6))
def test_what_is_framed_comes_out_as_it_was(messages: list[bytes]) -> None:
    whole = [data for data in messages if b"\x1c\r" not in data and not data.endswith(b"\x1c")]
    found = frames(b"".join(map(framed, whole)))
    assert [(frame.data, frame.flaw, frame.warnings) for frame in found] == [(data, "", ()) for data in whole]


@given(BYTES)
def test_every_byte_is_in_a_frame_or_noise_or_means_something(stream: bytes) -> None:
    framer = Framer(1_000_000)
    found = framer.feed(stream) + framer.end()
    kept = sum(frame.size for frame in found) + framer.noise
    assert kept <= len(stream)
    assert len(stream) - kept <= stream.count(b"\x0b") + stream.count(b"\x1c") + stream.count(b"\r")
    assert framer.held == 0


def test_of_a_message_that_is_too_large_the_head_is_kept() -> None:
    framer = Framer(10_000)
    data = b"MSH|" + b"x" * 50_000
    found = framer.feed(b"\x0b" + data[:30_000])
    assert (found, framer.held) == ([], HEAD_BYTES)
    (frame,) = framer.feed(data[30_000:] + b"\x1c\r")
    assert (frame.data, frame.flaw, frame.size) == (data[:HEAD_BYTES], "too-large", len(data))
    assert framer.feed(framed(b"MSH|2")) == [Frame(b"MSH|2", "", 5)]


def test_a_message_can_be_passed_over_where_memory_is_short() -> None:
    framer = Framer(1_000_000)
    framer.feed(b"\x0bMSH|" + b"x" * 50_000)
    framer.shed()
    assert framer.held == HEAD_BYTES
    (frame,) = framer.feed(b"more\x1c\r")
    assert (frame.flaw, len(frame.data)) == ("busy", HEAD_BYTES)


@pytest.mark.requirement("MLLP5")
@pytest.mark.parametrize("unit", [b"\x0b", b"\x1c", b"\x0bx", b"\x1cx", b"\x0bx\x1c", b"\x0b\x1c\r", b"\r"])
def test_time_grows_with_the_bytes_and_no_faster(unit: bytes) -> None:
    def seconds(times: int) -> float:
        framer, stream = Framer(100_000_000), unit * times
        started = time.process_time()
        for start in range(0, len(stream), 65_536):
            framer.feed(stream[start : start + 65_536])
        framer.end()
        return time.process_time() - started

    small = min(seconds(50_000) for _ in range(3))
    assert seconds(400_000) < 8 * 4 * max(small, 0.01)

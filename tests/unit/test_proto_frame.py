"""Resynchronisation and what the vectors cannot say about frames."""

import pytest

from hyper.errors import ProtocolError
from hyper.proto.frame import (
    Flag,
    FrameDecoder,
    FrameType,
    Resync,
    decode_ack,
    decode_data,
    encode_ack,
    encode_data,
    encode_frame,
)
from hyper.proto.message import GuestHello, encode_hello

NONCE = bytes(range(16))
HELLO = encode_hello(GuestHello(NONCE, 1, "agent"))


def test_resync_returns_from_the_header_on() -> None:
    assert Resync(NONCE).feed(HELLO + b"rest") == HELLO + b"rest"


def test_resync_discards_noise_and_half_a_frame() -> None:
    noise = encode_data(5, 0, b"x" * 100)[40:]
    assert Resync(NONCE).feed(noise + HELLO) == HELLO


def test_resync_byte_by_byte_hands_over_at_the_nonce_and_no_earlier() -> None:
    resync = Resync(NONCE)
    stream = b"\xff" * 50 + HELLO
    got = [resync.feed(stream[i : i + 1]) for i in range(50 + 36)]
    assert got[:-1] == [None] * 85
    assert got[-1] == HELLO[:36]


def test_resync_ignores_an_older_hello_and_a_naked_nonce() -> None:
    older = encode_hello(GuestHello(bytes(16), 1, "agent"))
    resync = Resync(NONCE)
    assert resync.feed(older + NONCE + b"\x01" + NONCE) is None
    assert resync.feed(HELLO) == HELLO


@pytest.mark.parametrize("version", [0, 1, 2, 3])
@pytest.mark.parametrize("rest", [b"", b"whatever that version says"])
def test_resync_finds_a_hello_of_any_version(
    version: int, rest: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A guest of another version is told by its number: passed over, it would seem not to answer."""
    monkeypatch.setattr("hyper.proto.frame.VERSION", 9)
    body = GuestHello(NONCE, 1, "agent", version=version).encode()[: 8 + 16] + rest
    hello = encode_frame(FrameType.HELLO, body)
    assert Resync(NONCE).feed(b"\xff" * 50 + hello) == hello


def test_resync_holds_little_memory() -> None:
    resync = Resync(NONCE)
    for _ in range(100):
        assert resync.feed(b"\x01" * 65536) is None
    assert len(resync._tail) < 36


def test_resync_wants_a_whole_nonce() -> None:
    with pytest.raises(ProtocolError):
        Resync(b"short")


@pytest.mark.parametrize(
    ("type", "body", "stream", "flags"),
    [
        (FrameType.DATA, bytes(65537), 5, Flag.NONE),
        (FrameType.DATA, b"", 1 << 32, Flag.NONE),
        (FrameType.DATA, b"", -1, Flag.NONE),
        (FrameType.DATA, b"", 5, Flag.MORE),
        (FrameType.REQUEST, b"", 0, Flag.NONE),
        (FrameType.REPLY, b"", 0, Flag.NONE),
        (FrameType.HELLO, b"", 1, Flag.NONE),
        (FrameType.EVENT, b"", 1, Flag.NONE),
    ],
)
def test_encode_refuses_what_decode_would(
    type: FrameType, body: bytes, stream: int, flags: Flag
) -> None:
    with pytest.raises(ProtocolError):
        encode_frame(type, body, stream=stream, flags=flags)


def test_data_and_ack_round_trip() -> None:
    data, ack = FrameDecoder().feed(encode_data(5, 7, b"abc", fin=True) + encode_ack(6, 9))
    assert (data.stream, decode_data(data), data.flags) == (5, (7, b"abc"), Flag.FIN)
    assert (ack.stream, decode_ack(ack)) == (6, 9)


def test_data_and_ack_with_impossible_bodies() -> None:
    short = encode_frame(FrameType.DATA, b"1234567", stream=5)
    long = encode_frame(FrameType.ACK, b"123456789", stream=5)
    data, ack = FrameDecoder().feed(short + long)
    for decode, frame in ((decode_data, data), (decode_ack, ack), (decode_ack, data)):
        with pytest.raises(ProtocolError):
            decode(frame)
    for offset in (-1, 1 << 64):
        with pytest.raises(ProtocolError):
            encode_ack(5, offset)

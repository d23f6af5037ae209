"""What BuildKit's clients read where there is no BuildKit: HTTP/2 frames, and one sentence in them."""

from __future__ import annotations

import pytest

from hyper.api.docker.buildkit import BrokenProtocol, Refusal

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = bytes.fromhex("000000 04 00 00000000")
PING = bytes.fromhex("000008 06 00 00000000 0102030405060708")


def call(stream: int) -> bytes:
    """A request's header fields, of which nobody looks at any."""
    return bytes.fromhex("000001 01 04") + stream.to_bytes(4) + b"\x82"


def test_every_call_has_the_same_answer() -> None:
    """Trailers alone, on the call's own stream; settings and pings are acknowledged, room is given back."""
    refusal = Refusal("no: 100%")
    assert refusal.feed(PREFACE + SETTINGS) == SETTINGS + bytes.fromhex("000000 04 01 00000000")
    fields = (
        b"\x88"
        b"\0\x0ccontent-type\x10application/grpc"
        b"\0\x0bgrpc-status\x0212"
        b"\0\x0cgrpc-message\x0ano: 100%25"
    )
    head = len(fields).to_bytes(3) + b"\x01\x05"
    assert refusal.feed(call(1)) == head + (1).to_bytes(4) + fields
    assert refusal.feed(call(3)) == head + (3).to_bytes(4) + fields
    assert refusal.feed(PING) == bytes.fromhex("000008 06 01 00000000 0102030405060708")
    data = bytes.fromhex("000005 00 01 00000003") + b"hello"
    assert refusal.feed(data) == bytes.fromhex("000004 08 00 00000000 00000005")
    assert not refusal.over
    assert refusal.feed(bytes.fromhex("000008 07 00 00000000 0000000000000000")) == b""
    assert refusal.over


def test_bytes_that_come_one_by_one() -> None:
    """The answers are the same."""
    whole = PREFACE + SETTINGS + call(1) + PING
    one = Refusal("a long sentence " * 20)
    other = Refusal("a long sentence " * 20)
    assert one.feed(whole) == b"".join(other.feed(bytes([byte])) for byte in whole)


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\n", b"\0" * 24, PREFACE + bytes.fromhex("ffffff 00 00 00000001")]
)
def test_what_is_no_http_2(data: bytes) -> None:
    """No preface, or a frame longer than was allowed: nothing is kept of it."""
    with pytest.raises(BrokenProtocol):
        Refusal("no").feed(data)

"""Docker's raw stream."""

import pytest

from hyper.errors import ProtocolError
from hyper.proto.docker_stream import STDERR, STDOUT, DockerStreamDecoder, encode_piece


def test_bytes() -> None:
    assert encode_piece(STDERR, b"hi") == b"\x02\0\0\0\0\0\0\x02hi"
    assert encode_piece(STDOUT, b"") == b""


def test_decode_across_pieces() -> None:
    decoder = DockerStreamDecoder()
    data = encode_piece(STDOUT, b"one") + encode_piece(STDERR, b"two")
    got = [piece for i in range(len(data)) for piece in decoder.feed(data[i : i + 1])]
    assert got == [(STDOUT, b"one"), (STDERR, b"two")]
    assert decoder.idle


@pytest.mark.parametrize(
    "data",
    [b"\x03\0\0\0\0\0\0\x01", b"\x01\0\0\x01\0\0\0\x01", b"\x01\0\0\0\0\0\x01\0", b"HTTP/1.1"],
)
def test_refused(data: bytes) -> None:
    decoder = DockerStreamDecoder(limit=255)
    with pytest.raises(ProtocolError):
        decoder.feed(data)
    with pytest.raises(ProtocolError):
        decoder.feed(b"")


def test_half_a_piece_is_not_idle() -> None:
    decoder = DockerStreamDecoder()
    assert decoder.feed(encode_piece(STDOUT, b"abc")[:-1]) == []
    assert not decoder.idle

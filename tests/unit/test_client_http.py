"""Our HTTP/1.1 against exact bytes, split anywhere, and against what no peer should send."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyper.client import http
from hyper.client.engine import messages
from hyper.client.errors import ConnectionLost
from hyper.client.http import Response, send_request
from hyper.client.quote import encode_query, quote
from hyper.errors import ProtocolError


@contextmanager
def peer(*pieces: bytes) -> Iterator[socket.socket]:
    """A connection on which ``pieces`` arrive one by one, then the end."""
    ours, theirs = socket.socketpair()

    def write() -> None:
        # We may close before we have read it all.
        with theirs, suppress(BrokenPipeError, ConnectionResetError):
            for piece in pieces:
                theirs.sendall(piece)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield ours
    finally:
        ours.close()
        writer.join()


def body_of(*pieces: bytes) -> bytes:
    with peer(*pieces) as connection:
        return Response(connection).read()


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
BODIES = [
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
    (b"HTTP/1.1 200 OK\r\ncontent-length:5\r\n\r\nhello", b"hello"),
    (b"HTTP/1.0 200 OK\r\n\r\nuntil close", b"until close"),
    (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    (b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", b""),
    (CHUNKED + b"5\r\nhello\r\nA;x=y\r\n, wonderfu\r\n1\r\nl\r\n0\r\n\r\n", b"hello, wonderful"),
    (CHUNKED + b"0\r\nTrailer: x\r\n\r\n", b""),
]


@pytest.mark.parametrize(("data", "body"), BODIES)
def test_bodies(data: bytes, body: bytes) -> None:
    assert body_of(data) == body


@settings(max_examples=60)
@given(st.sampled_from(BODIES), st.data())
def test_bodies_however_they_arrive(case: tuple[bytes, bytes], data: st.DataObject) -> None:
    sent, body = case
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=6)))
    edges = [0, *cuts, len(sent)]
    assert body_of(*(sent[a:b] for a, b in pairwise(edges))) == body


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel",
        CHUNKED + b"5\r\nhel",
        CHUNKED + b"5\r\nhello\r\n",
    ],
)
def test_an_answer_cut_short(data: bytes) -> None:
    with pytest.raises(ConnectionLost):
        body_of(data)


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 2x0 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nA: " + b"x" * 10_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: " + b"x" * 200_000,
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        CHUNKED + b"xyz\r\n",
        CHUNKED + b"\r\n",
        CHUNKED + b"-5\r\nhello\r\n0\r\n\r\n",
        CHUNKED + b"5\r\nhello world\r\n0\r\n\r\n",
        CHUNKED + b"F" * 20 + b"\r\n",
        CHUNKED + b"1" * 20_000,
    ],
)
def test_what_is_not_http(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        body_of(data)


@settings(max_examples=80)
@given(st.binary(max_size=200))
def test_garbage_is_refused_or_lost(data: bytes) -> None:
    with pytest.raises((ProtocolError, ConnectionLost)):
        body_of(data)


def test_a_body_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MAX_BODY", 10)
    with pytest.raises(ProtocolError, match="exceeds"):
        body_of(CHUNKED + b"5\r\nhello\r\n" * 3 + b"0\r\n\r\n")


def test_an_upgrade_hands_over_the_socket_and_what_came_early() -> None:
    with peer(b"HTTP/1.1 101 UPGRADED\r\nUpgrade: tcp\r\n\r\nearly", b" and late") as connection:
        raw, early = Response(connection).detach()
        rest = b""
        while data := raw.recv(100):
            rest += data
        assert early + rest == b"early and late"


def test_a_request_in_bytes() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        send_request(ours, "POST", "/x?y=1", (("A", "b"),), b"{}")
        assert theirs.recv(1000) == (
            b"POST /x?y=1 HTTP/1.1\r\nHost: hyper\r\nUser-Agent: hyper\r\nA: b\r\nContent-Length: 2\r\n\r\n{}"
        )
        send_request(ours, "GET", "/")
        assert theirs.recv(1000) == b"GET / HTTP/1.1\r\nHost: hyper\r\nUser-Agent: hyper\r\n\r\n"
        with pytest.raises(ProtocolError):
            send_request(ours, "GET", "/", (("A", "b\r\nC: d"),))


def test_a_request_to_nobody() -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    with ours, pytest.raises(ConnectionLost):
        send_request(ours, "GET", "/")


def test_queries() -> None:
    query = {"a": True, "b": False, "c": None, "d": 0, "e": "x y/ü", "f": {}, "g": {"n": ["v"]}}
    assert encode_query(query) == "?a=1&d=0&e=x%20y%2F%C3%BC&g=%7B%22n%22%3A%20%5B%22v%22%5D%7D"
    assert encode_query({}) == ""
    assert quote("a/b:c@d", "/:@") == "a/b:c@d"


@settings(max_examples=40)
@given(st.data())
def test_a_stream_of_messages_however_it_is_split(data: st.DataObject) -> None:
    text = '{"a": 1}\r\n{"b": "ü}{"}{"c": []}\n'.encode()
    cuts = sorted(data.draw(st.lists(st.integers(1, len(text) - 1), unique=True, max_size=6)))
    edges = [0, *cuts, len(text)]
    parts = [text[a:b] for a, b in pairwise(edges)]
    chunks = [b"%x\r\n%s\r\n" % (len(part), part) for part in parts]
    with peer(CHUNKED, *chunks, b"0\r\n\r\n") as connection:
        assert list(messages(Response(connection))) == [{"a": 1}, {"b": "ü}{"}, {"c": []}]


def test_a_stream_that_ends_in_mid_message() -> None:
    with peer(b'HTTP/1.1 200 OK\r\n\r\n{"a": 1}{"b"') as connection:
        stream = messages(Response(connection))
        assert next(stream) == {"a": 1}
        with pytest.raises(ProtocolError, match="mid-message"):
            next(stream)

"""POST /grpc, where Docker's newer builders look for BuildKit: a gRPC server that refuses every call with a reason.

Without such a server buildx assumes that BuildKit has to be run in a container, pulls one, and says nothing of builds.
The server speaks as much of HTTP/2 as a refusal needs: requests are not decoded, for all have the same answer.

Source: RFC 9113 (frames), RFC 7541 (header fields, all of them literal), gRPC over HTTP/2 ("Trailers-Only").
"""

from __future__ import annotations

import struct
from typing import Final
from urllib.parse import quote

from aiohttp import web

from hyper.api.hijack import Hijacked, hijack
from hyper.api.http import BUILD_ELSEWHERE, NO_BUILDS, no_builds

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEAD: Final = struct.Struct(">BHBBI")  # length (8 + 16 bits), type, flags, stream
_DATA, _HEADERS, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE = 0, 1, 4, 6, 7, 8
_ACK: Final = 1
_END_STREAM, _END_HEADERS = 1, 4
#: The largest payload a client may send to who has not asked for larger ones.
_MAX_PAYLOAD: Final = 16384
#: The static table's ":status: 200".
_STATUS_200: Final = b"\x88"
_UNIMPLEMENTED: Final = 12


class BrokenProtocol(Exception):
    """The peer does not speak HTTP/2."""


class Refusal:
    """One connection: bytes in, bytes out. ``over``: the peer has said good-bye."""

    def __init__(self, reason: str) -> None:
        self._answer = _trailers(_UNIMPLEMENTED, reason)
        self._pending = b""
        self._greeted = False
        self.over = False

    def feed(self, data: bytes) -> bytes:
        """The bytes to be sent once ``data`` has come.

        Raises:
            BrokenProtocol: no preface, or a frame that is too long.
        """
        self._pending += data
        answer = b""
        if not self._greeted:
            if not _PREFACE.startswith(self._pending[: len(_PREFACE)]):
                raise BrokenProtocol("no HTTP/2 preface")
            if len(self._pending) < len(_PREFACE):
                return b""
            self._pending = self._pending[len(_PREFACE) :]
            self._greeted = True
            answer = _frame(_SETTINGS)
        while len(self._pending) >= _HEAD.size and not self.over:
            high, low, kind, flags, stream = _HEAD.unpack_from(self._pending)
            length = high << 16 | low
            if length > _MAX_PAYLOAD:
                raise BrokenProtocol(f"a frame of {length} bytes")
            if len(self._pending) < _HEAD.size + length:
                break
            payload = self._pending[_HEAD.size : _HEAD.size + length]
            self._pending = self._pending[_HEAD.size + length :]
            answer += self._answered(kind, flags, stream, payload)
        return answer

    def _answered(self, kind: int, flags: int, stream: int, payload: bytes) -> bytes:
        if kind == _HEADERS:
            return _frame(_HEADERS, _END_STREAM | _END_HEADERS, stream, self._answer)
        if kind == _SETTINGS and not flags & _ACK:
            return _frame(_SETTINGS, _ACK)
        if kind == _PING and not flags & _ACK:
            return _frame(_PING, _ACK, 0, payload)
        if kind == _DATA and payload:  # what has been read makes room for as much
            return _frame(_WINDOW_UPDATE, 0, 0, struct.pack(">I", len(payload)))
        self.over = kind == _GOAWAY
        return b""


def _frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    length = len(payload)
    return _HEAD.pack(length >> 16, length & 0xFFFF, kind, flags, stream) + payload


def _trailers(code: int, reason: str) -> bytes:
    """The whole answer of a call that ends before it has begun."""
    fields = {
        "content-type": "application/grpc",
        "grpc-status": str(code),
        "grpc-message": quote(reason, safe=" !\"#$&'()*+,-./:;<=>?@[]^_`{|}~"),
    }
    return _STATUS_200 + b"".join(
        b"\0" + _string(name) + _string(value) for name, value in fields.items()
    )


def _string(text: str) -> bytes:
    """A string literal; its length has a prefix of 7 bits."""
    data = text.encode()
    length = len(data)
    if length < 127:
        return bytes([length]) + data
    prefix, length = bytearray([127]), length - 127
    while length >= 128:
        prefix.append(length & 127 | 128)
        length >>= 7
    return bytes([*prefix, length]) + data


async def grpc(request: web.Request) -> web.StreamResponse:
    """Every call over the connection is refused with a sentence; clients that do not upgrade it read the same."""
    if request.headers.get("Upgrade", "").lower() != "h2c":
        return await no_builds(request)
    refusal = Refusal(f"{NO_BUILDS}: {BUILD_ELSEWHERE}")
    async with hijack(request, tty=True) as connection:
        while not refusal.over and (data := await connection.read()):
            try:
                answer = refusal.feed(data)
            except BrokenProtocol:
                break
            if answer:
                await connection.write(1, answer)
    return Hijacked()

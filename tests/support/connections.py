"""Raw connections to a daemon's socket, for clients that stop in the middle of a request or of an answer."""

from __future__ import annotations

import socket

from tests.support.hyperd import Hyperd

TIMEOUT_S = 60.0
#: Writes without end, after a mark.
FLOOD = "echo up; exec cat /dev/zero"
#: Requests whose answers stay open: method, path, and whether the connection is upgraded.
STREAMS = {
    "attach": ("POST", "/containers/{id}/attach?stream=1&stdout=1&stderr=1", True),
    "attach with input": ("POST", "/containers/{id}/attach?stream=1&stdin=1&stdout=1", True),
    "attach of old": ("POST", "/containers/{id}/attach?stream=1&stdout=1", False),
    "logs": ("GET", "/containers/{id}/logs?follow=1&stdout=1", False),
    "events": ("GET", "/events", False),
    "wait": ("POST", "/containers/{id}/wait", False),
    "wait for removal": ("POST", "/containers/{id}/wait?condition=removed", False),
}


def connect(daemon: Hyperd) -> socket.socket:
    """A raw connection."""
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(daemon.socket))  # waits while the daemon's queue is full
    sock.settimeout(TIMEOUT_S)
    return sock


def send(
    daemon: Hyperd, method: str, path: str, body: bytes = b"", *, upgrade: bool = False
) -> socket.socket:
    """A connection with a request on its way."""
    lines = [f"{method} {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}"]
    lines += ["Content-Type: application/json"] * bool(body)
    lines += ["Connection: Upgrade", "Upgrade: tcp"] * upgrade
    sock = connect(daemon)
    sock.sendall("\r\n".join([*lines, "", ""]).encode() + body)
    return sock


def head(sock: socket.socket) -> bytes:
    """The answer's head (and what came with it)."""
    seen = b""
    while b"\r\n\r\n" not in seen:
        piece = sock.recv(65536)
        assert piece, seen
        seen += piece
    return seen

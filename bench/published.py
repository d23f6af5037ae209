"""What a published port costs beside the machine's own address."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

from bench.measure import TIMEOUT_S, Failed, by_turns
from bench.row import Row
from bench.stage import Stage

_REQUESTS = 200
_BOX = "bench-published"
_SERVER = "mkdir /w; echo hello >/w/index.html; httpd -h /w; echo serving; exec sleep 3600"


def rows(stage: Stage, runs: int) -> Iterator[Row]:
    """Requests per second, a connection each, one after the other: through the port, and directly."""
    client = stage.hyper
    words = ("--name", _BOX, "-p", "127.0.0.1::80", client.image, "sh", "-c", _SERVER)
    client.run("run", "-d", *words)
    try:
        with stage.hyperd.api.open(f"/containers/{_BOX}/logs?follow=1&stdout=1") as log:
            log.readline()
        network = stage.hyperd.api.get(f"/containers/{_BOX}/json")["NetworkSettings"]
        port = int(network["Ports"]["80/tcp"][0]["HostPort"])
        direct = (network["IPAddress"], 80)
        values, peer = by_turns(
            runs, lambda: _per_second(("127.0.0.1", port)), lambda: _per_second(direct)
        )
    finally:
        client.run("rm", "-f", _BOX)
    yield Row(
        "Published port, requests",
        "1/s",
        values,
        peer=peer,
        peer_name="directly",
        accelerator=stage.accelerator,
        note=f"{_REQUESTS} in a row to `httpd` in the guest, each a connection of its own, to a port of the host's "
        "loopback; the peer is the same machine by its own address, not Docker",
    )


def _per_second(address: tuple[str, int]) -> float:
    began = time.perf_counter()
    for _ in range(_REQUESTS):
        _fetch(address)
    return _REQUESTS / (time.perf_counter() - began)


def _fetch(address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=TIMEOUT_S) as stream:
        stream.sendall(b"GET / HTTP/1.0\r\n\r\n")
        answer = b""
        while piece := stream.recv(4096):
            answer += piece
    if not answer.endswith(b"hello\n"):
        raise Failed(f"{address}: {answer[:100]!r}")

"""``first_page.py PORT COMMAND…``: milliseconds from the command's spawn to the first 200 of 127.0.0.1:PORT.

A program of its own, since it runs in the network namespace of the engine it asks. It asks again within a millisecond
of a refusal, and does not wait for an attempt that gets no answer: a packet to a guest that is not up yet is lost, and
TCP would send it again after a second only.

Exit status 1: the command failed, or there was no page in time.
"""

from __future__ import annotations

import selectors
import socket
import subprocess
import sys
import time

_TIMEOUT_S = 60.0
_AGAIN_S, _BESIDE_S = 0.001, 0.010
_QUESTION = b"GET / HTTP/1.0\r\n\r\n"


def main(port: int, command: list[str]) -> int:
    """Print the milliseconds."""
    began = time.perf_counter()
    client = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    found = _ask_until(port, client, began + _TIMEOUT_S)
    taken_ms = (time.perf_counter() - began) * 1000
    if client.wait(_TIMEOUT_S) != 0 or not found:
        print(f"no page within {_TIMEOUT_S:g} s", file=sys.stderr)
        return 1
    print(taken_ms)
    return 0


def _ask_until(port: int, client: subprocess.Popen[bytes], deadline: float) -> bool:
    """Whether a page came before the deadline and before the client failed."""
    with selectors.DefaultSelector() as waiting:
        latest = 0.0
        try:
            while (now := time.perf_counter()) < deadline and not client.poll():
                idle = not waiting.get_map()
                if now - latest >= (_AGAIN_S if idle else _BESIDE_S):
                    latest = now
                    _begin(waiting, port)
                for key, _ in waiting.select(_AGAIN_S):
                    if _go_on(waiting, key):
                        return True
        finally:
            for key in list(waiting.get_map().values()):
                _end(waiting, key.data)
    return False


def _begin(waiting: selectors.BaseSelector, port: int) -> None:
    stream = socket.socket()
    stream.setblocking(False)
    stream.connect_ex(("127.0.0.1", port))
    waiting.register(stream, selectors.EVENT_WRITE, stream)


def _go_on(waiting: selectors.BaseSelector, key: selectors.SelectorKey) -> bool:
    """Whether this attempt has got the page; one that failed is forgotten."""
    stream: socket.socket = key.data
    try:
        if key.events == selectors.EVENT_WRITE:
            stream.send(_QUESTION)
            waiting.modify(stream, selectors.EVENT_READ, stream)
            return False
        answer = stream.recv(4096)
    except OSError:
        answer = b""
    if b" 200 " in answer.partition(b"\r\n")[0]:
        return True
    _end(waiting, stream)
    return False


def _end(waiting: selectors.BaseSelector, stream: socket.socket) -> None:
    waiting.unregister(stream)
    stream.close()


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))

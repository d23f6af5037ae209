"""What is around the host, for tests: a network namespace at the other end of a cable.

The cable's ends have addresses of 2001:db8::/32, which are for documentation. The outside knows no way to the host's
networks unless it is told one.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HOST, THERE = "2001:db8:77::1", "2001:db8:77::2"
_PREFIX = 64
#: Its other end is longer by two.
_CARD = "ho-outside"
#: Tells each caller by whose address it comes.
_SERVER = """
import socket
server = socket.create_server(("::", 0), family=socket.AF_INET6)
print(server.getsockname()[1], flush=True)
while True:
    caller, address = server.accept()
    with caller:
        caller.sendall(address[0].encode())
"""


@dataclass(frozen=True, slots=True)
class Outside:
    """``port`` of THERE tells who comes to it his address."""

    pid: int
    port: int

    def run(self, *argv: str, input: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """``argv`` there."""
        return subprocess.run(
            ["nsenter", f"--net=/proc/{self.pid}/ns/net", *argv],
            capture_output=True,
            input=input,
            timeout=60,
        )

    def connects(self, address: str, port: int, *, wait_s: float = 5.0) -> bool:
        """Whether a connection from there is taken."""
        script = f"import socket; socket.create_connection(({address!r}, {port}), timeout={wait_s})"
        return self.run(sys.executable, "-c", script).returncode == 0


@contextlib.contextmanager
def outside() -> Iterator[Outside]:
    """A neighbour of this host, while the block runs. (Its end takes both ends of the cable along.)"""
    argv = ["unshare", "--net", sys.executable, "-c", _SERVER]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None
            there = Outside(server.pid, int(server.stdout.readline()))
            end = f"{_CARD}-b"
            peer = ["type", "veth", "peer", "name", end, "netns", str(there.pid)]
            subprocess.run(["ip", "link", "add", _CARD, *peer], check=True)
            Path(f"/proc/sys/net/ipv6/conf/{_CARD}/disable_ipv6").write_text("0")
            for argv in _upping(_CARD, HOST):
                subprocess.run(argv, check=True)
            for argv in _upping(end, THERE):
                done = there.run(*argv)
                assert done.returncode == 0, done.stderr
            yield there
        finally:
            server.kill()


def _upping(card: str, address: str) -> list[list[str]]:
    return [
        ["ip", "address", "add", f"{address}/{_PREFIX}", "dev", card, "nodad"],
        ["ip", "link", "set", card, "up"],
    ]

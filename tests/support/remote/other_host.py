"""The other host in namespaces of its own (network, processes), at the end of a cable."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_HERE, _THERE = "198.51.100.1", "198.51.100.2"
_CARD = "ho-other"


@dataclass(frozen=True, slots=True)
class OtherHost:
    """A host that runs; ``address`` is where it takes calls."""

    address: tuple[str, int]

    def left(self) -> list[str]:
        """The machines that run there, once no launch is under way."""
        with socket.create_connection(self.address) as sock:
            sock.sendall(b'{"op": "left"}\n')
            found: list[str] = json.loads(sock.makefile().readline())["result"]
            return found


@contextlib.contextmanager
def other_host(assets: Path) -> Iterator[OtherHost]:
    """A host while the block runs, after which no machine is left on it."""
    with tempfile.TemporaryDirectory(prefix="hyper-") as folder, contextlib.ExitStack() as undo:
        Path(folder).chmod(0o755)
        argv = ["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
        program = [sys.executable, "-m", "tests.support.remote.host", str(assets), folder]
        server = undo.enter_context(
            subprocess.Popen([*argv, *program], stdout=subprocess.PIPE, text=True)
        )
        undo.callback(server.kill)
        assert server.stdout is not None
        port = int(server.stdout.readline())
        _lay_cable(server.pid)
        undo.callback(subprocess.run, ["ip", "link", "delete", _CARD], check=True)
        host = OtherHost((_THERE, port))
        yield host
        assert host.left() == []


def _lay_cable(pid: int) -> None:
    end = f"{_CARD}-b"
    peer = ["type", "veth", "peer", "name", end, "netns", str(pid)]
    subprocess.run(["ip", "link", "add", _CARD, *peer], check=True)
    there = ["nsenter", f"--net=/proc/{pid}/ns/net"]
    for prefix, card, address in (([], _CARD, _HERE), (there, end, _THERE)):
        for words in (
            ["ip", "address", "add", f"{address}/24", "dev", card],
            ["ip", "link", "set", card, "up"],
        ):
            subprocess.run([*prefix, *words], check=True)

"""Containers on networks, as tests make and reach them, and services of the host that containers reach."""

from __future__ import annotations

import re
import socket
import socketserver
import subprocess
import threading
import time
import urllib.request

from tests.support.hyperd import Hyperd

#: Serves "hello" on 80, from the moment it says so.
SERVER = "mkdir /w; echo hello >/w/index.html; httpd -h /w; echo serving; exec sleep 1000"


def fetch_page(port: int) -> str:
    """The page a server on loopback serves."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60) as answer:
        return str(answer.read().decode())


def reaches(daemon: Hyperd, name: str, target: str, *, wait_s: int = 30) -> bool:
    """Whether an IPv6 packet comes back."""
    return says(daemon, name, f"ping6 -c 1 -W {wait_s} {target}")[0] == 0


def address6_of(daemon: Hyperd, name: str, network: str) -> str:
    """A container's IPv6 address on a network."""
    shown = daemon.api.get(f"/containers/{name}/json")["NetworkSettings"]["Networks"][network]
    assert shown["GlobalIPv6PrefixLen"] == 64
    return str(shown["GlobalIPv6Address"])


def up(daemon: Hyperd, image: str, name: str, *options: str, script: str = "sleep 1000") -> str:
    """A running container; its first address."""
    daemon.run("run", "-d", "--name", name, *options, image, "sh", "-c", script)
    if script == SERVER:
        with daemon.api.open(f"/containers/{name}/logs?follow=1&stdout=1") as log:
            assert b"serving" in log.readline()
    return address_of(daemon, name)


def address_of(daemon: Hyperd, name: str, network: str = "") -> str:
    """A container's IPv4 address on a network, the first if none is named."""
    found = daemon.api.get(f"/containers/{name}/json")["NetworkSettings"]["Networks"]
    endpoint = found[network] if network else next(iter(found.values()))
    return str(endpoint["IPAddress"])


def says(daemon: Hyperd, name: str, script: str) -> tuple[int, str]:
    """Exit code and output, errors and all, of a script in a running container."""
    done = daemon.docker("exec", name, "sh", "-c", script)
    return done.returncode, done.stdout.decode() + done.stderr.decode()


def resolves(daemon: Hyperd, name: str, what: str, server: str = "") -> list[str]:
    """IPv4 addresses that a name has for a container; none if it has none."""
    code, text = says(daemon, name, f"nslookup -type=a {what} {server}")
    return re.findall(r"Address: ([0-9.]+)\n", text) if code == 0 else []


def fetch(host: str, port: int) -> bytes:
    """The whole answer of a web server, head and all."""
    with socket.create_connection((host, port), timeout=10) as stream:
        stream.sendall(b"GET / HTTP/1.0\r\n\r\n")
        answer = b""
        while piece := stream.recv(4096):
            answer += piece
    return answer


def hosts_own_address() -> str:
    """One that is not the loopback's: what a default route would use as its source."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.254", 9))  # nothing is sent
        return str(probe.getsockname()[0])


class Greeter(socketserver.ThreadingTCPServer):
    """A service on every address of the host (or ``address``) that says hello; entering it gives the port."""

    class _Hello(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.sendall(b"hello\n")

    def __init__(self, address: str = "0.0.0.0") -> None:
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        super().__init__((address, 0), self._Hello)
        self._thread = threading.Thread(target=self.serve_forever)

    def __enter__(self) -> int:  # type: ignore[override]
        self._thread.start()
        return int(self.server_address[1])

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


def rules(daemon: Hyperd) -> str:
    """All tables of the daemon."""
    own = f"hyper_{daemon.api.get('/info')['ID'][:12]}"
    listed = subprocess.run(["nft", "list", "ruleset"], check=True, capture_output=True, text=True)
    tables = listed.stdout.split("\ntable ")
    return "\n".join(table for table in tables if own in table)


def wait_without(daemon: Hyperd, *words: str) -> None:
    """Return once no rule has any of ``words``: rules go a moment after who had them, in the background."""
    until = time.monotonic() + 20
    while any(word in rules(daemon) for word in words):
        assert time.monotonic() < until, rules(daemon)

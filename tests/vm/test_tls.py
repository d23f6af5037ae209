"""hyperd on TCP with mutual TLS: the stock docker client and hyper, streams, strangers."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.certificates import Authority, authority
from tests.support.descriptors import nothing_is_kept
from tests.support.hyperd import Hyperd, hyperd, served_tcp

pytestmark = pytest.mark.vm

HYPER = [sys.executable, "-m", "hyper.cli.main"]
TIMEOUT_S = 120


class Remote:
    """A daemon that listens on TCP, and clients with certificates for it."""

    def __init__(self, daemon: Hyperd, ca: Authority, busybox: str) -> None:
        self.daemon = daemon
        self.ca = ca
        self.busybox = busybox
        self.address = served_tcp(daemon)

    def environ(self, folder: Path | None = None) -> dict[str, str]:
        """``folder``: the certificates used in place of the right ones."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "DOCKER_HOST": self.address,
            "DOCKER_TLS_VERIFY": "1",
            "DOCKER_CERT_PATH": str(folder or self.ca.folder),
        }

    def call(
        self,
        *words: str,
        program: list[str] | None = None,
        stdin: bytes = b"",
        folder: Path | None = None,
    ) -> subprocess.CompletedProcess[bytes]:
        """One command, to its end."""
        return subprocess.run(
            [*(program or ["docker"]), *words],
            input=stdin,
            capture_output=True,
            timeout=TIMEOUT_S,
            env=self.environ(folder),
        )


@pytest.fixture(scope="module")
def remote(busybox: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Remote]:
    ca = authority(tmp_path_factory.mktemp("tls") / "ca")
    with hyperd("-H", "tcp://127.0.0.1:0", *ca.server_options) as daemon:
        daemon.run("pull", "-q", busybox)
        made = Remote(daemon, ca, busybox)
        assert made.call("run", "-d", "--name", "box", busybox, "sleep", "3600").returncode == 0
        yield made


@pytest.mark.parametrize("program", [["docker"], HYPER], ids=["docker", "hyper"])
def test_client_over_tls_runs_execs_and_logs(remote: Remote, program: list[str]) -> None:
    """version, run with output and exit code, exec with input that ends, logs, an error in Docker's words."""
    assert remote.call("version", program=program).returncode == 0
    script = "echo out; echo err >&2; exit 7"
    done = remote.call("run", "--rm", remote.busybox, "sh", "-c", script, program=program)
    assert (done.returncode, done.stdout, done.stderr) == (7, b"out\n", b"err\n")
    done = remote.call("exec", "-i", "box", "wc", "-c", stdin=b"x" * 100_000, program=program)
    assert (done.returncode, done.stdout) == (0, b"100000\n")
    done = remote.call(
        "exec", "-i", "box", "head", "-c", "3", stdin=b"y" * 3_000_000, program=program
    )
    assert done.stdout == b"yyy"
    assert b"No such container: nosuch" in remote.call("logs", "nosuch", program=program).stderr


@pytest.mark.parametrize("program", [["docker"], HYPER], ids=["docker", "hyper"])
def test_thirty_megabytes_through_exec(remote: Remote, program: list[str]) -> None:
    """Both ways at once, byte-exact, the end of each half seen by the other side."""
    data = os.urandom(1 << 20) * 30
    done = remote.call("exec", "-i", "box", "cat", stdin=data, program=program)
    assert done.returncode == 0
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(data).digest()


def test_fifty_clients_over_tls_get_their_own_answers(remote: Remote) -> None:
    """Each gets its own answer."""

    def one(number: int) -> bool:
        word = f"{number}" * 100
        done = remote.call("exec", "-i", "box", "cat", stdin=word.encode())
        return (done.returncode, done.stdout.decode()) == (0, word)

    with ThreadPoolExecutor(50) as pool:
        assert all(pool.map(one, range(50)))


def test_client_over_tls_without_a_valid_certificate_is_refused(
    remote: Remote, tmp_path: Path
) -> None:
    """No certificate, one of another authority, and a daemon whose authority is not ours."""
    stranger = authority(tmp_path / "stranger")
    assert b"certificate" in remote.call("ps", folder=stranger.folder).stderr
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    (mixed / "ca.pem").write_bytes((remote.ca.folder / "ca.pem").read_bytes())
    options = ["--tlsverify", "--tlscacert", f"{mixed}/ca.pem", "--tlscert=", "--tlskey="]
    for words in (["docker", *options], HYPER):
        done = remote.call("ps", program=words, folder=mixed)
        assert done.returncode == 1
        assert b"certificate" in done.stderr
    for name in ("cert.pem", "key.pem"):
        (mixed / name).write_bytes((stranger.folder / name).read_bytes())
    for words in (["docker"], HYPER):
        done = remote.call("ps", program=words, folder=mixed)
        assert done.returncode == 1
        assert b"certificate" in done.stderr or b"unknown ca" in done.stderr


def test_tls_connections_of_strangers_are_dropped(remote: Remote) -> None:
    """Silent and babbling connections are dropped, clients are served meanwhile, and nothing is left of all of them."""
    assert remote.call("exec", "box", "true").returncode == 0
    with nothing_is_kept(remote.daemon):
        socks = [socket.create_connection(_peer(remote), 30) for _ in range(60)]
        for number, sock in enumerate(socks):
            if number % 2:
                sock.sendall(b"GET /info HTTP/1.1\r\nHost: x\r\n\r\n")
        assert remote.call("exec", "box", "echo", "served").stdout == b"served\n"
        for number, sock in enumerate(socks):
            with sock:
                said = sock.recv(100)
                assert not said.startswith(b"HTTP"), number
        assert remote.call("ps").returncode == 0  # by now it has seen that they are gone


def _peer(remote: Remote) -> tuple[str, int]:
    host, _, port = remote.address.removeprefix("tcp://").rpartition(":")
    return host, int(port)


def test_tcp_without_tls_is_refused_but_on_loopback() -> None:
    """On loopback with a warning; elsewhere not, unless it was said that it is meant."""
    with hyperd("-H", "tcp://127.0.0.1:0") as daemon:
        assert "has no TLS" in daemon.log.read_text()
    for words in (["tcp://0.0.0.0:0"], ["tcp://[::]:0"]):
        with pytest.raises(AssertionError, match="without TLS"), hyperd("-H", *words):
            pass
    with (
        pytest.raises(AssertionError, match="needs --tlscert"),
        hyperd("-H", "tcp://127.0.0.1:0", "--tls"),
    ):
        pass

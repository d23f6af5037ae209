"""Pages in browsers are refused by a real hyperd; clients that are none are let in by each name they use."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.api import Connection
from tests.support.certificates import Authority, authority
from tests.support.hyperd import Hyperd, hyperd, served_tcp

pytestmark = pytest.mark.vm

HYPER = [sys.executable, "-m", "hyper.cli.main"]
WEBSOCKET = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}
PAGE = "https://evil.example"


@pytest.fixture(scope="module")
def open_daemon() -> Iterator[Hyperd]:
    """A daemon on loopback without TLS, which one page may use."""
    words = ("--allowed-origin", "https://console.example", "--allowed-host", "build.example")
    with hyperd("-H", "tcp://127.0.0.1:0", *words) as daemon:
        yield daemon


def port_of(daemon: Hyperd) -> int:
    """The port of its TCP address."""
    return int(served_tcp(daemon).rpartition(":")[2])


def ask(
    connection: http.client.HTTPConnection, method: str, path: str, **headers: str
) -> tuple[int, str]:
    """Status and message (of an error) of a request with these headers; no Host but one of them."""
    connection.putrequest(method, path, skip_host=True)
    for name, value in {"Host": "localhost", **headers}.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, json.loads(body)["message"] if response.status >= 400 else ""


@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_page_in_a_browser_starts_and_reads_nothing(open_daemon: Hyperd, kind: str) -> None:
    """The requests that a page can make, by either socket: a form, an image, a WebSocket, a question before a fetch."""

    def connection() -> http.client.HTTPConnection:
        if kind == "unix":
            return Connection(open_daemon.socket)
        return http.client.HTTPConnection("127.0.0.1", port_of(open_daemon))

    start = "/containers/nosuch/start"
    for method, path, headers in (
        ("POST", start, {"Origin": PAGE}),
        ("POST", start, {"Origin": "null"}),
        ("OPTIONS", start, {"Origin": PAGE, "Access-Control-Request-Method": "DELETE"}),
        ("GET", "/events", {"Sec_Fetch_Site": "cross-site"}),
        ("GET", "/containers/nosuch/attach/ws?stream=1", {"Origin": PAGE, **WEBSOCKET}),
    ):
        status, message = ask(connection(), method, path, **headers)
        assert status == 403, (method, path)
        assert "in a browser: refused" in message
    assert "hyperd --allowed-origin" not in message
    assert "start hyperd with --allowed-origin https://evil.example" in message
    # What is let in reaches the route.
    assert ask(connection(), "POST", start, Origin="http://localhost")[0] == 404
    assert ask(connection(), "POST", start, Origin="https://console.example")[0] == 404
    own = ask(
        connection(), "GET", "/containers/nosuch/attach/ws", Origin="http://localhost", **WEBSOCKET
    )
    assert own[0] == 404


def test_name_of_a_stranger_leads_nowhere_on_plain_tcp(open_daemon: Hyperd) -> None:
    """As a page says it whose name was made to lead to loopback; the answer has nothing of the daemon's in it."""
    rebound = http.client.HTTPConnection("127.0.0.1", port_of(open_daemon))
    status, message = ask(rebound, "GET", "/containers/json", Host="evil.example:2375")
    assert status == 403
    assert "for the host evil.example" in message
    assert "--allowed-host evil.example" in message
    assert ask(rebound, "GET", "/_ping", Host="build.example:2375")[0] == 200
    assert ask(Connection(open_daemon.socket), "GET", "/_ping", Host="anything.example")[0] == 200


@pytest.mark.parametrize("program", [["docker"], HYPER], ids=["docker", "hyper"])
def test_clients_are_let_in_by_the_names_they_use(open_daemon: Hyperd, program: list[str]) -> None:
    """docker and hyper over TCP by address and by name; curl over the socket, whatever the URL says."""
    for name in ("127.0.0.1", "localhost"):
        environ = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
        environ["DOCKER_HOST"] = f"tcp://{name}:{port_of(open_daemon)}"
        done = subprocess.run([*program, "ps", "-q"], env=environ, capture_output=True, timeout=60)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_curl_is_let_in_by_the_socket(open_daemon: Hyperd) -> None:
    """The host of its URL means nothing there."""
    for host in ("localhost", "d", "v1.41", "docker.example"):
        words = [
            "curl",
            "-sS",
            "--fail",
            "--unix-socket",
            open_daemon.socket,
            f"http://{host}/_ping",
        ]
        assert subprocess.run(words, capture_output=True, check=True, timeout=60).stdout == b"OK"


def test_refusal_is_a_sentence_for_users_of_docker(open_daemon: Hyperd, tmp_path: Path) -> None:
    """A client that reaches the daemon by a name it was not told says what to do."""
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"HttpHeaders": {"Origin": PAGE}}))
    words = ["docker", "--config", str(tmp_path), "-H", open_daemon.host, "ps"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert (
        "Error response from daemon: the request is of the page https://evil.example" in done.stderr
    )
    assert "start hyperd with --allowed-origin https://evil.example" in done.stderr


def test_page_with_the_users_certificate_is_refused(tmp_path: Path) -> None:
    """A browser shows the certificate to whichever page asks; names are the certificate's business."""
    ca: Authority = authority(tmp_path / "ca")
    with hyperd("-H", "tcp://127.0.0.1:0", *ca.server_options) as daemon:
        url = f"https://127.0.0.1:{port_of(daemon)}"
        files = {"cacert": "ca.pem", "cert": "cert.pem", "key": "key.pem"}
        curl = [
            "curl",
            "-sS",
            *(word for option, name in files.items() for word in (f"--{option}", ca.folder / name)),
        ]

        def status(*words: str) -> str:
            shown = ["-o", "/dev/null", "-w", "%{http_code}", *words, f"{url}/_ping"]
            done = subprocess.run([*curl, *shown], capture_output=True, text=True, timeout=60)
            return done.stdout

        assert status() == "200"
        assert status("-H", f"Origin: {url}") == "200"
        assert status("-H", f"Origin: {PAGE}") == "403"
        assert status("-H", "Host: any.example") == "200"

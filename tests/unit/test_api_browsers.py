"""Browsers' pages and names of strangers: what is refused on which way, and what clients of Docker's send."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from hyper.api.browsers import BROWSERS, Browsers, Head, Way, keep_out
from hyper.api.connections import CONNECTIONS, Connections
from hyper.api.http import errors
from hyper.config import defaults
from hyper.errors import Forbidden, InvalidRequest

BROWSERS_OF_TEST = Browsers(hosts=["Build.Example"], origins=["https://console.example/"])
#: Hosts that clients name: docker (old, new, over ssh), docker-py, curl, GitLab's docker:dind, hyper; addresses; ours.
OURS = [
    *("docker", "api.moby.localhost", "docker.example.com", "localhost", "localhost:2375", "d"),
    *("docker:2375", "hyper", "host.docker.internal:2375", "127.0.0.1:2375", "10.1.2.3"),
    *(
        "[::1]:2375",
        "[fd00::1]",
        "[::ffff:10.1.2.3]:2375",
        "build.example",
        "BUILD.example.:2375",
        "",
    ),
]
STRANGERS = ["evil.example", "evil.example:2375", "docker.evil.example.", "127.0.0.1.evil.example"]


def refusal(head: Head, way: Way) -> str:
    """The error with its hint; "" if there is none."""
    try:
        BROWSERS_OF_TEST.check(head, way)
    except Forbidden as error:
        return str(error)
    return ""


@pytest.mark.parametrize("way", Way)
@pytest.mark.parametrize("host", OURS)
def test_clients_that_are_no_browsers_are_let_in(host: str, way: Way) -> None:
    """They have no Origin, and a Host that nobody can point elsewhere; HTTP/1.0 has none."""
    assert refusal(Head([host]), way) == ""
    assert refusal(Head(), way) == ""


@pytest.mark.parametrize("host", STRANGERS)
def test_host_of_a_stranger_is_refused_where_a_name_can_lead_here(host: str) -> None:
    """A page's own name that leads to hyperd (DNS rebinding) makes it the same site, whose GETs have no Origin."""
    name = host.removesuffix(":2375").removesuffix(".")
    assert refusal(Head([host], site="same-origin"), Way.PLAIN) == (
        f"the request is for the host {name}, which hyperd does not know as its own name: refused\n"
        f"use its IP address, or start hyperd with --allowed-host {name}"
    )
    assert refusal(Head(["localhost", host]), Way.PLAIN) != ""
    for way in (Way.TLS, Way.UNIX):
        assert refusal(Head([host]), way) == ""


@pytest.mark.parametrize("way", Way)
def test_page_of_another_origin_is_refused(way: Way) -> None:
    """By its Origin, which browsers send with every POST and WebSocket; another port is another origin."""
    for origin in ("https://evil.example", "http://localhost:3000", "http://127.0.0.1"):
        assert refusal(Head(["127.0.0.1:2375"], [origin]), way) == (
            f"the request is of the page {origin} in a browser: refused\n"
            f"if that page may do whatever hyperd can, start hyperd with --allowed-origin {origin}"
        )
    for origin in ("null", "", "http://", "file://", "x" * 5000, "http://a\x1b[2J", "http://a b"):
        words = "the request is of another site's page in a browser: refused"
        assert refusal(Head([""], [origin]), way) == words
    for site in ("cross-site", "same-site"):  # an image, a link, a form of old: no Origin
        assert refusal(Head(["localhost"], site=site), way) != ""


@pytest.mark.parametrize("way", Way)
def test_page_of_hyperds_own_or_an_allowed_origin_is_let_in(way: Way) -> None:
    """WebSocket libraries name the host that they reached as their origin; the address bar's requests have no site."""
    for host in ("127.0.0.1:2375", "localhost", "build.example:2375", "[::1]:2375"):
        assert refusal(Head([host], [f"http://{host}"], "same-origin"), way) == ""
    assert refusal(Head(["localhost"], ["HTTPS://Console.example"], "cross-site"), way) == ""
    assert refusal(Head(["localhost"], site="none"), way) == ""
    assert (
        refusal(Head(["localhost"], ["https://console.example", "https://evil.example"]), way) != ""
    )


def test_page_that_a_proxy_passes_on_under_its_own_name_is_refused() -> None:
    """What listens on TCP before a unix socket may look at nothing: its name counts as little as on TCP itself."""
    page = Head(["evil.example:8080"], ["http://evil.example:8080"])
    assert refusal(page, Way.UNIX) != ""
    assert refusal(page, Way.PLAIN) != ""
    assert refusal(page, Way.TLS) == ""  # its certificate would have to be good for that name


def test_names_of_a_configuration() -> None:
    """Those that hyperd listens on, this host's own, and those that were allowed."""
    hosts = ("unix:///x", "tcp://Build.example:1", "tcp://127.0.0.1:2")
    config = dataclasses.replace(defaults(), hosts=hosts, allowed_hosts=("other.example",))
    browsers = Browsers.of(config)
    for host in ("build.example:1", "other.example", socket.gethostname()):
        browsers.check(Head([host]), Way.PLAIN)
    with pytest.raises(Forbidden):
        browsers.check(Head(["third.example"]), Way.PLAIN)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ({"hosts": ["a.example:1"]}, "allowed host 'a.example:1': not the name of a host"),
        ({"hosts": [""]}, "allowed host ''"),
        ({"origins": ["console.example"]}, "allowed origin 'console.example': not SCHEME://HOST"),
        ({"origins": ["https://a.example/path"]}, "allowed origin 'https://a.example/path'"),
        ({"origins": ["null"]}, "allowed origin 'null'"),
        ({"origins": ["*"]}, "allowed origin"),
    ],
)
def test_what_is_no_name_and_no_origin_is_refused(words: dict[str, list[str]], why: str) -> None:
    """When the daemon starts: a wildcard, or a name that no request could have."""
    with pytest.raises(InvalidRequest, match=why.replace("*", r"\*")):
        Browsers(**words)  # type: ignore[arg-type]


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[tuple[Path, int]]:
    """The socket and the port of a server with the middleware, as hyperd has it."""

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(text="here")

    app = web.Application(middlewares=[errors, keep_out])
    app[CONNECTIONS], app[BROWSERS] = Connections(), BROWSERS_OF_TEST
    app.router.add_route("*", "/x", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    assert runner.server is not None
    loop = asyncio.get_running_loop()
    unix = await loop.create_unix_server(runner.server, folder / "s")
    tcp = await loop.create_server(runner.server, "127.0.0.1", 0)
    try:
        yield folder / "s", tcp.sockets[0].getsockname()[1]
    finally:
        unix.close()
        tcp.close()
        await runner.cleanup()


async def test_middleware_tells_tcp_from_unix_sockets(tmp_path: Path) -> None:
    """The rule of each, and the status; also where there is no route."""

    async def status(way: Path | int, path: str, *lines: str) -> int:
        reader, writer = await (
            asyncio.open_connection("127.0.0.1", way)
            if isinstance(way, int)
            else asyncio.open_unix_connection(way)
        )
        head = [f"POST {path} HTTP/1.1", *lines, "Content-Length: 0", "Connection: close", "", ""]
        writer.write("\r\n".join(head).encode())
        said = await reader.read()
        writer.close()
        return int(said.split()[1])

    stranger, page = "Host: evil.example", "Origin: https://evil.example"
    async with serving(tmp_path) as (path, port):
        assert await status(path, "/x", stranger) == 200
        assert await status(port, "/x", stranger) == 403
        assert await status(port, "/nowhere", stranger) == 403
        for way in (path, port):
            assert await status(way, "/x", "Host: localhost") == 200
            assert await status(way, "/x", "Host: localhost", page) == 403

"""Registries behind a forward proxy: through it, past it, and what it says when it will not."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from hyper.engine.inspect.image_import import ImportRequest, import_image
from hyper.errors import Forbidden, NotFound, Unavailable
from hyper.image import proxy
from hyper.image.images import Images
from tests.support.forward_proxy import ForwardProxy
from tests.support.image_store import SHORT
from tests.support.images import busybox
from tests.support.registry import Answer, HostileRegistry, RealRegistry, registry

#: Names that nobody resolves but the proxy.
PLAIN, SECURE = "plain.corp.example:5000", "secure.corp.example"


@asynccontextmanager
async def _opened(
    folder: Path,
    through: str,
    *,
    scheme: str = "http",
    no_proxy: str = "",
    authority: Path | None = None,
) -> AsyncIterator[Images]:
    images = Images(
        folder / "i",
        insecure_registries=(PLAIN,),
        authorities=[] if authority is None else [authority],
        proxies=proxy.read(f"{scheme}://{through}", f"{scheme}://{through}", no_proxy),
        patience=SHORT,
    )
    await images.open()
    yield images
    await images.close()


async def test_pull_push_and_login_through_a_proxy(tmp_path: Path, real: RealRegistry) -> None:
    """A plain registry by absolute URLs, its probe for TLS and a secure one by CONNECT; the proxy knows the names."""
    real.push(busybox(), "proxied:1")
    hosts = {PLAIN: real.host.replace("localhost", "127.0.0.1")}
    async with (
        ForwardProxy(hosts, login="joe:s3 cret") as far,
        _opened(tmp_path, f"joe:s3%20cret@{far.address}") as images,
    ):
        record = await images.pull(f"{PLAIN}/proxied:1")
        assert record.id == busybox().id
        await images.tag(record.id, f"{PLAIN}/proxied/copy", "2")
        await images.push(f"{PLAIN}/proxied/copy:2")
        assert (await images.pull(f"{real.host}/proxied/copy:2")).id == busybox().id
        assert ("CONNECT", PLAIN) in far.asked
        assert ("GET", f"http://{PLAIN}/v2/proxied/manifests/1") in far.asked
        assert all(real.host not in target for _, target in far.asked)  # loopback: past it


async def test_a_registry_with_an_authority_of_its_own_behind_a_proxy(tmp_path: Path) -> None:
    """TLS ends at the registry: `--registry-ca` signs for the name that only the proxy resolves; and for the proxy."""
    with registry(tls=True, name=SECURE) as secure:
        secure.push(busybox(), "x:1")
        hosts = {SECURE: secure.host.replace("localhost", "127.0.0.1")}
        authority = secure.folder / "ca.pem"
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(secure.folder / "server.pem", secure.folder / "server.key")
        async with (
            ForwardProxy(hosts, tls=tls) as far,
            _opened(tmp_path, far.address, scheme="https", authority=authority) as images,
        ):
            assert (await images.pull(f"{SECURE}/x:1")).id == busybox().id
            assert {method for method, _ in far.asked} == {"CONNECT"}
            with pytest.raises(Forbidden, match="its proxy would be spoken to without a check"):
                await images.pull(f"{PLAIN}/x:1")
        async with ForwardProxy(hosts) as far:
            async with _opened(tmp_path, far.address, authority=authority) as images:
                assert (await images.pull(f"{SECURE}/x:1")).id == busybox().id
                assert {method for method, _ in far.asked} == {"CONNECT"}
            async with _opened(tmp_path, far.address) as images:
                with pytest.raises(Unavailable, match="unknown authority") as caught:
                    await images.pull(f"{SECURE}/x:1")
                assert "object at" not in str(caught.value)


async def test_what_a_proxy_refuses_is_said(tmp_path: Path) -> None:
    """Who asks, where it leads nowhere, and a proxy that is not there: in one line each, without a password in it."""
    async with ForwardProxy({}, login="joe:right") as far:
        async with _opened(tmp_path, f"joe:wrong@{far.address}") as images:
            with pytest.raises(Unavailable, match=r"wants to know who asks \(407\)") as caught:
                await images.pull(f"{SECURE}/x:1")
            assert "wrong" not in str(caught.value)
        async with _opened(tmp_path, f"joe:right@{far.address}") as images:
            with pytest.raises(Unavailable, match="the proxy answered 502 to CONNECT"):
                await images.pull(f"{SECURE}/x:1")
            asked = len(far.asked)
        async with _opened(tmp_path, far.address, no_proxy=".corp.example") as images:
            with pytest.raises(Unavailable, match=f"dial tcp: lookup {SECURE}: "):
                await images.pull(f"{SECURE}/x:1")
        assert len(far.asked) == asked
        gone = far.address
    async with _opened(tmp_path, gone) as images:
        with pytest.raises(Unavailable, match=f"the proxy {gone} is out of reach: conn"):
            await images.pull(f"{SECURE}/x:1")


async def test_search_and_import_go_through_it(tmp_path: Path) -> None:
    """`docker search HOST/x` and `docker import URL`."""
    one = busybox()
    async with HostileRegistry(one) as server, ForwardProxy({PLAIN: server.host}) as far:
        server.always["/v1/search"] = Answer(body=b'{"results": [{"name": "found"}]}')
        server.always["/root.tar"] = Answer(body=one.tars[0])
        async with _opened(tmp_path, far.address) as images:
            assert [hit.name for hit in await images.search(PLAIN, "x", 5)] == ["found"]
            asked = ImportRequest(f"{PLAIN}/root.tar", "imported", "1", "", "", [])
            made = await import_image(images, asked, _nothing(), lambda _: None)
            assert made.repo_tags == ("imported:1",)
            server.always["/root.tar"] = Answer(404)
            with pytest.raises(NotFound, match="answered HTTP 404"):
                await import_image(images, asked, _nothing(), lambda _: None)


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""


@pytest.mark.parametrize("where", ["/manifests/", "/blobs/", "/token"])
@pytest.mark.parametrize(
    "inside", ["http://{}/secret", "http://localhost:{}/secret", "http://169.254.169.254/"]
)
async def test_a_public_server_does_not_lead_inside(
    tmp_path: Path, where: str, inside: str
) -> None:
    """Redirects and realms of what only a proxy knows (a public server) to this host and to a cloud's metadata."""
    async with (
        HostileRegistry(busybox()) as server,
        HostileRegistry(busybox()) as victim,
        ForwardProxy({PLAIN: server.host}) as far,
        _opened(tmp_path, far.address) as images,
    ):
        port = victim.host.rpartition(":")[2]
        target = inside.format(port if "localhost" in inside else f"127.0.0.1:{port}")
        if where == "/token":
            challenge = {"WWW-Authenticate": f'Bearer realm="{target}",service="s"'}
            server.always["/manifests/"] = Answer(401, headers=challenge)
        else:
            server.always[where] = Answer(307, headers={"Location": target})
        with pytest.raises(Forbidden, match=f"^{PLAIN} leads to .*: not followed"):
            await images.pull(f"{PLAIN}/x:1")
        assert victim.requests == []
        assert not any("169.254" in asked for _, asked in far.asked)

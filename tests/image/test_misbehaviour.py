"""Registries that refuse, lie, break off or stand still: typed errors, nothing stored."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tools.imagebuilder import Image, directory, file, image

from hyper.errors import (
    Forbidden,
    HyperError,
    InvalidRequest,
    NotFound,
    Unauthorized,
    Unavailable,
)
from hyper.image import limits, space
from hyper.image.images import Images
from hyper.image.patience import retry_after
from hyper.image.record import PullEvent
from hyper.image.registry import VerificationFailed
from tests.support.image_store import HASTY
from tests.support.registry import Answer, HostileRegistry

LAYER = b"".join(bytes([n % 251]) * 997 for n in range(3000))


def _image() -> Image:
    return image(
        [[file("a", LAYER)], [directory("b"), file("b/c", LAYER[::-1])]], compression="none"
    )


ONE = _image()
LAYERS = [one["digest"] for one in json.loads(ONE.manifest)["layers"]]


def _error(code: str, message: str) -> bytes:
    return json.dumps({"errors": [{"code": code, "message": message}]}).encode()


async def _fails(images: Images, server: HostileRegistry, kind: type[HyperError]) -> str:
    with pytest.raises(kind) as caught:
        await images.pull(server.reference)
    assert images.list() == []
    assert images.usage().layers_bytes == 0
    assert not any(path.is_file() for path in Path(images._root, "layers").iterdir())
    return str(caught.value)


@pytest.mark.parametrize(
    ("status", "body", "kind", "text"),
    [
        (404, _error("MANIFEST_UNKNOWN", "manifest unknown"), NotFound,
         "manifest for {}:latest not found: manifest unknown: manifest unknown"),
        (404, _error("NAME_UNKNOWN", "repository name not known to registry"), NotFound,
         "repository {} not found: name unknown: repository name not known to registry"),
        (404, b"<html>", NotFound, "manifest for {}:latest not found: 404"),
        (401, _error("UNAUTHORIZED", "authentication required"), Unauthorized, "authentication required"),
        (401, _error("DENIED", "denied"), NotFound, "pull access denied for {}, repository does not exist or may"),
        (403, _error("DENIED", "denied"), NotFound, "pull access denied for {}, repository does not exist or may"),
        (403, b"", Forbidden, "forbids {}"),
        (418, b"tea", Unavailable, "HTTP 418"),
        (500, b"", Unavailable, "HTTP 500"),
        (503, b"x" * 2_000_000, Unavailable, "HTTP 503"),
        (429, _error("TOOMANYREQUESTS", "slow down"), Unavailable, "HTTP 429"),
    ],
)  # fmt: skip
async def test_refusals(
    images: Images, status: int, body: bytes, kind: type[HyperError], text: str
) -> None:
    """A registry's refusal is told with its reason and by what it means."""
    async with HostileRegistry(ONE) as server:
        server.always["/manifests/"] = Answer(status, body)
        message = await _fails(images, server, kind)
        assert text.format(f"{server.host}/image") in message
        if kind is Unavailable:
            assert server.host in message


@pytest.mark.parametrize("where", ["/manifests/latest", "/blobs/" + LAYERS[0], "/blobs/" + ONE.id])
@pytest.mark.parametrize(
    "trouble",
    [
        Answer(500),
        Answer(429, headers={"Retry-After": "0"}),
        Answer(503),
        Answer(length=100, end="hang"),
        Answer(length=100, cut=0),
        Answer(length=100, end="reset"),
    ],
    ids=["500", "429", "503", "hang", "cut", "reset"],
)
async def test_trouble_that_passes(images: Images, where: str, trouble: Answer) -> None:
    """Trouble that ends before the attempts do is not noticed."""
    if trouble.end == "hang":
        images._patience = HASTY
    async with HostileRegistry(ONE) as server:
        server.script[where] = [trouble, trouble]
        record = await images.pull(server.reference)
        assert record.id == ONE.id
        assert len(server.paths(where)) == 3


@pytest.mark.parametrize("where", ["/manifests/latest", "/blobs/" + LAYERS[1]])
@pytest.mark.parametrize("end", ["hang", "reset", "close"])
async def test_trouble_that_stays(images: Images, where: str, end: str) -> None:
    """Trouble that outlasts the attempts is told with the registry and their number."""
    if end == "hang":
        images._patience = HASTY
    async with HostileRegistry(ONE) as server:
        server.always[where] = Answer(length=len(LAYER), end=end)
        message = await _fails(images, server, Unavailable)
        assert server.host in message
        assert "3 attempts" in message


async def test_silence_before_the_headers(images: Images) -> None:
    """A registry that accepts and says nothing is given up in time."""

    async def mute(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await stop.wait()
        writer.close()

    stop = asyncio.Event()
    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    images._patience = type(images._patience)(0.05, 0.05, 0.1, 2, 0.01, 0.01)
    with pytest.raises(Unavailable, match=f"registry {host}: no answer in time"):
        await images.pull(f"{host}/image")
    stop.set()
    server.close()
    await server.wait_closed()


async def test_nobody_listens(images: Images) -> None:
    """A refused connection is told as that."""
    server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
    await server.wait_closed()
    with pytest.raises(Unavailable, match=f"registry {host}: connection refused"):
        await images.pull(f"{host}/image")


@pytest.mark.parametrize("ranges", [True, False])
async def test_broken_connection_resumes(images: Images, ranges: bool) -> None:
    """A download that breaks goes on where it was, or from the start if the registry cannot do that."""
    async with HostileRegistry(ONE) as server:
        server.ranges = ranges
        blob = ONE.blobs[LAYERS[0]]
        server.script["/blobs/" + LAYERS[0]] = [Answer(body=blob, cut=2_000_000, end="close")]
        record = await images.pull(server.reference)
        assert record.size == 2 * len(LAYER)
        asked = [headers.get("range") for path, headers in server.requests if LAYERS[0] in path]
        first, second = asked
        assert first is None
        assert second is not None
        assert 1 << 20 <= int(second.removeprefix("bytes=").removesuffix("-")) <= 2_000_000


@pytest.mark.parametrize(
    ("lie", "text"),
    [
        (lambda blob: bytes(len(blob)), "verification failed for digest"),
        (lambda blob: blob + b"more", "is longer than the"),
        (lambda blob: blob[:-1] + b"x", "verification failed for digest"),
    ],
    ids=["zeros", "longer", "one byte"],
)
async def test_lying_blob(images: Images, lie: Any, text: str) -> None:
    """A layer of other content than its digest says is refused."""
    async with HostileRegistry(ONE) as server:
        server.always["/blobs/" + LAYERS[0]] = Answer(body=lie(ONE.blobs[LAYERS[0]]))
        message = await _fails(images, server, VerificationFailed)
        assert text in message
        assert LAYERS[0] in message


@pytest.mark.parametrize("length", [None, -1])
async def test_truncated_blob(images: Images, length: int | None) -> None:
    """A layer that ends early is refused, whatever length was told."""
    async with HostileRegistry(ONE) as server:
        server.ranges = False
        answer = Answer(body=ONE.blobs[LAYERS[0]][:-1000], length=length)
        server.always["/blobs/" + LAYERS[0]] = answer
        assert "ended after" in await _fails(images, server, Unavailable)


async def test_wrong_range_is_not_glued_together(images: Images) -> None:
    """A rest that begins elsewhere than asked for is refused."""
    async with HostileRegistry(ONE) as server:
        blob = ONE.blobs[LAYERS[0]]
        wrong = Answer(206, blob[5:], {"Content-Range": f"bytes 5-{len(blob) - 1}/{len(blob)}"})
        server.script["/blobs/" + LAYERS[0]] = [Answer(body=blob, cut=2_000_000), wrong]
        assert "another range" in await _fails(images, server, Unavailable)


async def test_wrong_diff_id(images: Images) -> None:
    """A layer that unpacks to other content than its configuration says is refused."""
    other = json.loads(ONE.config)
    other["rootfs"]["diff_ids"][0] = "sha256:" + "0" * 64
    async with HostileRegistry(_with_config(json.dumps(other).encode())) as server:
        message = await _fails(images, server, VerificationFailed)
        assert LAYERS[0] in message


async def test_lying_config(images: Images) -> None:
    """A configuration of other content than its digest says is refused."""
    async with HostileRegistry(ONE) as server:
        server.always["/blobs/" + ONE.id] = Answer(body=b"{}")
        await _fails(images, server, VerificationFailed)


def _with_config(config: bytes) -> Image:
    digest = "sha256:" + hashlib.sha256(config).hexdigest()
    manifest = json.loads(ONE.manifest)
    manifest["config"].update(digest=digest, size=len(config))
    return Image(json.dumps(manifest).encode(), config, {**ONE.blobs, digest: config}, ONE.tars)


def _manifest(**changed: Any) -> bytes:
    return json.dumps({**json.loads(ONE.manifest), **changed}).encode()


@pytest.mark.parametrize(
    ("manifest", "text"),
    [
        (b"", "invalid manifest"),
        (b"{", "invalid manifest"),
        (b"[]", "invalid manifest"),
        (b"\xff\xfe", "invalid manifest"),
        (b"[" * 100_000, "invalid manifest"),
        (_manifest(layers="none"), "invalid manifest"),
        (_manifest(layers=[]), "layers from manifest don't match image configuration"),
        (_manifest(manifests=[]), "both a config and a list of manifests"),
        (_manifest(schemaVersion=1), "schema 1"),
        (_manifest(mediaType="application/x-strange"), "unsupported manifest media type"),
        (_manifest(config={"digest": "md5:1", "size": 1, "mediaType": ""}), "unsupported digest"),
        (_manifest(config={"digest": ONE.id, "size": -1, "mediaType": ""}), "negative size"),
        (_manifest(config={"digest": ONE.id, "size": 3, "mediaType": "application/x-helm"}),
         "no container image"),
        (json.dumps({"schemaVersion": 2, "manifests": None}).encode(), "no matching manifest for linux/"),
    ],
)  # fmt: skip
async def test_broken_manifests(images: Images, manifest: bytes, text: str) -> None:
    """A manifest that is none is refused with what is wrong."""
    async with HostileRegistry(ONE) as server:
        server.always["/manifests/"] = Answer(body=manifest)
        assert text in await _fails(images, server, HyperError)


async def test_huge_manifest(images: Images) -> None:
    """A manifest of more than 4 MiB is refused."""
    async with HostileRegistry(ONE) as server:
        server.always["/manifests/"] = Answer(body=b" " * (4 * 1024 * 1024 + 1))
        assert "more than" in await _fails(images, server, VerificationFailed)


@pytest.mark.parametrize(
    ("config", "text"),
    [
        (b"[]", "invalid image configuration"),
        (b'{"os": "windows", "rootfs": {"diff_ids": []}}', 'operating system "windows"'),
        (b'{"rootfs": {"diff_ids": ["../../x", "y"]}}', "bad diff id"),
        (b'{"config": {"Env": [1]}}', "invalid image configuration"),
        (b'{"os": "linux"}', "layers from manifest don't match"),
    ],
)
async def test_broken_configs(images: Images, config: bytes, text: str) -> None:
    """A configuration that is none is refused with what is wrong."""
    async with HostileRegistry(_with_config(config)) as server:
        assert text in await _fails(images, server, InvalidRequest)


async def test_redirect_loop(images: Images) -> None:
    """Redirections are followed five times."""
    async with HostileRegistry(ONE) as server:
        path = f"http://{server.host}/v2/image/manifests/again"
        server.always["/manifests/"] = Answer(302, headers={"Location": path})
        assert "redirects" in await _fails(images, server, Unavailable)
        assert len(server.paths("/manifests/")) == 6


async def test_credentials_stay_at_home(images: Images) -> None:
    """A blob elsewhere is fetched, without the token."""
    async with HostileRegistry(ONE) as elsewhere, HostileRegistry(ONE) as server:
        challenge = {"WWW-Authenticate": f'Bearer realm="http://{server.host}/token",service="s"'}
        server.script["/manifests/"] = [Answer(401, headers=challenge)]
        server.always["/token"] = Answer(body=b'{"token": "abc"}')
        away = {"Location": f"http://{elsewhere.host}/v2/image/blobs/{LAYERS[0]}"}
        server.always[LAYERS[0]] = Answer(307, headers=away)
        await images.pull(server.reference)
        assert server.paths("/token") == ["/token?service=s&scope=repository:image:pull"]
        ours = [
            headers.get("authorization") for path, headers in server.requests if "/blobs/" in path
        ]
        assert set(ours) == {"Bearer abc"}
        assert [headers.get("authorization") for _, headers in elsewhere.requests] == [None]


async def test_refused_token(images: Images) -> None:
    """A refused token and a refused pull are told apart."""
    async with HostileRegistry(ONE) as server:
        challenge = {"WWW-Authenticate": f'Bearer realm="http://{server.host}/token",service="s"'}
        server.always["/manifests/"] = Answer(401, headers=challenge)
        server.always["/token"] = Answer(401)
        assert "refused the credentials" in await _fails(images, server, Unauthorized)
        server.always["/token"] = Answer(body=b'{"token": "abc"}')
        assert "pull access denied for" in await _fails(images, server, NotFound)


async def test_retry_after_is_obeyed(images: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pause is as long as the registry asks for, others grow by themselves."""
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr("hyper.image.patience.asyncio", SimpleNamespace(sleep=sleep))
    images._patience = type(images._patience)(5, 5, 5, 5, 0.5, 30)
    async with HostileRegistry(ONE) as server:
        wait = Answer(429, headers={"Retry-After": "7"})
        server.script["/manifests/"] = [wait, Answer(500), Answer(500)]
        await images.pull(server.reference)
    assert pauses == [7.0, 1.0, 2.0]


async def test_a_rate_limit_is_waited_out_within_bounds(
    images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Users are told for how long; more often than other failures, and never longer than the bound in all."""
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr("hyper.image.patience.asyncio", SimpleNamespace(sleep=sleep))
    images._patience = replace(images._patience, first_pause_s=8, longest_pause_s=30, limit_s=100)
    slow = _error("TOOMANYREQUESTS", "slow down")
    told: list[str] = []
    async with HostileRegistry(ONE) as server:
        server.script["/manifests/"] = [
            Answer(429, slow, {"Retry-After": "40"}),
            *[Answer(429, slow)] * 2,
        ]
        await images.pull(server.reference, progress=lambda event: told.append(event.status))
        assert pauses == [40, 16, 30]
        said = f"registry {server.host}: HTTP 429: toomanyrequests: slow down: waiting 40 s"
        assert told[1:4] == [said, said.replace("40", "16"), said.replace("40", "30")]
        server.always["/manifests/"] = Answer(429, slow)
        del pauses[:]
        with pytest.raises(Unavailable, match="HTTP 429: toomanyrequests: slow down"):
            await images.pull(server.reference)
        assert pauses == [8, 16, 30, 30]
        server.always["/manifests/"] = Answer(429, slow, {"Retry-After": "21600"})
        del pauses[:]
        with pytest.raises(Unavailable, match="asked again in 21600 s"):
            await images.pull(server.reference)
        assert pauses == []


async def test_who_waits_for_a_rate_limit_can_leave(images: Images) -> None:
    """Ctrl-C ends it: the token server's limit counts as the registry's."""
    images._patience = replace(images._patience, limit_s=100)
    waits = asyncio.Event()

    def tell(event: PullEvent) -> None:
        if "the token server answered 429: waiting 50 s" in event.status:
            waits.set()

    async with HostileRegistry(ONE) as server:
        challenge = {"WWW-Authenticate": f'Bearer realm="http://{server.host}/token",service="s"'}
        server.always["/manifests/"] = Answer(401, headers=challenge)
        server.always["/token"] = Answer(429, headers={"Retry-After": "50"})
        pull = asyncio.ensure_future(images.pull(server.reference, progress=tell))
        await waits.wait()
        pull.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pull


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [
        ("7", 7, 7),
        ("", 0, 0),
        ("-1", 0, 0),
        ("soon", 0, 0),
        ("9" * 40, 1e8, 1e9),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0),
        ("Fri, 31 Dec 2199 23:59:59 GMT", 1e9, 1e10),
        ("Fri, 31 Dec 99999 23:59:59 GMT", 0, 0),
    ],
)  # fmt: skip
def test_retry_after(value: str, least: float, most: float) -> None:
    """Seconds or a date; nonsense and the past mean no pause."""
    assert least <= retry_after(value) <= most


async def test_what_answers_is_not_repeated(images: Images) -> None:
    """A service that speaks no HTTP: its first line is in no error, and no object of Python's."""

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-Secret_9.2\r\n")
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    with pytest.raises(Unavailable, match=f"registry {host}: malformed HTTP response") as caught:
        await images.pull(f"{host}/image")
    assert "Secret" not in str(caught.value)
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://x/", "gopher://x", "data:,x"])
async def test_other_schemes_are_refused_at_once(images: Images, target: str) -> None:
    """One request, whatever patience is left; for redirects as for token servers."""
    async with HostileRegistry(ONE) as server:
        server.always["/manifests/"] = Answer(302, headers={"Location": target})
        await _fails(images, server, Unavailable)
        assert len(server.paths("/manifests/")) == 1
        challenge = {"WWW-Authenticate": f'Bearer realm="{target}",service="s"'}
        server.always["/manifests/"] = Answer(401, headers=challenge)
        await _fails(images, server, Unavailable)
        assert len(server.paths("/manifests/")) == 2


async def test_metadata_of_a_cloud_is_out_of_reach(images: Images) -> None:
    """Even for a registry on this host; nothing is asked again, nobody waits."""
    async with HostileRegistry(ONE) as server:
        away = {"Location": "http://169.254.169.254/latest/meta-data/"}
        server.always["/blobs/"] = Answer(307, headers=away)
        message = await _fails(images, server, Forbidden)
        assert message.startswith(
            f"{server.host} leads to 169.254.169.254, and 169.254.169.254 is a link-local address"
        )


async def test_what_has_no_room_is_not_even_begun(
    images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its declared size, before a byte is asked for; the reserve is the machines'."""
    monkeypatch.setattr(limits, "RESERVE_PART", 1)
    monkeypatch.setattr(limits, "MAX_RESERVE_BYTES", 1 << 60)
    async with HostileRegistry(ONE) as server:
        message = await _fails(images, server, HyperError)
        assert re.match(
            r"no space left on device while storing layer sha256:\S+: it has (2\.99|3)MB, and .* for 0B",
            message,
        )
        assert "stay free for containers" in message
        assert server.paths(LAYERS[0]) == server.paths(LAYERS[1]) == []


async def test_the_reserve_is_left_whatever_a_layer_unpacks_to(
    images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program that writes the squashfs is ended at the bound; nothing of it stays, and with room it is taken."""
    noise = image([[file("f", random.Random(7).randbytes(1_000_000))]], compression="gzip")
    async with HostileRegistry(noise) as server:
        with monkeypatch.context() as cramped:
            cramped.setattr("hyper.image.squash.room_bytes", lambda _: 300_000)
            message = await _fails(images, server, HyperError)
        assert message.startswith("no space left on device while storing layer")
        assert (await images.pull(server.reference)).id == noise.id


def test_writers_see_that_the_reserve_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They look again every few MiB, and never write more than they saw."""
    rooms = iter([100 << 20, 20 << 20, 5 << 20])
    monkeypatch.setattr(space, "room_bytes", lambda _: next(rooms))
    watch = space.Watch(tmp_path)
    for _ in range(32):
        watch.take(1 << 20)
    with pytest.raises(OSError, match="reserve"):
        watch.take(6 << 20)
    assert list(rooms) == []


def _tags(*tags: str, following: str = "") -> Answer:
    headers = {"Link": f'<{following}>; rel="next"'} if following else {}
    return Answer(body=json.dumps({"name": "image", "tags": tags}).encode(), headers=headers)


async def test_all_tags_are_found_page_by_page_on_the_same_host(images: Images) -> None:
    """Links are followed to their end, whatever host they name."""
    async with HostileRegistry(ONE) as server:
        server.script["tags/list?last=b"] = [_tags("c")]
        server.script["tags/list"] = [
            _tags("a", following="http://elsewhere.invalid/v2/image/tags/list?last=a"),
            _tags("b", following="/v2/image/tags/list?last=b"),
        ]
        found = await images.tags(f"{server.host}/image")
        assert found == [f"{server.host}/image:{tag}" for tag in "abc"]
        assert server.paths("tags") == [
            f"/v2/image/tags/list{more}" for more in ("", "?last=a", "?last=b")
        ]


@pytest.mark.parametrize(
    ("answer", "kind", "text"),
    [
        (_tags("x", following="/v2/image/tags/list"), Unavailable, "more than 1000 tags"),
        (_tags(*map(str, range(1001))), Unavailable, "more than 1000 tags"),
        (_tags(), NotFound, "no tags found for"),
        (Answer(body=b'{"tags": null}'), NotFound, "no tags found for"),
        (_tags("a", "../b"), InvalidRequest, "invalid tag format"),
        (Answer(body=b'{"tags": [5]}'), Unavailable, "its list of tags is none"),
        (Answer(body=b"[" * 5000), Unavailable, "its list of tags is none"),
        (Answer(body=b" " * (2 << 20)), VerificationFailed, "sent more than"),
        (Answer(404, _error("NAME_UNKNOWN", "unknown")), NotFound, "name unknown"),
    ],
)  # fmt: skip
async def test_a_list_of_tags_that_is_none_is_refused(
    images: Images, answer: Answer, kind: type[HyperError], text: str
) -> None:
    """Endless ones too."""
    async with HostileRegistry(ONE) as server:
        server.always["tags/list"] = answer
        with pytest.raises(kind, match=text):
            await images.tags(f"{server.host}/image")

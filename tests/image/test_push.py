"""Registries that refuse a push, lie, or stand still: typed errors, few attempts, nothing remembered."""

from __future__ import annotations

import asyncio

import pytest
from tools.imagebuilder import Image, file, image

from hyper.errors import Forbidden, HyperError, Unauthorized, Unavailable
from hyper.image.auth import RegistryAuth
from hyper.image.images import Images
from tests.support.image_store import HASTY
from tests.support.registry import Answer, HostileRegistry

ONE: Image = image([[file("a", b"abc" * 10_000)]])
BASIC = {"WWW-Authenticate": 'Basic realm="x"'}
AGAIN = Answer(301, headers={"Location": "/again"})
ABSENT = Answer(404)
SESSION = "/v2/image/blobs/uploads/1"
BEGUN = Answer(202, headers={"Location": SESSION})


@pytest.mark.parametrize(
    ("answers", "kind", "text"),
    [
        ({"/blobs/": Answer(401, headers=BASIC)}, Unauthorized, "unauthorized: authentication required"),
        ({"/blobs/": Answer(403)}, Forbidden, "denied: requested access to the resource is denied"),
        ({"/blobs/": Answer(500)}, Unavailable, "HTTP 500"),
        ({"/blobs/": AGAIN, "/again": AGAIN}, Unavailable, "more than 5 redirects"),
        ({"/uploads/": Answer(202), "/blobs/": ABSENT}, Unavailable, "does not say where to upload to"),
        ({"/uploads/": Answer(301, headers={"Location": "/x"}), "/blobs/": ABSENT}, Unavailable, "HTTP 301"),
        ({"/uploads/1": Answer(202, end="hang", cut=0, length=5), "/uploads/": BEGUN, "/blobs/": ABSENT},
         Unavailable, ""),
        ({"/uploads/1": Answer(500), "/uploads/": BEGUN, "/blobs/": ABSENT}, Unavailable, "HTTP 500"),
        ({"/uploads/1": Answer(416), "/uploads/": BEGUN, "/blobs/": ABSENT}, Unavailable, "HTTP 416"),
        ({"/manifests/": Answer(413), "/blobs/": Answer()}, Unavailable, "HTTP 413"),
    ],
)  # fmt: skip
async def test_a_push_ends(
    images: Images, answers: dict[str, Answer], kind: type[HyperError], text: str
) -> None:
    """Whatever the registry does: an error that says it, after few attempts, and the image stays as it was."""
    async with HostileRegistry(ONE) as server:
        before = await images.pull(server.reference)
        server.requests.clear()
        server.always.update(answers)
        if any(answer.end == "hang" for answer in answers.values()):
            images._patience = HASTY
        with pytest.raises(kind) as caught:
            await images.push(server.reference, auth=RegistryAuth("alice", "secret"))
        assert text in str(caught.value)
        assert len(server.requests) <= 8 * HASTY.attempts
        assert images.get(server.reference) == before


async def test_credentials_stay_with_the_registry(images: Images) -> None:
    """An upload that is to go to another host goes there without them."""
    async with HostileRegistry(ONE) as other, HostileRegistry(ONE) as server:
        await images.pull(server.reference)
        elsewhere = f"http://{other.host}{SESSION}"
        server.script["/blobs/"] = [Answer(401, headers=BASIC), ABSENT]
        server.always["/uploads/"] = Answer(202, headers={"Location": elsewhere})
        other.always["/uploads/"] = Answer(400)
        with pytest.raises(Unavailable):
            await images.push(server.reference, auth=RegistryAuth("alice", "secret"))
        assert any("authorization" in headers for _, headers in server.requests)
        assert other.requests
        assert not any("authorization" in headers for _, headers in other.requests)


class Guarded(HostileRegistry):
    """Refuses who says no name, once ``together`` have come so at the same moment; all else is there already."""

    together = 0

    def __init__(self, image: Image) -> None:
        super().__init__(image)
        self._come = asyncio.Event()
        self._nameless = 0

    async def _answer(
        self, path: str, headers: dict[str, str], writer: asyncio.StreamWriter
    ) -> None:
        if self.together and "authorization" not in headers:
            self._nameless += 1
            if self._nameless == self.together:
                self._come.set()
            await self._come.wait()
            self.script[path] = [Answer(401, headers=BASIC)]
        await super()._answer(path, headers, writer)


async def test_layers_that_are_refused_at_the_same_moment(images: Images) -> None:
    """Each is sent again with the credentials, also one whose refusal comes when another's has been heeded."""
    several = image([[file(name, name.encode() * 999)] for name in "ab"])
    async with Guarded(several) as server:
        await images.pull(server.reference)
        server.together = 2
        server.always |= {"/blobs/": Answer(), "/manifests/": Answer(201)}
        await images.push(server.reference, auth=RegistryAuth("alice", "secret"))
        assert sum("authorization" not in headers for _, headers in server.requests[-6:]) == 2

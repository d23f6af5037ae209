"""Routes under /hyper/v1 for App Container Images: bringing them here, and the keys whose signatures count."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from hyper.api import progress
from hyper.api.connections import CONNECTIONS
from hyper.api.http import Routes, flag, json_response
from hyper.engine.engine import Engine
from hyper.engine.inspect import image_events
from hyper.errors import Conflict, InvalidRequest
from hyper.image.record import ImageRecord, PullEvent
from hyper.types import response as wire

_PREFIX: Final = "/hyper/v1"
_CHUNK: Final = 1 << 20
#: Holds the detached signature of what the body is, in base64.
SIGNATURE: Final = "X-Hyper-Signature"

_Tell = Callable[[PullEvent], None]


class AppImageRoutes:
    """Handlers of App Container Images and of trust in them."""

    def __init__(self, engine: Engine) -> None:
        self._host = engine.host
        self._apps = engine.host.images.apps

    def routes(self) -> Routes:
        """(method, path, handler) of each route."""
        return [
            ("POST", f"{_PREFIX}/images/aci", self.add),
            ("POST", f"{_PREFIX}/images/fetch", self.fetch),
            ("GET", f"{_PREFIX}/trust", self.keys),
            ("POST", f"{_PREFIX}/trust", self.trust),
            ("DELETE", f"{_PREFIX}/trust/{{fingerprint}}", self.distrust),
        ]

    async def add(self, request: web.Request) -> web.StreamResponse:
        """The image whose archive is the body is here."""
        signature = _signature(request)
        body = request.content.iter_chunked(_CHUNK)
        return await self._bring(
            request, lambda tell: self._apps.add(body, signature=signature, progress=tell)
        )

    async def fetch(self, request: web.Request) -> web.StreamResponse:
        """The image at the URL ``name``, or that discovery finds for it, is here.

        ``unless-registry``: no image is fetched if its host serves the API of registries.
        """
        name = request.query.get("name", "")
        if name.startswith(("https://", "http://")):
            return await self._bring(
                request, lambda tell: self._apps.fetch_url(name, progress=tell)
            )
        if flag(request, "unless-registry") and await self._apps.is_registry(name):
            raise Conflict(f"the host of {name} is a registry")
        return await self._bring(request, lambda tell: self._apps.fetch_name(name, progress=tell))

    async def _bring(
        self, request: web.Request, work: Callable[[_Tell], Awaitable[ImageRecord]]
    ) -> web.StreamResponse:
        async def told(tell: progress.Tell) -> ImageRecord:
            record = await work(lambda event: tell(progress.line(event)))
            name = record.repo_tags[0] if record.repo_tags else ""
            tell(wire.PullLine(status=f"Image: {name or record.id}"))
            tell(wire.PullLine(aux=wire.MadeAux(record.id, name)))
            return record

        response, record = await progress.stream(request, told)
        if record is not None:
            image_events.by_id(self._host, "pull", record.id)
        return response

    async def keys(self, request: web.Request) -> web.StreamResponse:
        """Every trusted key."""
        trust = self._apps.trust
        found = []
        for key in trust.all():
            (facts,) = await trust.read(key.path.read_bytes())
            found.append(wire.TrustedKeyView(key.fingerprint, key.prefix, list(facts.user_ids)))
        return json_response(found)

    async def trust(self, request: web.Request) -> web.StreamResponse:
        """The keys in the body are trusted for ``prefix``."""
        data = await request.app[CONNECTIONS].body(request)
        prefix = request.query.get("prefix", "")
        facts = await self._apps.trust.add(data, prefix)
        return json_response(
            [wire.TrustedKeyView(key.fingerprint, prefix, list(key.user_ids)) for key in facts],
            status=201,
        )

    async def distrust(self, request: web.Request) -> web.StreamResponse:
        """A key is trusted no more, for ``prefix`` or at all."""
        fingerprint = request.match_info["fingerprint"]
        removed = self._apps.trust.remove(fingerprint, request.query.get("prefix"))
        return json_response(
            [wire.TrustedKeyView(key.fingerprint, key.prefix, []) for key in removed]
        )


def _signature(request: web.Request) -> bytes | None:
    text = request.headers.get(SIGNATURE)
    if text is None:
        return None
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRequest(f"the header {SIGNATURE} is no base64") from None

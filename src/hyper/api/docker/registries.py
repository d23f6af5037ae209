"""Routes that ask registries: auth, distribution, search."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from hyper.api.docker.image_list import truth
from hyper.api.http import Routes, body_of, filters_of, json_response, number
from hyper.engine.engine import Engine
from hyper.errors import InvalidRequest
from hyper.image.auth import RegistryAuth
from hyper.image.search import DEFAULT_LIMIT, MAX_LIMIT, split_term
from hyper.types import response as wire
from hyper.types.container import AuthBody

_HUB: Final = "docker.io"
_HUB_NAMES: Final = frozenset({"", "index.docker.io", "registry-1.docker.io", _HUB})
_SEARCH_FILTERS: Final = frozenset({"is-official", "is-automated", "stars"})


class RegistryRoutes:
    """Handlers of the routes that ask registries."""

    def __init__(self, engine: Engine) -> None:
        self._images = engine.host.images

    def routes(self) -> Routes:
        """(method, path, handler) of each route."""
        return [
            ("POST", "/auth", self.auth),
            ("GET", "/distribution/{name:.+}/json", self.distribution),
            ("GET", "/images/search", self.search),
        ]

    async def auth(self, request: web.Request) -> web.StreamResponse:
        body, _ = await body_of(request, AuthBody, typed=False)
        domain = body.serveraddress.partition("://")[2] or body.serveraddress
        domain = domain.partition("/")[0]
        if domain in _HUB_NAMES:
            domain = _HUB
        credentials = RegistryAuth(body.username, body.password, body.identitytoken)
        if credentials == RegistryAuth():
            raise InvalidRequest("a user name and a password, or an identity token, are needed")
        await self._images.login(domain, credentials)
        return json_response(wire.AuthAnswer(status="Login Succeeded", identity_token=""))

    async def distribution(self, request: web.Request) -> web.StreamResponse:
        auth = RegistryAuth.from_header(request.headers.get("X-Registry-Auth", ""))
        found, platforms = await self._images.describe(request.match_info["name"], auth)
        return json_response(
            wire.Distribution(
                wire.OciDescriptor(found.media_type, found.digest, found.size),
                [
                    wire.OciPlatform(one.architecture, one.os, one.variant or None)
                    for one in platforms
                ],
            )
        )

    async def search(self, request: web.Request) -> web.StreamResponse:
        filters = filters_of(request, _SEARCH_FILTERS)
        limit = number(request, "limit")
        limit = DEFAULT_LIMIT if limit in (None, 0) else limit
        assert limit is not None
        if not 1 <= limit <= MAX_LIMIT:
            raise InvalidRequest(f"limit {limit} is outside the range of [1, {MAX_LIMIT}]")
        official, stars = truth(filters, "is-official"), _stars(filters.get("stars", set()))
        automated = truth(filters, "is-automated")
        found = await self._images.search(*split_term(request.query.get("term", "")), limit)
        return json_response(
            [
                item
                for item in found
                if official in (None, item.is_official)
                and automated in (None, item.is_automated)
                and item.star_count >= stars
            ]
        )


def _stars(values: set[str]) -> int:
    try:
        return max((int(value) for value in values), default=0)
    except ValueError:
        raise InvalidRequest(f"invalid filter 'stars={sorted(values)[0][:50]}'") from None

"""Searches (``docker search``): Docker Hub's list of names.

Registries by the distribution-spec have no search; they are asked, and the error says so.

Source: Docker Hub's /v1/search as moby registry/search.go uses it.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlencode

import msgspec

from hyper.errors import InvalidRequest, NotFound, Unavailable
from hyper.image import limits
from hyper.image.endpoint import Endpoint
from hyper.image.reference import DEFAULT_DOMAIN, split_domain
from hyper.image.registry import Registry, read_body

HUB: Final = "index.docker.io"
DEFAULT_LIMIT: Final = 25
MAX_LIMIT: Final = 100
_MAX_TERM: Final = 256


class Hit(msgspec.Struct):
    """A hit: a repository that was found."""

    name: str = ""
    description: str = ""
    is_official: bool = False
    is_automated: bool = False
    star_count: int = 0


class _Answer(msgspec.Struct):
    results: list[Hit] | None = None


def split_term(term: str) -> tuple[str, str]:
    """The domain to ask, and the term to ask for. ``host:5000/name`` asks that host.

    Raises:
        InvalidRequest: no term, or a long one.
    """
    if not term.strip() or len(term) > _MAX_TERM:
        raise InvalidRequest("a term to search for is needed, of at most 256 characters")
    if "://" in term:
        raise InvalidRequest(
            f"invalid repository name: repository name ({term}) should not have a scheme"
        )
    domain, name = split_domain(term)
    return domain, name.removeprefix("library/") if domain == DEFAULT_DOMAIN else name


async def search(registry: Registry, domain: str, term: str, limit: int) -> list[Hit]:
    """The repositories that a registry finds.

    Raises:
        NotFound: the registry has no search. Unavailable: it does not answer, or nonsense.
    """

    async def ask(endpoint: Endpoint) -> list[Hit]:
        query = urlencode({"q": term, "n": limit})
        try:
            async with registry.request(endpoint, "GET", f"/v1/search?{query}") as response:
                data = await read_body(response, limits.MAX_ANSWER_BYTES)
        except NotFound:
            raise NotFound(
                f"registry {domain} has no search: registries by the distribution specification do not"
            ) from None
        try:
            return (msgspec.json.decode(data, type=_Answer).results or [])[:limit]
        except msgspec.DecodeError as error:
            raise Unavailable(f"registry {domain}: its answer to a search: {error}") from None

    return await registry.on_endpoints(ask)

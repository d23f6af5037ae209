"""The tags of a repository, as its registry lists them.

Source: OCI distribution specification, "Listing Tags".
"""

from __future__ import annotations

from urllib.parse import urlsplit

import msgspec

from hyper.errors import NotFound, Unavailable
from hyper.image import limits
from hyper.image.endpoint import Endpoint
from hyper.image.reference import Reference, parse_tag
from hyper.image.registry import Registry, read_body


class _Page(msgspec.Struct):
    tags: list[str] | None = None


async def find(registry: Registry, reference: Reference) -> list[Reference]:
    """The references of ``reference``'s repository with each of its tags, in the registry's order.

    Raises:
        NotFound: no such repository, or one without a tag.
        InvalidRequest: a tag that is none. Unavailable: a list that is none, or too long.
        Unauthorized, Forbidden, VerificationFailed: as `Registry.manifest`.
    """

    async def ask(endpoint: Endpoint) -> list[str]:
        tags, target = await _page(registry, endpoint, "tags/list")
        for _ in range(limits.MAX_TAG_PAGES):
            if target is None:
                break
            page, target = await _page(registry, endpoint, target)
            tags += page
        if target is not None or len(tags) > limits.MAX_TAGS:
            raise Unavailable(
                f"{reference.familiar} has more than {limits.MAX_TAGS} tags: name one"
            )
        return tags

    found = [parse_tag(reference.familiar, tag) for tag in await registry.on_endpoints(ask)]
    if not found:
        raise NotFound(f"no tags found for {reference.familiar}")
    return found


async def _page(
    registry: Registry, endpoint: Endpoint, target: str
) -> tuple[list[str], str | None]:
    """A part of the list, and the URL of the next one on the same host; None: this was the last."""
    async with registry.request(endpoint, "GET", target) as response:
        data = await read_body(response, limits.MAX_ANSWER_BYTES)
        link = response.links.get("next")
    try:
        page = msgspec.json.decode(data, type=_Page)
    except msgspec.DecodeError as error:
        raise Unavailable(f"registry {endpoint}: its list of tags is none: {error}") from None
    if link is None:
        return page.tags or [], None
    following = urlsplit(str(link["url"]))
    return page.tags or [], f"{following.path.removeprefix(endpoint.prefix)}?{following.query}"

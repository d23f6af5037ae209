"""Routes about the life of containers as a whole: list, rename, prune."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

from aiohttp import web

from hyper.api.docker import container_filter, render
from hyper.api.docker.usage import sized
from hyper.api.http import (
    CONTAINER,
    Routes,
    asked_version,
    filters_of,
    flag,
    json_response,
    labels_match,
    moment,
    number,
)
from hyper.engine.engine import Engine
from hyper.engine.record.container import ContainerRecord
from hyper.engine.spec import links
from hyper.errors import Conflict, InvalidRequest
from hyper.types import response as wire

_ANNOTATIONS_SINCE: Final = (1, 46)
_PRUNE_FILTERS: Final = frozenset({"until", "label", "label!"})


class LifecycleRoutes:
    """Handlers of the list, rename and prune routes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._pruning = asyncio.Lock()

    def routes(self) -> Routes:
        """(method, path, handler) of each route."""
        return [
            ("GET", "/containers/json", self.list),
            ("POST", f"{CONTAINER}/rename", self.rename),
            ("POST", "/containers/prune", self.prune),
        ]

    async def list(self, request: web.Request) -> web.StreamResponse:
        filters = filters_of(request, container_filter.KNOWN)
        checks = container_filter.checks(self._engine, filters)
        limit = number(request, "limit") or 0
        everything = flag(request, "all") or limit > 0 or bool(filters.get("status"))
        chosen = [
            container
            for container in self._engine.containers.all()
            if (everything or container.up) and all(check(container) for check in checks)
        ]
        if limit > 0:
            chosen = chosen[:limit]
        names = links.names(container.record for container in self._engine.containers.all())
        annotated = asked_version(request) >= _ANNOTATIONS_SINCE
        rows = [
            render.summary(
                container, others=names.get(container.record.id, ()), annotated=annotated
            )
            for container in chosen
        ]
        if flag(request, "size"):
            rows = [await sized(*pair) for pair in zip(rows, chosen, strict=True)]
        return json_response(rows)

    async def rename(self, request: web.Request) -> web.StreamResponse:
        container = self._engine.containers.get(request.match_info["id"])
        self._engine.containers.rename(container, request.query.get("name", ""))
        return web.Response(status=204)

    async def prune(self, request: web.Request) -> web.StreamResponse:
        filters = filters_of(request, _PRUNE_FILTERS)
        until_ns = _until(filters.get("until", set()))
        if self._pruning.locked():
            raise Conflict("a prune operation is already running")
        async with self._pruning:
            work = self._engine.prune_containers(partial(_prunable, filters, until_ns))
            deleted, reclaimed = await self._engine.finish(work)
        return json_response(wire.PruneContainersAnswer(deleted or None, reclaimed))


def _until(values: set[str]) -> int | None:
    if len(values) > 1:
        raise InvalidRequest("more than one until filter specified")
    for text in values:
        return moment(text, what="value for 'until'")
    return None


def _prunable(filters: dict[str, set[str]], until_ns: int | None, record: ContainerRecord) -> bool:
    if until_ns is not None and record.created_ns > until_ns:
        return False
    return labels_match(record.config.labels, filters)

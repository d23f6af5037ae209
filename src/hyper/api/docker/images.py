"""Routes about the images that are here: list, inspect, history, tag, delete, prune."""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import web
from msgspec import UNSET

from hyper.api import STORAGE_DRIVER
from hyper.api.docker import image_list
from hyper.api.docker.render import origin_view
from hyper.api.http import Routes, asked_version, filters_of, flag, has_label, json_response, moment
from hyper.engine.engine import Engine
from hyper.engine.inspect import image_events
from hyper.engine.spec.create import image_config_view, image_defaults
from hyper.errors import Conflict
from hyper.image.record import HistoryItem, ImageRecord
from hyper.image.reference import parse_tag
from hyper.types import response as wire
from hyper.units import rfc3339

_PRUNE_FILTERS: Final = frozenset({"dangling", "until", "label", "label!"})


class ImageRoutes:
    """Handlers of the image routes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._images = engine.host.images
        self._pruning = asyncio.Lock()

    def routes(self) -> Routes:
        """(method, path, handler) of each route."""
        return [
            ("GET", "/images/json", self.list_images),
            ("GET", "/images/{name:.+}/json", self.inspect),
            ("GET", "/images/{name:.+}/history", self.history),
            ("POST", "/images/{name:.+}/tag", self.tag),
            ("POST", "/images/prune", self.prune),
            ("DELETE", "/images/{name:.+}", self.delete),
        ]

    async def list_images(self, request: web.Request) -> web.StreamResponse:
        filters = filters_of(request, image_list.FILTERS)
        if request.query.get("filter"):  # clients older than 1.41
            filters.setdefault("reference", set()).add(request.query["filter"])
        question = image_list.Question(filters, flag(request, "all"), asked_version(request))
        shared = self._images.usage().shared if flag(request, "shared-size") else None
        return json_response(image_list.summaries(self._images, question, None, shared))

    async def inspect(self, request: web.Request) -> web.StreamResponse:
        record = self._images.get(request.match_info["name"])
        tagged_ns = self._images.tagged_ns(record.id)
        return json_response(
            wire.ImageInspect(
                id=record.id,
                repo_tags=list(record.repo_tags),
                repo_digests=list(record.repo_digests),
                parent=record.parent,
                comment=_comment(record),
                created=record.created or wire.ZERO_TIME,
                docker_version=record.config.docker_version or "",
                author=record.config.author or "",
                config=image_config_view(record.config.config),
                architecture=record.architecture,
                variant=wire.said(record.config.variant),
                os=record.os,
                size=record.size,
                virtual_size=image_list.virtual_size(record, asked_version(request)),
                graph_driver=wire.DriverData(STORAGE_DRIVER, None),
                root_fs=wire.RootFs("layers", list(record.layers)),
                metadata={"LastTagTime": rfc3339(tagged_ns) if tagged_ns else wire.ZERO_TIME},
                container=record.config.container or UNSET,
                container_config=record.config.container_config or UNSET,
                hyper=wire.ImageView(origin_view(self._images.origin(record.id))),
                aci=record.config.aci or UNSET,
            )
        )

    async def history(self, request: web.Request) -> web.StreamResponse:
        items = self._images.history(request.match_info["name"])
        return json_response([_history_item(item) for item in items])

    async def tag(self, request: web.Request) -> web.StreamResponse:
        repository, tag = request.query.get("repo", ""), request.query.get("tag", "")
        record = await self._images.tag(request.match_info["name"], repository, tag)
        name = parse_tag(repository, tag).familiar
        image_events.by_id(self._engine.host, "tag", record.id, name)
        return web.Response(status=201)

    async def delete(self, request: web.Request) -> web.StreamResponse:
        users = self._engine.containers.by_image()
        running = self._engine.containers.by_image(up=True)
        happened: list[tuple[str, str]] = []
        removed = await self._images.remove(
            request.match_info["name"],
            force=flag(request, "force"),
            noprune=flag(request, "noprune"),
            in_use=lambda one: users.get(one, []),
            running=lambda one: running.get(one, []),
            tell=lambda action, image_id: happened.append((action, image_id)),
        )
        self._publish(happened)
        return json_response(removed)

    async def prune(self, request: web.Request) -> web.StreamResponse:
        filters = filters_of(request, _PRUNE_FILTERS)
        dangling = image_list.truth(filters, "dangling") is not False
        until = min((moment(text, what="time") for text in filters.get("until", ())), default=None)

        def wanted(image: ImageRecord) -> bool:
            labels = image_defaults(image.config.config).labels or {}
            return (
                (until is None or image_list.created_ns(image) <= until)
                and all(has_label(labels, value) for value in filters.get("label", ()))
                and not any(has_label(labels, value) for value in filters.get("label!", ()))
            )

        if self._pruning.locked():
            raise Conflict("a prune operation is already running")
        happened: list[tuple[str, str]] = []
        async with self._pruning:
            users = self._engine.containers.by_image()
            removed, freed = await self._images.prune(
                wanted,
                lambda one: users.get(one, []),
                lambda action, image_id: happened.append((action, image_id)),
                dangling=dangling,
            )
        self._publish(happened)
        self._engine.host.events.publish("image", "prune", "", {"reclaimed": str(freed)})
        return json_response(wire.ImagePrune(removed or None, freed))

    def _publish(self, happened: list[tuple[str, str]]) -> None:
        for action, image_id in happened:
            image_events.by_id(self._engine.host, action, image_id)


def _comment(record: ImageRecord) -> str:
    last = (record.config.history or ())[-1:]
    return record.config.comment or (last[0].comment if last else "") or ""


def _history_item(item: HistoryItem) -> wire.ImageHistoryItem:
    created = image_list.created_of(item.created) // 10**9
    return wire.ImageHistoryItem(
        item.id, created, item.created_by, list(item.tags) or None, item.size, item.comment
    )

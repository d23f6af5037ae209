"""GET /system/df: the disk space that images, containers and volumes take."""

from __future__ import annotations

from typing import Final, TypeVar

from aiohttp import web

from hyper.api.docker import image_list, render
from hyper.api.docker.volumes import view
from hyper.api.http import Routes, asked_version, json_response
from hyper.engine.engine import Engine
from hyper.engine.lifecycle.container import Container
from hyper.engine.lifecycle.prune import written_bytes
from hyper.errors import InvalidRequest
from hyper.types import response as wire
from hyper.types.mount import VolumeView

_Sized = TypeVar("_Sized", wire.ContainerSummary, wire.ContainerInspect)
_TYPES: Final = frozenset({"container", "image", "volume", "build-cache"})


class UsageRoutes:
    """The handler of /system/df."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def routes(self) -> Routes:
        """(method, path, handler) of each route."""
        return [("GET", "/system/df", self.df), ("POST", "/build/prune", self.prune_builds)]

    async def prune_builds(self, request: web.Request) -> web.StreamResponse:
        """No builds are pruned, for nothing is built here; ``docker system prune`` asks nevertheless."""
        return json_response(wire.BuildPrune())

    async def df(self, request: web.Request) -> web.StreamResponse:
        kinds = set(request.query.getall("type", [])) or set(_TYPES)
        if unknown := sorted(kinds - _TYPES):
            raise InvalidRequest(f"unknown object type: {unknown[0]}")
        answer = wire.DiskUsage()
        if "image" in kinds:
            self._add_images(answer, asked_version(request))
        if "container" in kinds:
            containers = self._engine.containers.all()
            answer.containers = [await sized(render.summary(one), one) for one in containers]
        if "volume" in kinds:
            answer.volumes = await self._volumes()
        if "build-cache" in kinds:
            answer.build_cache = []
        return json_response(answer)

    async def _volumes(self) -> list[VolumeView]:
        volumes = self._engine.host.volumes
        return [
            view(item.record, volumes.mountpoint(item.record.name), item)
            for item in await volumes.usage()
        ]

    def _add_images(self, answer: wire.DiskUsage, version: tuple[int, int]) -> None:
        images = self._engine.host.images
        usage = images.usage()
        question = image_list.Question({}, all=False, version=version)
        users = self._engine.containers.by_image()
        answer.images = image_list.summaries(images, question, users, usage.shared)
        answer.layers_size = usage.layers_bytes


async def sized(answer: _Sized, container: Container) -> _Sized:
    """``answer`` about a container, with the bytes it has written and those of its whole file system."""
    answer.size_rw = await written_bytes(container)
    images = container.host.images
    answer.size_root_fs = answer.size_rw + images.size_of(container.record.image_id)
    return answer

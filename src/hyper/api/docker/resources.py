"""Routes about what a container costs and may take: stats, top, update, pause, unpause."""

from __future__ import annotations

import contextlib
from typing import Final

from aiohttp import web

from hyper.api.http import CONTAINER, Routes, body_of, flag, json_response
from hyper.engine.engine import Engine
from hyper.engine.inspect.stats import Feed
from hyper.engine.inspect.top import top
from hyper.engine.lifecycle.container import Container
from hyper.engine.lifecycle.update import update
from hyper.errors import InvalidRequest
from hyper.types.container import HostConfig
from hyper.types.response import UpdateAnswer

#: Lines to look at for one that says what was before: it is the second unless something is in the way.
_MOST_LINES: Final = 4


class ResourceRoutes:
    """Handlers of the routes of a container's resources."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def routes(self) -> Routes:
        """(method, path, handler) of each route."""
        return [
            ("GET", f"{CONTAINER}/stats", self.stats),
            ("GET", f"{CONTAINER}/top", self.top),
            ("POST", f"{CONTAINER}/update", self.update),
            ("POST", f"{CONTAINER}/pause", self.pause),
            ("POST", f"{CONTAINER}/unpause", self.unpause),
        ]

    def _get(self, request: web.Request) -> Container:
        return self._engine.containers.get(request.match_info["id"])

    async def stats(self, request: web.Request) -> web.StreamResponse:
        container = self._get(request)
        feed = self._engine.stats.of(container)
        stream, one_shot = flag(request, "stream", default=True), flag(request, "one-shot")
        if stream and one_shot:
            raise InvalidRequest("cannot have stream=true and one-shot=true")
        if not stream:
            line = await (feed.once() if one_shot or not container.live else _second(feed))
            return web.Response(body=line, content_type="application/json")
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        async with contextlib.aclosing(feed.lines()) as lines:
            async for line in lines:
                await response.write(line)
        await response.write_eof()
        return response

    async def top(self, request: web.Request) -> web.StreamResponse:
        ps_args = request.query.get("ps_args", "") or "-ef"
        return json_response(await top(self._get(request), ps_args))

    async def update(self, request: web.Request) -> web.StreamResponse:
        body, _ = await body_of(request, HostConfig)
        container = self._get(request)
        work = update(container, body)
        return json_response(UpdateAnswer(await self._engine.finish(work) or None))

    async def pause(self, request: web.Request) -> web.StreamResponse:
        await self._engine.finish(self._get(request).pause())
        return web.Response(status=204)

    async def unpause(self, request: web.Request) -> web.StreamResponse:
        await self._engine.finish(self._get(request).unpause())
        return web.Response(status=204)


async def _second(feed: Feed) -> bytes:
    """A line of stats that has the earlier counters, too; the last line, or b"", if the container stops answering."""
    line = b""
    async with contextlib.aclosing(feed.lines()) as lines:
        for _ in range(_MOST_LINES):
            line = await anext(lines, line)
            if feed.primed:
                break
    return line

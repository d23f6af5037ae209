"""Routes about what a container costs and may take: pause, unpause."""

from __future__ import annotations

from aiohttp import web

from hyper.api.http import Routes
from hyper.engine.container import Container
from hyper.engine.engine import Engine


class ResourceRoutes:
    """Handlers of these routes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def routes(self) -> Routes:
        """(method, path, handler) of each."""
        return [
            ("POST", "/containers/{id}/pause", self.pause),
            ("POST", "/containers/{id}/unpause", self.unpause),
        ]

    def _get(self, request: web.Request) -> Container:
        return self._engine.containers.get(request.match_info["id"])

    async def pause(self, request: web.Request) -> web.StreamResponse:
        await self._engine.host.tasks.see_through(self._get(request).pause())
        return web.Response(status=204)

    async def unpause(self, request: web.Request) -> web.StreamResponse:
        await self._engine.host.tasks.see_through(self._get(request).unpause())
        return web.Response(status=204)

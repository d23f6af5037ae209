"""Routes under /hyper/v1: templates, pooled machines, how starts went."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from hyper.api.http import Routes, body_of, flag, json_response
from hyper.api.views import start_view
from hyper.engine.engine import Engine
from hyper.engine.spec import resources
from hyper.errors import InvalidRequest, NotFound, Unavailable
from hyper.machine.template import About, Card, Shape
from hyper.sandbox.starter import FastStart
from hyper.system import affinity, memory
from hyper.types import fast as wire
from hyper.units import MIB, rfc3339

_PREFIX: Final = "/hyper/v1"


class FastRoutes:
    """Handlers of the routes of templates, the pool and starts."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def routes(self) -> Routes:
        """(method, path, handler) of each route."""
        return [
            ("GET", f"{_PREFIX}/templates", self.list),
            ("POST", f"{_PREFIX}/templates", self.build),
            ("GET", f"{_PREFIX}/templates/{{key}}", self.inspect),
            ("DELETE", f"{_PREFIX}/templates/{{key}}", self.remove),
            ("GET", f"{_PREFIX}/pool", self.pool),
            ("GET", f"{_PREFIX}/containers/{{id}}/start", self.start),
        ]

    @property
    def _fast(self) -> FastStart:
        fast = self._engine.host.starter.fast
        if fast is None:
            raise Unavailable(
                "this daemon makes no templates", hint="it was started with --templates=false"
            )
        return fast

    async def list(self, request: web.Request) -> web.StreamResponse:
        """Every template on disk, the most recently used first."""
        fast = self._fast
        return json_response([_template(fast, about) for about in await fast.templates.all()])

    async def build(self, request: web.Request) -> web.StreamResponse:
        """A template of the shape that was asked for is there."""
        body, _ = await body_of(request, wire.TemplateBuildBody)
        shape = Shape(
            vcpus=body.vcpus or 1,
            memory_mib=self._memory_mib(body.memory_mib),
            card=self._card(body.card),
        )
        if not 1 <= shape.vcpus <= len(affinity.available()):
            raise InvalidRequest(f"a machine here can have 1 to {len(affinity.available())} CPUs")
        template = await self._fast.templates.build(shape)
        return json_response(wire.TemplateMade(template.key), status=201)

    def _memory_mib(self, limit_mib: int) -> int:
        """The memory (MiB) of machines of containers that have this limit in MiB; 0: no limit."""
        default = self._engine.host.config.default_memory_mib
        available = memory.total_mib()
        return resources.memory_mib(limit_mib * MIB, default, available_mib=available)

    def _card(self, name: str) -> Card:
        usual = Card(self._engine.host.network_driver.card)
        possible = (usual, Card.NONE)
        try:
            card = Card(name) if name else usual
        except ValueError:
            card = None
        if card not in possible:
            names = " or ".join(possible)
            raise InvalidRequest(f"no card {name[:100]!r}: here it is {names}")
        return card

    async def _find(self, request: web.Request) -> About:
        key = request.match_info["key"]
        found = [about for about in await self._fast.templates.all() if about.key.startswith(key)]
        if len(found) > 1:
            raise InvalidRequest(f"several templates begin with {key}")
        if not found:
            raise NotFound(f"No such template: {key}")
        return found[0]

    async def inspect(self, request: web.Request) -> web.StreamResponse:
        """One template, by its key or the beginning of it."""
        return json_response(_template(self._fast, await self._find(request)))

    async def remove(self, request: web.Request) -> web.StreamResponse:
        """The template is removed; machines made from it go on."""
        await self._fast.templates.remove((await self._find(request)).key)
        return web.Response(status=204)

    async def pool(self, request: web.Request) -> web.StreamResponse:
        """The machines of the pool that wait, and how many should. With ``wait``: once as many wait as should."""
        pool = self._fast.pool
        if flag(request, "wait"):
            await pool.settled()
        shelves = [
            wire.ShelfView(
                item.shape.vcpus, item.shape.memory_mib, item.shape.card, item.waiting, item.wanted
            )
            for item in pool.state()
        ]
        return json_response(
            wire.PoolView(pool.limit_mib, pool.machine_mib, pool.taken, pool.missed, shelves)
        )

    async def start(self, request: web.Request) -> web.StreamResponse:
        """The timeline of a container's last start, also of a container that is gone already."""
        view = start_view(self._engine.host.start_log.get(request.match_info["id"]))
        if view is None:
            raise NotFound("the container has not been started")
        return json_response(view)


def _template(fast: FastStart, about: About) -> wire.TemplateView:
    return wire.TemplateView(
        key=about.key,
        vcpus=about.shape.vcpus,
        memory_mib=about.shape.memory_mib,
        card=about.shape.card,
        created=rfc3339(about.created_ns),
        used=rfc3339(about.used_ns),
        disk_bytes=about.disk_bytes,
        loaded=fast.templates.is_loaded(about.key),
    )

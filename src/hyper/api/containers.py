"""Routes under /containers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

import msgspec
from aiohttp import web

from hyper.api import logs, render
from hyper.api.hijack import MULTIPLEXED, RAW, Hijacked, hijack
from hyper.api.http import Routes, body_of, filters_of, flag, has_label, json_response, number
from hyper.api.streams import Input, Wanted, detach_keys, join
from hyper.api.usage import sized
from hyper.engine.container import Container
from hyper.engine.engine import Engine
from hyper.engine.log_file import LogQuery
from hyper.engine.mounts import clean
from hyper.engine.output import Subscription
from hyper.engine.plan import signal_number
from hyper.engine.state import Status
from hyper.errors import Conflict, InvalidRequest, NotFound
from hyper.guest.process import Output
from hyper.types import response as wire
from hyper.types.container import CreateBody, HostConfig

T = TypeVar("T")

_FILTERS: Final = frozenset(
    {"id", "name", "label", "status", "ancestor", "exited", "before", "since", "network", "health"}
    | {"publish", "expose", "volume", "is-task", "isolation"}
)
_UNANSWERED: Final = frozenset({"health", "is-task", "isolation"})
_CONDITIONS: Final = frozenset({"", "not-running", "next-exit", "removed"})


class ContainerRoutes:
    """Handlers of the container routes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def routes(self) -> Routes:
        """(method, path, handler) of each."""
        return [
            ("POST", "/containers/create", self.create),
            ("GET", "/containers/json", self.list),
            ("GET", "/containers/{id}/json", self.inspect),
            ("POST", "/containers/{id}/start", self.start),
            ("POST", "/containers/{id}/stop", self.stop),
            ("POST", "/containers/{id}/restart", self.restart),
            ("POST", "/containers/{id}/kill", self.kill),
            ("POST", "/containers/{id}/wait", self.wait),
            ("POST", "/containers/{id}/resize", self.resize),
            ("POST", "/containers/{id}/attach", self.attach),
            ("GET", "/containers/{id}/logs", self.logs),
            ("DELETE", "/containers/{id}", self.remove),
        ]

    def _get(self, request: web.Request) -> Container:
        return self._engine.containers.get(request.match_info["id"])

    async def _whole(self, work: Coroutine[Any, Any, T]) -> T:
        """What was begun is brought to its end, whether the client waits for it or not."""
        return await self._engine.host.tasks.see_through(work)

    async def create(self, request: web.Request) -> web.StreamResponse:
        body, plain = await body_of(request, CreateBody)
        host = body.host_config or HostConfig()
        raw = plain.get("HostConfig") or {}
        name = request.query.get("name") or None
        container, warnings = await self._engine.containers.create(name, body, host, raw)
        return json_response(wire.CreateAnswer(container.record.id, warnings), status=201)

    async def list(self, request: web.Request) -> web.StreamResponse:
        filters = filters_of(request, _FILTERS)
        for value in filters.get("status", ()):
            _status(value)
        for value in (*filters.get("before", ()), *filters.get("since", ())):
            self._created(value)
        limit = number(request, "limit") or 0
        everything = flag(request, "all") or limit > 0 or "status" in filters or "exited" in filters
        chosen = [
            container
            for container in self._engine.containers.all()
            if (everything or container.up) and self._matches(container, filters)
        ]
        if limit > 0:
            chosen = chosen[:limit]
        answers = [render.summary(container) for container in chosen]
        if flag(request, "size"):
            answers = [await sized(*pair) for pair in zip(answers, chosen, strict=True)]
        return json_response(answers)

    def _matches(self, container: Container, filters: dict[str, set[str]]) -> bool:
        record = container.record
        checks: dict[str, Callable[[str], bool]] = {
            "id": lambda value: record.id.startswith(value),
            "name": lambda value: value.strip("^$/") in record.name,
            "status": lambda value: _status(value) is record.status,
            "label": lambda value: has_label(record.config.labels or {}, value),
            "ancestor": lambda value: self._is_ancestor(container, value),
            "exited": lambda value: (
                record.status is Status.EXITED and str(record.exit_code) == value
            ),
            "volume": lambda value: any(
                clean(value) == point.target or value == (point.volume or point.source)
                for point in record.mounts
            ),
            "network": lambda value: any(
                value in (item.network, item.network_id) or item.network_id.startswith(value)
                for item in record.endpoints
            ),
            "publish": lambda value: _has_port(container, value),
            "expose": lambda value: _has_port(container, value),
            "before": lambda value: record.created_ns < self._created(value),
            "since": lambda value: record.created_ns > self._created(value),
        }
        for name, values in filters.items():
            if name in _UNANSWERED:
                continue
            every = name == "label"
            answers = [checks[name](value) for value in values]
            if answers and not (all(answers) if every else any(answers)):
                return False
        return True

    def _created(self, name: str) -> int:
        return self._engine.containers.get(name).record.created_ns

    def _is_ancestor(self, container: Container, value: str) -> bool:
        record = container.record
        if value in (record.image_ref, record.image_id):
            return True
        try:
            return self._engine.host.images.get(value).id == record.image_id
        except (NotFound, InvalidRequest):
            return False

    async def inspect(self, request: web.Request) -> web.StreamResponse:
        container = self._get(request)
        answer = render.inspect(container)
        if flag(request, "size"):
            answer = await sized(answer, container)
        return json_response(answer)

    async def start(self, request: web.Request) -> web.StreamResponse:
        started = await self._whole(self._get(request).start())
        return web.Response(status=204 if started else 304)

    async def stop(self, request: web.Request) -> web.StreamResponse:
        stopped = await self._whole(
            self._get(request).stop(timeout_s=number(request, "t"), number=_signal(request))
        )
        return web.Response(status=204 if stopped else 304)

    async def restart(self, request: web.Request) -> web.StreamResponse:
        container, timeout_s = self._get(request), number(request, "t")
        await self._whole(_restart(container, timeout_s=timeout_s, signal=_signal(request)))
        return web.Response(status=204)

    async def kill(self, request: web.Request) -> web.StreamResponse:
        container = self._get(request)
        number_ = _signal(request) or 9
        if not container.up:
            raise Conflict(
                f"cannot kill container: {request.match_info['id']}: "
                f"container {container.record.id} is not running"
            )
        await self._whole(container.kill(number_))
        return web.Response(status=204)

    async def wait(self, request: web.Request) -> web.StreamResponse:
        container = self._get(request)
        condition = request.query.get("condition", "")
        if condition not in _CONDITIONS:
            raise InvalidRequest(f"invalid condition: {condition!r}")
        if condition == "removed":
            future = asyncio.shield(container.removed)
        elif condition != "next-exit" and not container.up:
            future = asyncio.get_running_loop().create_future()
            future.set_result(container.record.exit_code)
        else:
            future = container.next_exit()
        # The head goes out at once: clients start the container only when they have it.
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        answer = wire.WaitAnswer(await future)
        await response.write(msgspec.json.encode(answer))
        await response.write_eof()
        return response

    async def resize(self, request: web.Request) -> web.StreamResponse:
        rows, columns = size_of(request)
        await self._get(request).resize(rows, columns)
        return web.Response(status=200)

    async def remove(self, request: web.Request) -> web.StreamResponse:
        if flag(request, "link"):
            raise InvalidRequest("links are not supported")
        container, force = self._get(request), flag(request, "force")
        await self._whole(container.remove(force=force, volumes=flag(request, "v")))
        return web.Response(status=204)

    async def logs(self, request: web.Request) -> web.StreamResponse:
        return await logs.serve(request, self._get(request))

    async def attach(self, request: web.Request) -> web.StreamResponse:
        container = self._get(request)
        container.refuse_paused("attach")
        if container.up and not container.live:
            container.running()
        config = container.record.config
        keys = detach_keys(request.query.get("detachKeys", ""))
        stream = flag(request, "stream")
        wanted = Wanted(
            stdin=flag(request, "stdin") and stream and config.open_stdin,
            stdout=flag(request, "stdout"),
            stderr=flag(request, "stderr"),
        )
        source = Input(
            program=container.wait_started,
            close_at_end=config.stdin_once and not config.tty,
            escape=keys if config.tty else None,
        )
        kind = content_type(tty=config.tty)
        subscription = container.hub.subscribe() if stream else None
        try:
            past = _past(container, wanted) if flag(request, "logs") else []
            async with hijack(request, content_type=kind) as connection:
                container.publish("attach")
                for piece in past:
                    await connection.write(piece.fd, piece.data)
                if subscription is not None:
                    await join(connection, subscription, wanted, source)
        finally:
            _close(subscription)
        return Hijacked()


async def _restart(container: Container, *, timeout_s: int | None, signal: int | None) -> None:
    await container.stop(timeout_s=timeout_s, number=signal)
    await container.start()
    container.publish("restart")


def _close(subscription: Subscription | None) -> None:
    if subscription is not None:
        subscription.close()


def _past(container: Container, wanted: Wanted) -> list[Output]:
    """What a client that asked for ``logs`` gets first; no await between this and the subscription."""
    log = container.hub.log
    assert log is not None
    query = LogQuery(stdout=wanted.stdout, stderr=wanted.stderr)
    kept = [
        Output(item.stream, item.payload) for item in log.records(0, log.size) if query.wants(item)
    ]
    return [*kept, *(piece for piece in container.hub.unlogged() if wanted.takes(piece))]


def content_type(*, tty: bool) -> str:
    """How the client has to read a stream."""
    return RAW if tty else MULTIPLEXED


def size_of(request: web.Request) -> tuple[int, int]:
    """(rows, columns) of a resize request.

    Raises:
        InvalidRequest: missing or out of range.
    """
    rows, columns = number(request, "h"), number(request, "w")
    if rows is None or columns is None or not (0 <= rows <= 65535 and 0 <= columns <= 65535):
        raise InvalidRequest("invalid terminal size: h and w must be from 0 to 65535")
    return rows, columns


def _signal(request: web.Request) -> int | None:
    text = request.query.get("signal", "")
    return signal_number(text) if text else None


def _status(value: str) -> Status:
    try:
        return Status(value)
    except ValueError:
        raise InvalidRequest(f"invalid filter 'status={value}'") from None


def _has_port(container: Container, value: str) -> bool:
    spec = value if "/" in value else f"{value}/tcp"
    return spec in render.port_map(container.record)

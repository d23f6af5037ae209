"""Routes under /containers."""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec
from aiohttp import web
from msgspec.structs import replace

from hyper.api.docker import logs, render
from hyper.api.docker.attach_ws import accept
from hyper.api.docker.usage import sized
from hyper.api.hijack import RAW, Hijacked, hijack
from hyper.api.http import CONTAINER, Routes, asked_version, body_of, flag, json_response, number
from hyper.api.streams import Input, Peer, Wanted, detach_keys, join
from hyper.engine.engine import Engine
from hyper.engine.lifecycle import network_connect, removal, stop
from hyper.engine.lifecycle.container import Container
from hyper.engine.output.log_file import LogQuery
from hyper.engine.output.output import Subscription
from hyper.engine.spec.signals import signal_number
from hyper.errors import Conflict, HyperError, InvalidRequest
from hyper.guest.process import Output
from hyper.types import response as wire
from hyper.types.container import CreateBody, HostConfig

_CONDITIONS: Final = frozenset({"", "not-running", "next-exit", "removed"})


#: Members of the body that say something of the container itself.
_CONFIG: Final = frozenset(item.encode_name for item in msgspec.structs.fields(CreateBody)) - {
    *("HostConfig", "NetworkingConfig", "Runtime"),
}
_PRIVATE_IPC_SINCE: Final = (1, 40)
#: Since then what a container is called by itself is in DNSNames.
_ALIASES_ONLY_SINCE: Final = (1, 45)


class ContainerRoutes:
    """Handlers of the container routes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def routes(self) -> Routes:
        """(method, path, handler) of each route."""
        return [
            ("POST", "/containers/create", self.create),
            ("GET", f"{CONTAINER}/json", self.inspect),
            ("POST", f"{CONTAINER}/start", self.start),
            ("POST", f"{CONTAINER}/stop", self.stop),
            ("POST", f"{CONTAINER}/restart", self.restart),
            ("POST", f"{CONTAINER}/kill", self.kill),
            ("POST", f"{CONTAINER}/wait", self.wait),
            ("POST", f"{CONTAINER}/resize", self.resize),
            ("POST", f"{CONTAINER}/attach", self.attach),
            ("GET", f"{CONTAINER}/attach/ws", self.attach_ws),
            ("GET", f"{CONTAINER}/logs", self.logs),
            ("DELETE", "/containers/{id:.+}", self.remove),
        ]

    def _get(self, request: web.Request) -> Container:
        return self._engine.containers.get(request.match_info["id"])

    async def create(self, request: web.Request) -> web.StreamResponse:
        if not request.body_exists:
            raise InvalidRequest("invalid JSON: got EOF while reading request body")
        body, plain = await body_of(request, CreateBody)
        if not _CONFIG.intersection(plain):
            raise InvalidRequest("config cannot be empty in order to create a container")
        if asked_version(request) < _PRIVATE_IPC_SINCE:
            host = body.host_config or HostConfig()
            body.host_config = replace(host, ipc_mode=host.ipc_mode or "shareable")
        container, warnings = await self._engine.containers.create(
            request.query.get("name") or None,
            body,
            platform=request.query.get("platform", ""),
        )
        return json_response(wire.CreateAnswer(container.record.id, warnings), status=201)

    async def inspect(self, request: web.Request) -> web.StreamResponse:
        container = self._get(request)
        answer = render.inspect(container)
        if asked_version(request) < _ALIASES_ONLY_SINCE:
            render.add_own_aliases(answer, container)
        if flag(request, "size"):
            answer = await sized(answer, container)
        return json_response(answer)

    async def start(self, request: web.Request) -> web.StreamResponse:
        started = await self._engine.finish(self._get(request).start())
        return web.Response(status=204 if started else 304)

    async def stop(self, request: web.Request) -> web.StreamResponse:
        stopped = await self._engine.finish(
            stop.stop(self._get(request), timeout_s=number(request, "t"), number=_signal(request))
        )
        return web.Response(status=204 if stopped else 304)

    async def restart(self, request: web.Request) -> web.StreamResponse:
        container, timeout_s = self._get(request), number(request, "t")
        await self._engine.finish(
            stop.restart(container, timeout_s=timeout_s, number=_signal(request))
        )
        return web.Response(status=204)

    async def kill(self, request: web.Request) -> web.StreamResponse:
        container = self._get(request)
        number_ = _signal(request) or 9
        await container.start_over()
        if not container.up:
            raise Conflict(
                f"cannot kill container: {request.match_info['id']}: "
                f"container {container.record.id} is not running"
            )
        await self._engine.finish(stop.kill(container, number_))
        return web.Response(status=204)

    async def wait(self, request: web.Request) -> web.StreamResponse:
        container = self._get(request)
        condition = request.query.get("condition", "")
        if condition not in _CONDITIONS:
            raise InvalidRequest(f"invalid condition: {condition!r}")
        if condition not in ("removed", "next-exit"):
            await container.start_over()
        if condition == "removed":
            future = asyncio.shield(container.removed)
        elif condition != "next-exit" and not container.up:
            future = asyncio.get_running_loop().create_future()
            future.set_result(container.record.exit_code)
        else:
            future = container.exit_waiters.next()
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
            await self._engine.finish(self._remove_link(request.match_info["id"]))
            return web.Response(status=204)
        container, force = self._get(request), flag(request, "force")
        await self._engine.finish(
            removal.remove(container, force=force, volumes=flag(request, "v"))
        )
        return web.Response(status=204)

    async def _remove_link(self, path: str) -> None:
        owner, _, alias = path.removeprefix("/").partition("/")
        container = self._engine.containers.get(owner)
        if not alias:
            raise Conflict("Conflict, cannot remove the default link name of the container")
        await network_connect.unlink(container, alias)

    async def logs(self, request: web.Request) -> web.StreamResponse:
        return await logs.serve(request, self._get(request))

    async def attach(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._attach(request)
        except HyperError as error:
            # As dockerd, which has taken the connection over by then: words in the stream's own type.
            return web.Response(
                body=f"{error}\r\n".encode(),
                status=error.http_status,
                headers={"Content-Type": RAW},
            )

    async def _attach(self, request: web.Request) -> web.StreamResponse:
        container = self._attachable(request)
        config = container.record.config
        wanted, source, stream = _attachment(request, container)
        subscription = container.hub.subscribe() if stream else None
        try:
            past = _past(container, wanted) if flag(request, "logs") else []
            async with hijack(request, tty=config.tty) as connection:
                await _serve(container, connection, past, subscription, wanted, source)
        finally:
            _close(subscription)
        return Hijacked()

    async def attach_ws(self, request: web.Request) -> web.StreamResponse:
        container = self._attachable(request)
        wanted, source, stream = _attachment(request, container)
        subscription = container.hub.subscribe() if stream else None
        try:
            past = _past(container, wanted) if flag(request, "logs") else []
            async with accept(request, listens=wanted.stdin) as (socket, peer):
                await _serve(container, peer, past, subscription, wanted, source)
        finally:
            _close(subscription)
        return socket

    def _attachable(self, request: web.Request) -> Container:
        container = self._get(request)
        container.refuse_paused("attach")
        if container.up and not container.live:
            container.running()
        return container


def _attachment(request: web.Request, container: Container) -> tuple[Wanted, Input, bool]:
    """The streams a client attaches to, where its input goes, and whether it stays attached."""
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
    return wanted, source, stream


async def _serve(
    container: Container,
    peer: Peer,
    past: list[Output],
    subscription: Subscription | None,
    wanted: Wanted,
    source: Input,
) -> None:
    container.publish("attach")
    for piece in past:
        await peer.write(piece.fd, piece.data)
    if subscription is not None:
        await join(peer, subscription, wanted, source)


def _close(subscription: Subscription | None) -> None:
    if subscription is not None:
        subscription.close()


def _past(container: Container, wanted: Wanted) -> list[Output]:
    """The output that a client that asked for ``logs`` gets first; no await between this call and the subscription."""
    log = container.hub.log
    assert log is not None
    query = LogQuery(stdout=wanted.stdout, stderr=wanted.stderr)
    kept = [
        Output(item.stream, item.payload)
        for item in log.records(0, log.size)
        if query.wants(item) and item.payload
    ]
    return [*kept, *(piece for piece in container.hub.unlogged() if wanted.takes(piece))]


def size_of(request: web.Request) -> tuple[int, int]:
    """The size, (rows, columns), that a resize request asks for.

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

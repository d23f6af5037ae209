"""Routes of execs."""

from __future__ import annotations

from aiohttp import web

from hyper.api.docker import render
from hyper.api.docker.containers import size_of
from hyper.api.hijack import Connection, Hijacked, hijack
from hyper.api.http import CONTAINER, Routes, body_of, json_response
from hyper.api.streams import Input, Wanted, detach_keys, join
from hyper.engine.engine import Engine
from hyper.engine.lifecycle.execs import Exec, already_run
from hyper.engine.output.output import Subscription
from hyper.engine.record.container import ExecRecord
from hyper.errors import HyperError, InvalidRequest
from hyper.guest.process import GuestProcess
from hyper.types.container import ExecBody, ExecStartBody
from hyper.types.response import IdAnswer


class ExecRoutes:
    """Handlers of the exec routes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def routes(self) -> Routes:
        """(method, path, handler) of each route."""
        return [
            ("POST", f"{CONTAINER}/exec", self.create),
            ("POST", "/exec/{id}/start", self.start),
            ("POST", "/exec/{id}/resize", self.resize),
            ("GET", "/exec/{id}/json", self.inspect),
        ]

    def _get(self, request: web.Request) -> Exec:
        return self._engine.execs.get(request.match_info["id"])

    async def create(self, request: web.Request) -> web.StreamResponse:
        body, _ = await body_of(request, ExecBody)
        if not body.cmd:
            raise InvalidRequest("No exec command specified")
        detach_keys(body.detach_keys)
        name = request.match_info["id"]
        container = self._engine.containers.get(name)
        await container.start_over()
        await container.answering()
        item = self._engine.execs.create(container, body, name=name)
        return json_response(IdAnswer(item.record.id), status=201)

    async def start(self, request: web.Request) -> web.StreamResponse:
        body, _ = await body_of(request, ExecStartBody)
        item = self._get(request)
        record = item.record
        if record.process:
            raise already_run(record)
        if body.detach:
            await self._start(item, body)
            return web.Response(status=200)
        item.container.running()
        subscription = item.hub.subscribe()
        item.settled.clear()  # before the client is answered: a terminal's size comes right after that
        try:
            # As dockerd: it is the start's word that counts, whatever the program has.
            async with hijack(request, tty=body.tty) as connection:
                await self._serve(connection, item, subscription, body)
        finally:
            item.settled.set()
            subscription.close()
        return Hijacked()

    async def _serve(
        self, connection: Connection, item: Exec, subscription: Subscription, body: ExecStartBody
    ) -> None:
        """An exec's program joined to its client. A failure to start is told in the connection, as in dockerd."""
        record = item.record
        try:
            process = await self._start(item, body)
        except HyperError as error:
            await connection.write(1, f"{error.message}\r\n".encode())
            return
        wanted = Wanted(record.attach_stdin, record.attach_stdout, record.attach_stderr)
        await join(connection, subscription, wanted, _source(record, process))

    async def _start(self, item: Exec, body: ExecStartBody) -> GuestProcess:
        """The started process of an exec. The start goes on to its end also when the client does not wait for it."""
        starting = self._engine.execs.start(item, body.console_size)
        item.settled.clear()
        try:
            return await self._engine.finish(starting)
        finally:
            item.settled.set()

    async def resize(self, request: web.Request) -> web.StreamResponse:
        rows, columns = size_of(request)
        await self._engine.execs.resize(self._get(request), rows, columns)
        return web.Response(status=200)

    async def inspect(self, request: web.Request) -> web.StreamResponse:
        return json_response(render.exec_inspect(self._get(request)))


def _source(record: ExecRecord, process: GuestProcess) -> Input:
    async def program() -> GuestProcess:
        return process

    escape = detach_keys(record.detach_keys) if record.tty else None
    return Input(program=program, close_at_end=not record.tty, escape=escape)

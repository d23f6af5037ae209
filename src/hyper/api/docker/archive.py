"""Routes for files of containers: archive, export, changes; and commit, which makes an image of them."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator

import msgspec
from aiohttp import web

from hyper.api.http import CONTAINER, Routes, body_of, flag, json_response
from hyper.engine.engine import Engine
from hyper.engine.inspect import commit, files
from hyper.engine.lifecycle.container import Container
from hyper.errors import InvalidRequest
from hyper.types.archive import PathStat
from hyper.types.container import ContainerConfig
from hyper.types.response import IdAnswer

_STAT_HEADER = "X-Docker-Container-Path-Stat"


class ArchiveRoutes:
    """Handlers of the routes for files of containers."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def routes(self) -> Routes:
        """(method, path, handler) of each route."""
        return [
            ("HEAD", f"{CONTAINER}/archive", self.stat),
            ("GET", f"{CONTAINER}/archive", self.get),
            ("PUT", f"{CONTAINER}/archive", self.put),
            ("GET", f"{CONTAINER}/export", self.export),
            ("GET", f"{CONTAINER}/changes", self.changes),
            ("POST", "/commit", self.commit),
        ]

    def _get(self, request: web.Request) -> Container:
        return self._engine.containers.get(request.match_info["id"])

    async def stat(self, request: web.Request) -> web.StreamResponse:
        container, path = self._get(request), _path(request)
        found = await files.stat(container, request.match_info["id"], path)
        return web.Response(headers={_STAT_HEADER: _header(found)}, content_type="application/json")

    async def get(self, request: web.Request) -> web.StreamResponse:
        container, path = self._get(request), _path(request)
        async with files.read(container, request.match_info["id"], path) as archive:
            headers = {_STAT_HEADER: _header(archive.stat), "Content-Type": "application/x-tar"}
            return await _stream(request, archive.tar, headers)

    async def put(self, request: web.Request) -> web.StreamResponse:
        container, path = self._get(request), _path(request)
        options = files.WriteOptions(
            keep_kinds=flag(request, "noOverwriteDirNonDir"), chown=flag(request, "copyUIDGID")
        )
        tar = request.content.iter_any()
        await files.write(container, request.match_info["id"], path, tar, options)
        return web.Response(status=200)

    async def export(self, request: web.Request) -> web.StreamResponse:
        async with files.export(self._get(request)) as tar:
            return await _stream(request, tar, {"Content-Type": "application/octet-stream"})

    async def changes(self, request: web.Request) -> web.StreamResponse:
        return json_response(await files.changes(self._get(request)) or None)

    async def commit(self, request: web.Request) -> web.StreamResponse:
        _, config = await body_of(request, ContainerConfig)
        query = request.query
        if not query.get("container"):
            raise InvalidRequest('invalid name or ID supplied: ""')
        container = self._engine.containers.get(query["container"])
        asked = commit.CommitRequest(
            repository=query.get("repo", ""),
            tag=query.get("tag", ""),
            comment=query.get("comment", ""),
            author=query.get("author", ""),
            pause=flag(request, "pause", default=True),
            changes=query.getall("changes", []),
            config=config,
        )
        work = commit.commit(container, asked)
        return json_response(IdAnswer(await self._engine.finish(work)), status=201)


def _path(request: web.Request) -> str:
    path = request.query.get("path", "")
    if not path:
        raise InvalidRequest("bad parameter: 'path' cannot be empty")
    return path


def _header(stat: PathStat) -> str:
    return base64.b64encode(msgspec.json.encode(stat)).decode()


async def _stream(
    request: web.Request, pieces: AsyncIterator[bytes], headers: dict[str, str]
) -> web.StreamResponse:
    """The pieces as a chunked answer; its head goes out with the first one, so that an earlier failure has a status."""
    first = await anext(pieces)
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    await response.write(first)
    async for piece in pieces:
        await response.write(piece)
    await response.write_eof()
    return response

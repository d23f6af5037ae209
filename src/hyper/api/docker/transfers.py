"""Routes that bring images here and take them away: pull, import, load, save."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from aiohttp import web

from hyper.api import progress
from hyper.api.http import Routes, flag
from hyper.engine.engine import Engine
from hyper.engine.inspect import image_events
from hyper.engine.inspect.image_import import ImportRequest, import_image
from hyper.errors import HyperError, InvalidRequest, NotFound, Unauthorized
from hyper.image import local_sources, query
from hyper.image.auth import RegistryAuth
from hyper.image.images import Loaded
from hyper.image.record import ImageRecord
from hyper.image.reference import parse
from hyper.types import response as wire

_CHUNK: Final = 1 << 20
#: Where an image may come from; the first is Docker's meaning of a pull.
_REGISTRY: Final = "registry"
_NEAREST: Final = "nearest"
_SOURCES: Final = (_REGISTRY, _NEAREST, "local")
#: Most images of one archive to save.
_MAX_NAMES: Final = 1000


class TransferRoutes:
    """Handlers of the routes that move images."""

    def __init__(self, engine: Engine) -> None:
        self._host = engine.host
        self._images = engine.host.images

    def routes(self) -> Routes:
        """(method, path, handler) of each route."""
        return [
            ("POST", "/images/create", self.create),
            ("POST", "/images/load", self.load),
            ("POST", "/images/{name:.+}/push", self.push),
            ("GET", "/images/get", self.save),
            ("GET", "/images/{name:.+}/get", self.save),
        ]

    async def create(self, request: web.Request) -> web.StreamResponse:
        if request.query.get("fromImage"):
            return await self._pull(request)
        if request.query.get("fromSrc"):
            return await self._import(request)
        raise InvalidRequest("fromImage or fromSrc says what to create an image from")

    async def _pull(self, request: web.Request) -> web.StreamResponse:
        """A pull; its answer's head waits for the registry's: until then a failure has a status, later only a line."""
        name, tag = request.query["fromImage"], request.query.get("tag", "")
        source = request.query.get("source", _REGISTRY)
        if source != _REGISTRY:
            # A name that has no tag may be an id, and clients say latest where people said nothing.
            bare = tag == "latest"
            return await self._bring(request, name if bare else _reference(name, tag), source)
        reference = _reference(name, tag)
        named = parse(reference)
        auth = RegistryAuth.from_header(request.headers.get("X-Registry-Auth", ""))

        async def pull(tell: progress.Tell) -> None:
            chosen = [reference]
            if named.tag is None and named.digest is None:  # as in Docker: all of them
                chosen = await self._images.tags(reference, auth=auth)
            for one in chosen:
                await self._images.pull(
                    one,
                    platform=request.query.get("platform") or None,
                    auth=auth,
                    progress=lambda event: tell(progress.line(event)),
                )
                image_events.by_name(self._host, "pull", one)

        response, _ = await progress.stream(request, pull, ahead=1, refused=_hidden)
        return response

    async def _bring(self, request: web.Request, reference: str, source: str) -> web.StreamResponse:
        """An image that is not here, brought from where it is least work to get (Hyper's own)."""
        if source not in _SOURCES:
            raise InvalidRequest(f"no source {source[:100]!r}: {', '.join(_SOURCES)}")
        auth = RegistryAuth.from_header(request.headers.get("X-Registry-Auth", ""))

        async def bring(tell: progress.Tell) -> None:
            record = await self._images.bring(
                reference,
                elsewhere=source == _NEAREST,
                platform=request.query.get("platform") or None,
                auth=auth,
                progress=lambda event: tell(progress.line(event)),
            )
            if local_sources.is_id(reference):
                if not query.is_id_prefix(record.id, reference):
                    tell(wire.PullLine(aux=wire.LoadAux(record.id)))
                image_events.by_id(self._host, "pull", record.id)
            else:
                image_events.by_name(self._host, "pull", reference)

        response, _ = await progress.stream(request, bring, ahead=1, refused=_hidden)
        return response

    async def push(self, request: web.Request) -> web.StreamResponse:
        name = _reference(request.match_info["name"], request.query.get("tag", ""))
        parse(name)
        auth = RegistryAuth.from_header(request.headers.get("X-Registry-Auth", ""))
        done: list[str] = []

        async def push(tell: progress.Tell) -> None:
            def pushed(tag: str, digest: str, size: int) -> None:
                done.append(tag)
                tell(wire.PullLine(aux=wire.PushAux(tag, digest, size)))

            await self._images.push(
                name,
                auth=auth,
                progress=lambda event: tell(progress.line(event)),
                pushed=pushed,
            )

        response, _ = await progress.stream(request, push)
        repository = parse(name).familiar_name
        for tag in done:
            image_events.by_name(self._host, "push", f"{repository}:{tag}")
        return response

    async def _import(self, request: web.Request) -> web.StreamResponse:
        query = request.query
        asked = ImportRequest(
            source=query["fromSrc"],
            repository=query.get("repo", ""),
            tag=query.get("tag", ""),
            message=query.get("message", ""),
            platform=query.get("platform", ""),
            changes=query.getall("changes", []),
        )

        async def work(tell: progress.Tell) -> ImageRecord:
            body = request.content.iter_chunked(_CHUNK)
            made = await import_image(
                self._images, asked, body, lambda event: tell(progress.line(event))
            )
            tell(wire.PullLine(status=made.id))
            return made

        response, record = await progress.stream(request, work)
        if record is not None:
            image_events.by_id(self._host, "import", record.id)
        return response

    async def load(self, request: web.Request) -> web.StreamResponse:
        quiet, ids = flag(request, "quiet"), flag(request, "ids")

        async def work(tell: progress.Tell) -> Loaded:
            body = request.content.iter_chunked(_CHUNK)
            found = await self._images.load(
                body, progress=lambda event: None if quiet else tell(progress.line(event))
            )
            for image_id, names in found:
                for name in names:
                    tell(wire.PullLine(stream=f"Loaded image: {name}\n"))
                if not names:
                    tell(wire.PullLine(stream=f"Loaded image ID: {image_id}\n"))
                if ids:
                    tell(wire.PullLine(aux=wire.LoadAux(image_id)))
            return found

        # As in dockerd: docker-py looks for the error among the lines.
        response, loaded = await progress.stream(request, work, ahead=None)
        for image_id, _ in loaded or ():
            image_events.by_id(self._host, "load", image_id)
        return response

    async def save(self, request: web.Request) -> web.StreamResponse:
        named = request.match_info.get("name")
        names = [named] if named is not None else request.query.getall("names", [])
        if not names:
            raise InvalidRequest("no image was named")
        if len(names) > _MAX_NAMES:
            raise InvalidRequest(f"{len(names)} images to save (at most {_MAX_NAMES})")
        async with self._images.saving(names) as (records, pieces):
            response = web.StreamResponse(headers={"Content-Type": "application/x-tar"})
            await response.prepare(request)
            async for piece in pieces:
                await response.write(piece)
        await response.write_eof()  # who sees the end finds nothing that was there for it alone
        for record in records:
            image_events.by_id(self._host, "save", record.id)
        return response


def _reference(name: str, tag: str) -> str:
    """``fromImage`` and ``tag`` together, as in dockerd: ``tag`` (or a digest there) replaces what the name has.

    Raises:
        InvalidRequest: the name is malformed.
    """
    if not tag:
        return name
    named = parse(name)
    if tag.startswith("sha256:"):
        return named.with_digest(tag).familiar
    return replace(named, tag=tag).familiar


def _hidden(error: HyperError) -> HyperError:
    """A registry's 401 as a 404, as in dockerd and the contract: at a 401 the client would ask for a password."""
    return NotFound(error.message, hint=error.hint) if isinstance(error, Unauthorized) else error

"""Routes that bring images here."""

from __future__ import annotations

from aiohttp import web

from hyper.api import progress
from hyper.api.http import Routes
from hyper.engine import image_events
from hyper.engine.engine import Engine
from hyper.errors import HyperError, NotFound, NotImplementedYet, Unauthorized
from hyper.image.auth import RegistryAuth
from hyper.image.record import ImageRecord
from hyper.image.reference import parse


class TransferRoutes:
    """Handlers of the routes that move images."""

    def __init__(self, engine: Engine) -> None:
        self._host = engine.host
        self._images = engine.host.images

    def routes(self) -> Routes:
        """(method, path, handler) of each."""
        return [("POST", "/images/create", self.create)]

    async def create(self, request: web.Request) -> web.StreamResponse:
        if not request.query.get("fromImage"):
            raise NotImplementedYet("importing images (fromSrc) is not implemented by Hyper yet")
        return await self._pull(request)

    async def _pull(self, request: web.Request) -> web.StreamResponse:
        """The head waits for the registry's answer: until then a status can say what went wrong, later only a line."""
        reference = _reference(request.query["fromImage"], request.query.get("tag", ""))
        parse(reference)
        auth = RegistryAuth.from_header(request.headers.get("X-Registry-Auth", ""))

        async def pull(tell: progress.Tell) -> ImageRecord:
            return await self._images.pull(
                reference,
                platform=request.query.get("platform") or None,
                auth=auth,
                progress=lambda event: tell(progress.line(event)),
            )

        response, record = await progress.stream(request, pull, ahead=1, refused=_hidden)
        if record is not None:
            image_events.by_name(self._host, "pull", reference)
        return response


def _reference(name: str, tag: str) -> str:
    """``fromImage`` and ``tag`` together; a tag that is a digest is one."""
    if not tag:
        return name
    return f"{name}@{tag}" if tag.startswith("sha256:") else f"{name}:{tag}"


def _hidden(error: HyperError) -> HyperError:
    """A registry's 401 is a 404 here, as in dockerd and the contract: the client would ask for a password."""
    return NotFound(error.message, hint=error.hint) if isinstance(error, Unauthorized) else error

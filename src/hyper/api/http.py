"""Tools that all routes share: versions, errors, JSON bodies, query values, streams."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

import msgspec
from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from hyper.api import API_VERSION, MIN_API_VERSION
from hyper.api.bodies import parse
from hyper.api.connections import CONNECTIONS
from hyper.errors import HyperError, InvalidRequest, NotFound, NotImplementedYet, Unavailable
from hyper.types.response import ErrorBody
from hyper.units import parse_timestamp_ns

logger = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Routes = list[tuple[str, str, Handler]]
T = TypeVar("T")

_TRUE: Final = frozenset({"1", "true", "True", "TRUE", "yes", "on"})
#: The version in a path, as a route has it and as it is found.
VERSION: Final = r"[0-9]{1,9}\.[0-9]{1,9}"
_PREFIX: Final = re.compile(r"/v([0-9]{1,9})\.([0-9]{1,9})(?=/)")
#: What there is to say about building images, wherever a client asks for it.
NO_BUILDS: Final = "building images is not implemented by Hyper yet"
BUILD_ELSEWHERE: Final = (
    "build with docker, podman or buildah elsewhere, then push the image to a registry or load it"
)
#: A container in a path: its name or id, or owner/alias of a link.
CONTAINER: Final = "/containers/{id:[^{}/]+(?:/[^{}/]+)?}"
#: Set on requests whose answer has begun.
_ANSWERED: Final = "answered"


def _number(version: str) -> tuple[int, int]:
    major, _, minor = version.partition(".")
    return int(major), int(minor)


def asked_version(request: web.Request) -> tuple[int, int]:
    """The API version the client's path names; the newest when it names none.

    Raises:
        InvalidRequest: older or newer than hyperd speaks (Docker's words).
    """
    match = _PREFIX.match(request.path)
    if match is None:
        return _number(API_VERSION)
    version = int(match[1]), int(match[2])
    text = f"{version[0]}.{version[1]}"
    if version > _number(API_VERSION):
        raise InvalidRequest(
            f"client version {text} is too new. Maximum supported API version is {API_VERSION}"
        )
    if version < _number(MIN_API_VERSION):
        raise InvalidRequest(
            f"client version {text} is too old. Minimum supported API version is "
            f"{MIN_API_VERSION}, please upgrade your client to a newer version"
        )
    return version


def json_response(body: Any, *, status: int = 200) -> web.Response:
    """``body`` (structs, lists, dicts) as JSON."""
    return web.Response(
        body=msgspec.json.encode(body), status=status, content_type="application/json"
    )


def error_response(error: HyperError) -> web.Response:
    """The response that tells a client of a failure."""
    return json_response(ErrorBody(str(error), error.kind), status=error.http_status)


@web.middleware
async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Middleware that makes each failure a status and a JSON message; an unexpected one is logged with its trace."""
    try:
        asked_version(request)
        return await handler(request)
    except HyperError as error:
        return _failed(request, error)
    except web.HTTPNotFound:
        return json_response(ErrorBody("page not found"), status=404)
    except web.HTTPMethodNotAllowed:
        return json_response(ErrorBody("page not found"), status=404)
    except ConnectionError as error:
        return _left(request, error)
    except Exception:  # the boundary: a bug of ours must not take the daemon's other clients along
        logger.exception("%s %s failed", request.method, request.path)
        failure = HyperError("internal error, see the daemon's log")
        return _failed(request, failure)


class Unanswered(web.StreamResponse):
    """The response that a handler returns when nothing is to be written to the connection any more; it is closed."""

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        return None


def _failed(request: web.Request, error: HyperError) -> web.StreamResponse:
    """The error's response; an answer under way is broken off instead, so that no client takes it for whole."""
    if _ANSWERED not in request:
        return error_response(error)
    logger.warning("%s %s broke off: %s", request.method, request.path, error.message)
    return _broken_off(request)


def _left(request: web.Request, error: ConnectionError) -> web.StreamResponse:
    """The response after a connection broke: none if the client has left, else (it was the daemon's) an error."""
    here = request.transport is not None and not request.transport.is_closing()
    if here and _ANSWERED not in request:
        logger.error("%s %s failed", request.method, request.path, exc_info=error)
        return _failed(request, HyperError("internal error, see the daemon's log"))
    logger.debug("%s %s: the client has left: %s", request.method, request.path, error)
    return _broken_off(request)


def _broken_off(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return Unanswered()


async def note_answer(request: web.Request, _: web.StreamResponse) -> None:
    """A signal handler that notes in the request that its answer has begun."""
    request[_ANSWERED] = True


async def body_of(
    request: web.Request, kind: type[T], *, typed: bool = True
) -> tuple[T, dict[str, Any]]:
    """The request's JSON body as ``kind``, and as plain data. No body at all is an empty object.

    Read it before any object is looked up: a malformed request is told so whether its object is there or not.
    ``typed``: the Content-Type has to say that the body is JSON.

    Raises:
        InvalidRequest: not JSON, not an object, or a member of the wrong type; too large, or not whole in time.
        Unavailable: too many large bodies are being read.
    """
    data = await request.app[CONNECTIONS].body(request)
    if typed:
        _check_type(request.headers.get("Content-Type", ""), empty=not data)
    return parse(data, kind)


def _check_type(text: str, *, empty: bool) -> None:
    """A check of the Content-Type ``text`` of a body that is ``empty`` or not.

    Raises:
        InvalidRequest: a body that does not call itself JSON (Docker's words).
    """
    if not text and empty:
        return
    media = text.partition(";")[0].strip().lower()
    if "/" not in media:
        raise InvalidRequest(f"malformed Content-Type header ({text[:100]}): mime: no media type")
    if media != "application/json":
        raise InvalidRequest(
            f"unsupported Content-Type header ({media[:100]}): must be 'application/json'"
        )


def flag(request: web.Request, name: str, *, default: bool = False) -> bool:
    """A query value that is true or not."""
    value = request.query.get(name)
    return default if value is None or value == "" else value in _TRUE


def number(request: web.Request, name: str) -> int | None:
    """A query value that is a whole number; None when absent.

    Raises:
        InvalidRequest: the value is no whole number.
    """
    value = request.query.get(name, "")
    if not value:
        return None
    if not re.fullmatch(r"-?\d{1,18}", value):
        raise InvalidRequest(f"invalid {name}: {value!r} is not a number")
    return int(value)


def moment(text: str, *, what: str) -> int:
    """A point in time as Docker's clients write it, in nanoseconds since 1970.

    Raises:
        InvalidRequest: the text is no point in time; ``what`` says where it stood.
    """
    try:
        return parse_timestamp_ns(text, now_ns=time.time_ns())
    except ValueError:
        raise InvalidRequest(f"invalid {what}: {text[:100]!r}") from None


def moment_of(request: web.Request, name: str) -> int | None:
    """The point in time in a query, in nanoseconds since 1970; None when absent."""
    text = request.query.get(name, "")
    return moment(text, what=f"value for {name!r}") if text else None


def filters_of(request: web.Request, known: frozenset[str] | None) -> dict[str, set[str]]:
    """The ``filters`` query: names to values, in either of the two forms clients send.

    Raises:
        InvalidRequest: not JSON of that form, or a filter that is not ``known`` (None: all are).
    """
    text = request.query.get("filters", "")
    if not text:
        return {}
    try:
        parsed = msgspec.json.decode(text, type=dict[str, list[str] | dict[str, bool]])
    except (msgspec.DecodeError, msgspec.ValidationError):
        raise InvalidRequest(f"invalid filter: {text[:200]!r}") from None
    for name in parsed:
        if known is not None and name not in known:
            raise InvalidRequest(f"invalid filter '{name}'")
    return {
        name: {key for key in values if not isinstance(values, dict) or values[key]}
        for name, values in parsed.items()
    }


class JsonLines:
    """A chunked answer that is being written. ``response`` is what the handler returns."""

    def __init__(self, response: web.StreamResponse) -> None:
        self.response = response

    async def send(self, item: Any) -> None:
        """One line is on its way to the client. Raises: ConnectionError when the client is gone."""
        await self.response.write(msgspec.json.encode(item) + b"\r\n")


@asynccontextmanager
async def json_lines(request: web.Request) -> AsyncIterator[JsonLines]:
    """A chunked answer of one JSON object a line; its head is sent at once."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    yield JsonLines(response)
    await response.write_eof()


def has_label(labels: dict[str, str], wanted: str) -> bool:
    """Whether ``name`` or ``name=value`` is among ``labels``."""
    name, equals, value = wanted.partition("=")
    return name in labels and (not equals or labels[name] == value)


def labels_match(labels: dict[str, str] | None, filters: dict[str, set[str]]) -> bool:
    """Whether ``labels`` have all that the filters ``label`` name, and none of ``label!``."""
    labels = labels or {}
    if any(has_label(labels, value) for value in filters.get("label!", ())):
        return False
    return all(has_label(labels, value) for value in filters.get("label", ()))


async def not_in_a_swarm(request: web.Request) -> web.StreamResponse:
    """The answer to leaving a swarm: this daemon is in none. Clients make sure of that so, and know this answer."""
    raise Unavailable("This node is not part of a swarm")


async def no_swarm_manager(request: web.Request) -> web.StreamResponse:
    """The answer to requests for a swarm's manager: clients that look for an object everywhere know dockerd's words."""
    raise Unavailable(
        'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this '
        "node to swarm and try again."
    )


async def no_plugins(request: web.Request) -> web.StreamResponse:
    """The list of plugins: there are none."""
    return json_response([])


async def no_such_plugin(request: web.Request) -> web.StreamResponse:
    """The answer to requests for one plugin: it is not found, as there are none."""
    raise NotFound(f'plugin "{request.match_info["name"]}" not found')


async def options(request: web.Request) -> web.StreamResponse:
    """The answer to OPTIONS, whatever the path, as in dockerd."""
    return web.Response(status=200)


async def no_builds(request: web.Request) -> web.StreamResponse:
    """The answer to requests to build: images are not built here."""
    raise NotImplementedYet(NO_BUILDS, hint=BUILD_ELSEWHERE)


async def not_yet(request: web.Request) -> web.StreamResponse:
    """The answer of a route of the Engine API that Hyper does not serve yet."""
    path = _PREFIX.sub("", request.path)
    raise NotImplementedYet(f"{request.method} {path} is not implemented by Hyper yet")

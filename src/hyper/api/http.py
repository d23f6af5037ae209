"""What all routes share: versions, errors, JSON bodies, query values, streams."""

from __future__ import annotations

import functools
import logging
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

import msgspec
from aiohttp import web

from hyper.api import API_VERSION, MIN_API_VERSION
from hyper.api.connections import CONNECTIONS
from hyper.errors import HyperError, InvalidRequest, NotImplementedYet, Unavailable
from hyper.types.container import without_nulls
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
#: Set on requests whose answer has begun.
_ANSWERED: Final = "answered"


def _number(version: str) -> tuple[int, int]:
    major, _, minor = version.partition(".")
    return int(major), int(minor)


def asked_version(request: web.Request) -> tuple[int, int]:
    """The API version the client's path names; the newest when it names none.

    Raises:
        InvalidRequest: older or newer than we speak (Docker's words).
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
    """What a client gets to read of a failure."""
    return json_response(ErrorBody(str(error)), status=error.http_status)


@web.middleware
async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every failure becomes a status and a JSON message; what nobody expected is logged with its trace."""
    try:
        asked_version(request)
        return await handler(request)
    except HyperError as error:
        return _failed(request, error)
    except web.HTTPNotFound:
        return json_response(ErrorBody("page not found"), status=404)
    except web.HTTPMethodNotAllowed:
        return json_response(ErrorBody("page not found"), status=404)
    except ConnectionError:
        raise
    except Exception:  # the boundary: a bug of ours must not take the daemon's other clients along
        logger.exception("%s %s failed", request.method, request.path)
        failure = HyperError("internal error, see the daemon's log")
        return _failed(request, failure)


def _failed(request: web.Request, error: HyperError) -> web.StreamResponse:
    """The error, or the connection's end where an answer is under way: the client must not take it for whole.

    Raises:
        ConnectionResetError: the latter.
    """
    if _ANSWERED not in request:
        return json_response(ErrorBody(str(error)), status=error.http_status)
    logger.warning("%s %s broke off: %s", request.method, request.path, error.message)
    if request.transport is not None:
        request.transport.abort()
    raise ConnectionResetError(str(error))


async def note_answer(request: web.Request, _: web.StreamResponse) -> None:
    """Called when an answer begins."""
    request[_ANSWERED] = True


async def body_of(request: web.Request, kind: type[T]) -> tuple[T, dict[str, Any]]:
    """The request's JSON body as ``kind``, and as plain data. No body at all is an empty object.

    Raises:
        InvalidRequest: not JSON, not an object, or a member of the wrong type; too large, or not whole in time.
        Unavailable: too many large ones are being read.
    """
    data = await request.app[CONNECTIONS].body(request)
    if data.strip() and request.content_type not in ("application/json", "text/plain"):
        raise InvalidRequest(
            f'malformed Content-Type header ({request.content_type}): must be "application/json"'
        )
    try:
        plain = msgspec.json.decode(data) if data.strip() else {}
        if not isinstance(plain, dict):
            raise InvalidRequest("invalid JSON: an object is expected")
        plain = _named(plain, kind)
        return msgspec.convert(without_nulls(plain), kind), plain
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"invalid JSON: {error}") from None
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise InvalidRequest(f"invalid JSON: {error}") from None


def _named(plain: dict[str, Any], kind: type) -> dict[str, Any]:
    """``plain`` with the names that ``kind`` has, whatever their case: dockerd does not mind it."""
    names = _names(kind)
    return {names.get(key.lower(), key): value for key, value in plain.items()}


@functools.cache
def _names(kind: type) -> dict[str, str]:
    """The members of ``kind`` by their names in lower case. Kept: to find them out takes longer than the rest."""
    return {item.encode_name.lower(): item.encode_name for item in msgspec.structs.fields(kind)}


def flag(request: web.Request, name: str, *, default: bool = False) -> bool:
    """A query value that is true or not."""
    value = request.query.get(name)
    return default if value is None or value == "" else value in _TRUE


def number(request: web.Request, name: str) -> int | None:
    """A query value that is a whole number; None when absent.

    Raises:
        InvalidRequest: it is none.
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
        InvalidRequest: it is none; ``what`` says where it stood.
    """
    try:
        return parse_timestamp_ns(text, now_ns=time.time_ns())
    except ValueError:
        raise InvalidRequest(f"invalid {what}: {text[:100]!r}") from None


def moment_of(request: web.Request, name: str) -> int | None:
    """The ``moment`` in a query; None when absent."""
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
        """One line is on its way. Raises: ConnectionError when the client is gone."""
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


async def not_in_a_swarm(request: web.Request) -> web.StreamResponse:
    """Leaving a swarm: nobody here is in one. Clients make sure of that so, and know this answer."""
    raise Unavailable("This node is not part of a swarm")


async def not_yet(request: web.Request) -> web.StreamResponse:
    """A route of the Engine API that Hyper does not serve yet."""
    path = _PREFIX.sub("", request.path)
    raise NotImplementedYet(f"{request.method} {path} is not implemented by Hyper yet")

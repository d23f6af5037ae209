"""The description of /hyper/v1 in OpenAPI 3.1, made from the very types that its bodies are read and written with.

Docker's routes are described by Docker's own document of its API; the description here has Hyper's alone.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from aiohttp import web

from hyper.api.http import Routes, json_response
from hyper.types import fast, pod
from hyper.types.response import TrustedKeyView, WaitAnswer

PREFIX: Final = "/hyper/v1"


@dataclass(frozen=True, slots=True)
class Operation:
    """A route: what it does, the types of its bodies (None: none), its query parameters with what they mean.

    ``statuses``: those it answers when all is well, and others that have no error in the body. ``takes``: the body is
    no JSON, it has this media type. ``lines``: the answer is a stream of JSON lines, as that of POST /images/create.
    """

    method: str
    path: str
    summary: str
    request: type | None = None
    response: Any = None
    query: tuple[tuple[str, str], ...] = ()
    statuses: tuple[int, ...] = (200,)
    takes: str = ""
    lines: bool = False


OPERATIONS: Final = (
    Operation("GET", "/openapi.json", "This document"),
    Operation("GET", "/templates", "Every template on disk", response=list[fast.TemplateView]),
    Operation(
        "POST",
        "/templates",
        "A template of a shape is there",
        request=fast.TemplateBuildBody,
        response=fast.TemplateMade,
        statuses=(201,),
    ),
    Operation("GET", "/templates/{key}", "One template", response=fast.TemplateView),
    Operation("DELETE", "/templates/{key}", "A template is gone", statuses=(204,)),
    Operation(
        "GET",
        "/pool",
        "Machines that wait for a container",
        response=fast.PoolView,
        query=(("wait", "answer once as many wait as should"),),
    ),
    Operation("GET", "/containers/{id}/start", "How its last start went", response=fast.StartView),
    Operation(
        "POST",
        "/images/aci",
        "The App Container Image that is the body is here",
        response=dict[str, Any],
        takes="application/octet-stream",
        lines=True,
    ),
    Operation(
        "POST",
        "/images/fetch",
        "The App Container Image at a URL, or that discovery finds for a name, is here",
        response=dict[str, Any],
        query=(
            ("name", "URL or name"),
            ("unless-registry", "refuse if the host of the name serves images of another kind"),
        ),
        lines=True,
    ),
    Operation("GET", "/trust", "Keys whose signatures count", response=list[TrustedKeyView]),
    Operation(
        "POST",
        "/trust",
        "The OpenPGP keys that are the body count",
        response=list[TrustedKeyView],
        query=(("prefix", 'of names of images they are for ("": all)'),),
        statuses=(201,),
        takes="application/octet-stream",
    ),
    Operation(
        "DELETE",
        "/trust/{fingerprint}",
        "A key counts no more",
        response=list[TrustedKeyView],
        query=(("prefix", "only for these names"),),
    ),
    Operation("GET", "/pods", "Every pod, the newest first", response=list[pod.PodView]),
    Operation(
        "POST",
        "/pods",
        "A new pod; nothing of it runs yet",
        request=pod.PodBody,
        response=pod.PodMade,
        statuses=(201,),
    ),
    Operation("GET", "/pods/{id}", "One pod, by name or id", response=pod.PodView),
    Operation(
        "POST",
        "/pods/{id}/start",
        "Its init containers have ended well, all others run (304: they did already)",
        statuses=(204, 304),
    ),
    Operation(
        "POST",
        "/pods/{id}/stop",
        "Nothing of it runs (304: nothing did)",
        query=(("t", "seconds until its containers are killed"),),
        statuses=(204, 304),
    ),
    Operation(
        "GET",
        "/pods/{id}/wait",
        "Answers when it is ready, or has exited: with the highest exit code of its containers",
        response=WaitAnswer,
        query=(("condition", "ready or exited (the default)"),),
    ),
    Operation(
        "POST",
        "/pods/{id}/containers",
        "One more container of it, which runs if the pod does",
        request=pod.PodContainer,
        response=pod.PodContainerMade,
        statuses=(201,),
    ),
    Operation(
        "DELETE",
        "/pods/{id}",
        "Nothing is left of it",
        query=(
            ("force", "end it first"),
            ("v", "anonymous volumes of its containers go with it, too"),
        ),
        statuses=(204,),
    ),
)


class OpenApiRoutes:
    """The handler of the description itself."""

    def routes(self) -> Routes:
        """(method, path, handler) of the description's route."""
        return [("GET", f"{PREFIX}/openapi.json", self.document)]

    async def document(self, _: web.Request) -> web.StreamResponse:
        """The description."""
        return json_response(document())


@functools.cache
def document() -> dict[str, Any]:
    """The whole description, as plain data."""
    types = [item for one in OPERATIONS for item in (one.request, one.response) if item is not None]
    schemas, components = msgspec.json.schema_components(
        types, ref_template="#/components/schemas/{name}"
    )
    known = iter(schemas)
    paths: dict[str, dict[str, Any]] = {}
    for one in OPERATIONS:
        request = next(known) if one.request is not None else None
        response = next(known) if one.response is not None else None
        described = _operation(one, request, response)
        paths.setdefault(PREFIX + one.path, {})[one.method.lower()] = described
    error = {"type": "object", "properties": {"message": {"type": "string"}}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Hyper's own part of its API",
            "version": "v1",
            "description": "Everything else is the Docker Engine API.",
        },
        "paths": paths,
        "components": {"schemas": {**components, "Error": {**error, "required": ["message"]}}},
    }


def _operation(
    one: Operation, request: dict[str, Any] | None, response: dict[str, Any] | None
) -> dict[str, Any]:
    in_path = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"\{(\w+)\}", one.path)
    ]
    in_query = [
        {"name": name, "in": "query", "description": text, "schema": {"type": "string"}}
        for name, text in one.query
    ]
    answers: dict[str, Any] = {str(status): {"description": one.summary} for status in one.statuses}
    if response is not None:
        kind = "application/jsonl" if one.lines else "application/json"
        answers[str(one.statuses[0])]["content"] = {kind: {"schema": response}}
    wrong = {"$ref": "#/components/schemas/Error"}
    answers["default"] = {"description": "What is wrong", "content": _json(wrong)}
    described: dict[str, Any] = {
        "summary": one.summary,
        "parameters": [*in_path, *in_query],
        "responses": answers,
    }
    if request is not None:
        described["requestBody"] = {"required": True, "content": _json(request)}
    if one.takes:
        described["requestBody"] = {"required": True, "content": {one.takes: {}}}
    return described


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}

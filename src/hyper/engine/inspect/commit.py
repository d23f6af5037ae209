"""Images made by ``docker commit``: a container's changes become a layer, and with its image's layers a new image.

Source: moby daemon/commit.go (configuration merge), image/image.go NewChildImage.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Final

from hyper.engine.inspect import files, image_events
from hyper.engine.inspect.tar import TAR_END
from hyper.engine.lifecycle.container import Container
from hyper.engine.record.state import Status
from hyper.errors import Conflict, InvalidRequest
from hyper.image import instructions
from hyper.image.assemble import Recipe
from hyper.image.record import ImageRecord
from hyper.image.reference import Reference, parse_tag
from hyper.types.container import to_json
from hyper.units import rfc3339

Config = dict[str, Any]

_MAX_TEXT: Final = 64 * 1024
#: Members of a configuration that are the image's where the client says nothing, and those that are sets.
_DEFAULTS: Final = ("User", "WorkingDir", "StopSignal", "StopTimeout", "Healthcheck", "Shell")
_SETS: Final = ("ExposedPorts", "Volumes", "Labels")


@dataclass(frozen=True, slots=True)
class CommitRequest:
    """A request for a commit. ``repository`` "": no name. ``config``: the client's, {} for the container's as it is."""

    repository: str = ""
    tag: str = ""
    comment: str = ""
    author: str = ""
    pause: bool = True
    changes: list[str] = field(default_factory=list)
    config: Config = field(default_factory=dict)


async def commit(container: Container, request: CommitRequest) -> str:
    """The id of a new image: the container's own with its changes on top.

    Raises:
        InvalidRequest: a bad name, instruction or configuration. Conflict: the container is being removed.
        HyperError: reading fails, no space…
    """
    record = container.record
    if record.status is Status.REMOVING:
        raise Conflict(f"You cannot commit container {record.id} which is {record.status.value}")
    name = parse_tag(request.repository, request.tag) if request.repository else None
    if len(request.comment) + len(request.author) > _MAX_TEXT:
        raise InvalidRequest(f"comment and author are longer than {_MAX_TEXT} characters")
    own = _own(container)
    config = instructions.applied(request.config or own, request.changes)
    if request.config:
        config = merged(config, own)
    base = container.host.images.held(record.image_id)
    async with files.layer(container, freeze=request.pause) as tar:
        first = await anext(tar)
        empty = first == TAR_END
        recipe = Recipe(
            config=document(base, container, request, config, empty=empty),
            layers=base.layers,
            tar=None if empty else _whole(first, tar),
            parent=base.id,
            name=name,
        )
        image = await container.host.images.assemble(recipe)
    _tell(container, request, image, name)
    return image.id


def _own(container: Container) -> Config:
    config: Config = to_json(container.record.config)
    spec = container.record.spec
    config |= {"Hostname": spec.hostname, "Domainname": spec.domainname}
    return {key: value for key, value in config.items() if value is not None}


async def _whole(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in rest:
        yield piece


def _tell(
    container: Container, request: CommitRequest, image: ImageRecord, name: Reference | None
) -> None:
    shown = name.familiar if name else ""
    container.publish("commit", comment=request.comment, imageID=image.id, imageRef=shown)
    if name is not None:
        image_events.by_id(container.host, "tag", image.id, shown)


def document(
    base: ImageRecord, container: Container, request: CommitRequest, config: Config, *, empty: bool
) -> dict[str, Any]:
    """The image configuration of the new image, but for its layers."""
    old, own = json.loads(base.raw_config), _own(container)
    now = rfc3339(time.time_ns())
    command = " ".join(container.record.config.cmd or [])
    step: dict[str, Any] = {"created": now, "created_by": command}
    if request.author:
        step["author"] = request.author
    if request.comment:
        step["comment"] = request.comment
    if empty:
        step["empty_layer"] = True
    kept = {key: old[key] for key in ("architecture", "os", "variant", "os.version") if key in old}
    return {
        **kept,
        "created": now,
        "author": request.author,
        "comment": request.comment,
        "container": container.record.id,
        "config": config,
        "container_config": own,
        "history": [*(old.get("history") or []), step],
    }


def merged(asked: Config, own: Config) -> Config:
    """The client's configuration completed by the container's, as dockerd does it. Pure."""
    made = {**asked}
    for key in _DEFAULTS:
        if not made.get(key) and key in own:
            made[key] = own[key]
    for key in _SETS:
        both = {**(own.get(key) or {}), **(_object(made, key))}
        if both:
            made[key] = both
    env = _list(made, "Env")
    names = {item.partition("=")[0] for item in env}
    made["Env"] = [
        *env,
        *(item for item in own.get("Env") or [] if item.partition("=")[0] not in names),
    ]
    if not made.get("Entrypoint"):
        if not made.get("Cmd"):
            made["Cmd"] = own.get("Cmd")
        if made.get("Entrypoint") is None:
            made["Entrypoint"] = own.get("Entrypoint")
    return {key: value for key, value in made.items() if value is not None}


def _object(config: Config, key: str) -> dict[str, Any]:
    value = config.get(key) or {}
    if not isinstance(value, dict):
        raise InvalidRequest(f"invalid JSON: {key} is no object")
    return value


def _list(config: Config, key: str) -> list[str]:
    value = config.get(key) or []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InvalidRequest(f"invalid JSON: {key} is no list of strings")
    return value

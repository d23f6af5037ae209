"""Routes under /images."""

from __future__ import annotations

import asyncio
import fnmatch
import time
from typing import Final

from aiohttp import web

from hyper.api.http import Routes, filters_of, flag, has_label, json_lines, json_response
from hyper.engine.create import image_defaults
from hyper.engine.engine import Engine
from hyper.errors import HyperError, InvalidRequest, NotFound, NotImplementedYet, Unauthorized
from hyper.image.auth import RegistryAuth
from hyper.image.record import ImageRecord, PullEvent
from hyper.image.reference import parse
from hyper.types import response as wire
from hyper.units import parse_timestamp_ns

_FILTERS: Final = frozenset({"reference", "label", "dangling", "before", "since", "until"})


class ImageRoutes:
    """Handlers of the image routes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._images = engine.host.images

    def routes(self) -> Routes:
        """(method, path, handler) of each."""
        return [
            ("POST", "/images/create", self.create),
            ("GET", "/images/json", self.list_images),
            ("GET", "/images/{name:.+}/json", self.inspect),
            ("DELETE", "/images/{name:.+}", self.delete),
        ]

    async def create(self, request: web.Request) -> web.StreamResponse:
        name = request.query.get("fromImage", "")
        if not name:
            raise NotImplementedYet("importing images (fromSrc) is not implemented by Hyper yet")
        reference = _reference(name, request.query.get("tag", ""))
        parse(reference)
        auth = RegistryAuth.from_header(request.headers.get("X-Registry-Auth", ""))
        events: asyncio.Queue[PullEvent | None] = asyncio.Queue()
        pull = asyncio.ensure_future(
            self._images.pull(
                reference,
                platform=request.query.get("platform") or None,
                auth=auth,
                progress=events.put_nowait,
            )
        )
        pull.add_done_callback(lambda _: events.put_nowait(None))
        try:
            return await self._stream(request, pull, events)
        finally:
            pull.cancel()
            await asyncio.gather(pull, return_exceptions=True)

    async def _stream(
        self,
        request: web.Request,
        pull: asyncio.Future[ImageRecord],
        events: asyncio.Queue[PullEvent | None],
    ) -> web.StreamResponse:
        """The head waits for the registry's answer: until then a status can say what went wrong, later only a line."""
        ahead = [await events.get()]
        if ahead[0] is not None:
            ahead.append(await events.get())
        if ahead[-1] is None:
            _check(pull.exception())
        async with json_lines(request) as lines:
            for event in ahead[:-1]:
                await lines.send(_line(event))
            event = ahead[-1]
            while event is not None:
                await lines.send(_line(event))
                event = await events.get()
            try:
                record = await pull
            except HyperError as error:
                text = str(error)
                await lines.send(wire.PullLine(error=text, error_detail=wire.ErrorDetail(text)))
            else:
                self._published("pull", record.repo_tags[0] if record.repo_tags else record.id)
        return lines.response

    def _published(self, action: str, name: str) -> None:
        self._engine.host.events.publish("image", action, name, {"name": name})

    async def list_images(self, request: web.Request) -> web.StreamResponse:
        filters = filters_of(request, _FILTERS)
        records = [item for item in self._images.list() if self._matches(item, filters)]
        return json_response([self._summary(item) for item in records])

    def _matches(self, record: ImageRecord, filters: dict[str, set[str]]) -> bool:
        labels = image_defaults(record.config.config).labels or {}
        for name, values in filters.items():
            match name:
                case "reference":
                    passed = any(_is_called(record, value) for value in values)
                case "label":
                    passed = all(has_label(labels, value) for value in values)
                case "dangling":
                    passed = bool(record.repo_tags) != bool(values & {"1", "true"})
                case _:
                    passed = all(self._is_older(record, name, value) for value in values)
            if not passed:
                return False
        return True

    def _is_older(self, record: ImageRecord, name: str, value: str) -> bool:
        """The three filters on the time of creation."""
        created = _created_ns(record)
        if name == "until":
            return created < _moment(value)
        other = _created_ns(self._images.get(value))
        return created < other if name == "before" else created > other

    def _summary(self, record: ImageRecord) -> wire.ImageSummary:
        return wire.ImageSummary(
            id=record.id,
            parent_id="",
            repo_tags=list(record.repo_tags),
            repo_digests=list(record.repo_digests),
            created=_created_ns(record) // 10**9,
            size=record.size,
            shared_size=-1,
            labels=image_defaults(record.config.config).labels or {},
            containers=len(self._engine.containers.users_of(record.id)),
        )

    async def inspect(self, request: web.Request) -> web.StreamResponse:
        record = self._images.get(request.match_info["name"])
        return json_response(
            wire.ImageInspect(
                id=record.id,
                repo_tags=list(record.repo_tags),
                repo_digests=list(record.repo_digests),
                parent="",
                comment="",
                created=record.created or wire.ZERO_TIME,
                docker_version=record.config.docker_version or "",
                author=record.config.author or "",
                config=image_defaults(record.config.config),
                architecture=record.architecture,
                os=record.os,
                size=record.size,
                graph_driver=wire.DriverData("squashfs", {}),
                root_fs=wire.RootFs("layers", list(record.layers)),
                metadata={},
            )
        )

    async def delete(self, request: web.Request) -> web.StreamResponse:
        removed = await self._images.remove(
            request.match_info["name"],
            force=flag(request, "force"),
            noprune=flag(request, "noprune"),
            in_use=lambda image_id: self._users(image_id, live=False),
            running=lambda image_id: self._users(image_id, live=True),
        )
        for item in removed:
            for action, what in item.items():
                self._published("untag" if action == "Untagged" else "delete", what)
        return json_response(removed)

    def _users(self, image_id: str, *, live: bool) -> list[str]:
        users = self._engine.containers.users_of(image_id)
        return [item.record.id for item in users if item.up or not live]


def _reference(name: str, tag: str) -> str:
    """``fromImage`` and ``tag`` together; a tag that is a digest is one."""
    if not tag:
        return name
    return f"{name}@{tag}" if tag.startswith("sha256:") else f"{name}:{tag}"


def _check(failure: BaseException | None) -> None:
    """Raise it. A registry's 401 is a 404 here, as in dockerd and the contract: the client would ask for a password."""
    if isinstance(failure, Unauthorized):
        raise NotFound(failure.message, hint=failure.hint) from failure
    if failure is not None:
        raise failure


def _line(event: PullEvent | None) -> wire.PullLine:
    assert event is not None
    detail = wire.ProgressDetail(event.current, event.total)
    return wire.PullLine(status=event.status, id=event.id, progress_detail=detail)


def _created_ns(record: ImageRecord) -> int:
    return _moment(record.created) if record.created else 0


def _moment(text: str) -> int:
    try:
        return parse_timestamp_ns(text, now_ns=time.time_ns())
    except ValueError:
        raise InvalidRequest(f"invalid time: {text!r}") from None


def _is_called(record: ImageRecord, pattern: str) -> bool:
    """``docker images PATTERN``: a name with or without tag, ``*`` standing for anything."""
    for name in (*record.repo_tags, *record.repo_digests):
        bare = name.partition("@")[0]
        repository = bare.rpartition(":")[0] if ":" in bare.rpartition("/")[2] else bare
        if any(fnmatch.fnmatchcase(candidate, pattern) for candidate in (name, repository)):
            return True
    return False

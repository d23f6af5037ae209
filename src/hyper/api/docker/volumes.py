"""Routes under /volumes."""

from __future__ import annotations

from typing import Final

from aiohttp import web
from msgspec import UNSET

from hyper.api.http import (
    Routes,
    asked_version,
    body_of,
    filters_of,
    flag,
    json_response,
    labels_match,
)
from hyper.engine.engine import Engine
from hyper.engine.spec.mounts import DRIVER
from hyper.engine.volume.volume_record import VolumeRecord
from hyper.engine.volume.volumes import Usage, is_anonymous
from hyper.errors import InvalidRequest, Unavailable
from hyper.types import mount as wire
from hyper.units import rfc3339

_FILTERS: Final = frozenset({"dangling", "driver", "label", "name"})
_PRUNE_FILTERS: Final = frozenset({"all", "label", "label!"})
_TRUE, _FALSE = frozenset({"1", "t", "true", "True"}), frozenset({"0", "f", "false", "False"})
#: Before it, prune took named volumes too.
_ANONYMOUS_ONLY_SINCE: Final = (1, 42)


class VolumeRoutes:
    """Handlers of the volume routes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._volumes = engine.host.volumes

    def routes(self) -> Routes:
        """(method, path, handler) of each route."""
        return [
            ("GET", "/volumes", self.list),
            ("POST", "/volumes/create", self.create),
            ("POST", "/volumes/prune", self.prune),
            ("GET", "/volumes/{name}", self.inspect),
            ("PUT", "/volumes/{name}", self.update),
            ("DELETE", "/volumes/{name}", self.remove),
        ]

    def _view(self, record: VolumeRecord) -> wire.VolumeView:
        return view(record, self._volumes.mountpoint(record.name))

    async def update(self, request: web.Request) -> web.StreamResponse:
        """Volumes of a swarm alone can be updated: dockerd's answer outside of one."""
        raise Unavailable("volume update only valid for cluster volumes, but swarm is unavailable")

    async def list(self, request: web.Request) -> web.StreamResponse:
        filters = filters_of(request, _FILTERS)
        dangling = {_truth("dangling", value) for value in filters.get("dangling", ())}
        shown = [
            self._view(record)
            for record in self._volumes.all()
            if _matches(record, filters)
            and (not dangling or (not self._volumes.users(record.name)) in dangling)
        ]
        return json_response(wire.VolumeList(volumes=shown))

    async def create(self, request: web.Request) -> web.StreamResponse:
        body, _ = await body_of(request, wire.VolumeCreateBody)
        if body.cluster_volume_spec:
            raise InvalidRequest("cluster volumes need a swarm, which Hyper is no part of")
        record = await self._engine.finish(
            self._volumes.create(
                body.name, driver=body.driver, labels=body.labels, options=body.driver_opts
            )
        )
        return json_response(self._view(record), status=201)

    async def inspect(self, request: web.Request) -> web.StreamResponse:
        return json_response(self._view(self._volumes.get(request.match_info["name"])))

    async def remove(self, request: web.Request) -> web.StreamResponse:
        name, force = request.match_info["name"], flag(request, "force")
        await self._engine.finish(self._volumes.remove(name, force=force))
        return web.Response(status=204)

    async def prune(self, request: web.Request) -> web.StreamResponse:
        filters = filters_of(request, _PRUNE_FILTERS)
        everything = True in {_truth("all", value) for value in filters.get("all", ())}
        everything |= asked_version(request) < _ANONYMOUS_ONLY_SINCE

        def wanted(record: VolumeRecord) -> bool:
            return (everything or is_anonymous(record)) and labels_match(record.labels, filters)

        gone, reclaimed = await self._engine.finish(self._volumes.prune(wanted))
        return json_response(wire.VolumesPruned(volumes_deleted=gone, space_reclaimed=reclaimed))


def view(record: VolumeRecord, mountpoint: str, usage: Usage | None = None) -> wire.VolumeView:
    """A volume as the API shows it; with ``usage`` as /system/df does."""
    return wire.VolumeView(
        name=record.name,
        driver=DRIVER,
        mountpoint=mountpoint,
        created_at=rfc3339(record.created_ns),
        labels=record.labels,
        scope="local",
        options=record.options,
        status={"Hyper": {"Kind": record.kind.value}} if record.kind else UNSET,
        usage_data=wire.UsageData(size=usage.size, ref_count=usage.references) if usage else UNSET,
    )


def _matches(record: VolumeRecord, filters: dict[str, set[str]]) -> bool:
    names, drivers = filters.get("name", set()), filters.get("driver", set())
    return (
        (not names or any(name in record.name for name in names))
        and (not drivers or DRIVER in drivers)
        and labels_match(record.labels, {"label": filters.get("label", set())})
    )


def _truth(name: str, value: str) -> bool:
    if value in _TRUE | _FALSE:
        return value in _TRUE
    raise InvalidRequest(f"invalid filter '{name}={value[:100]}'")

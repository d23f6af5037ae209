"""Routes under /networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from aiohttp import web

from hyper.api.http import (
    Routes,
    asked_version,
    body_of,
    filters_of,
    has_label,
    json_response,
    labels_match,
    moment,
)
from hyper.engine.engine import Engine
from hyper.engine.lifecycle import network_connect
from hyper.engine.record.network import PREDEFINED, NetworkRecord
from hyper.errors import InvalidRequest, NotFound
from hyper.types.container import EndpointAsked
from hyper.types.network import (
    ConnectBody,
    DisconnectBody,
    Ipam,
    IpamConfig,
    NetworkContainer,
    NetworkCreateBody,
    NetworkCreated,
    NetworksPruned,
    NetworkView,
)
from hyper.units import rfc3339

_FILTERS: Final = frozenset({"id", "name", "label", "driver", "scope", "type", "dangling"})
_USERS_BY_INSPECT_SINCE: Final = (1, 28)
_PRUNE_FILTERS: Final = frozenset({"until", "label", "label!"})
_TRUTH: Final = {"true": True, "1": True, "false": False, "0": False}


class NetworkRoutes:
    """Handlers of the network routes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._leases = engine.host.leases
        self._networks = engine.host.networks

    def routes(self) -> Routes:
        """(method, path, handler) of each route."""
        return [
            ("GET", "/networks", self.list),
            ("GET", "/networks/", self.list),
            ("POST", "/networks/create", self.create),
            ("POST", "/networks/prune", self.prune),
            ("GET", "/networks/{id:.+}", self.inspect),
            ("DELETE", "/networks/{id:.+}", self.remove),
            ("POST", "/networks/{id:.+}/connect", self.connect),
            ("POST", "/networks/{id:.+}/disconnect", self.disconnect),
        ]

    def _get(self, request: web.Request) -> NetworkRecord:
        return self._networks.get(request.match_info["id"])

    def _matches(self, record: NetworkRecord, filters: dict[str, set[str]]) -> bool:
        checks: dict[str, Callable[[str], bool]] = {
            "id": lambda value: value in record.id,
            "name": lambda value: value in record.name,
            "label": lambda value: has_label(record.labels, value),
            "driver": lambda value: value == record.driver,
            "scope": lambda value: value == "local",
            "type": lambda value: (value == "builtin") == (record.name in PREDEFINED),
            "dangling": lambda value: _TRUTH[value] == self._is_dangling(record),
        }
        for name, values in filters.items():
            answers = [checks[name](value) for value in values]
            if answers and not (all(answers) if name == "label" else any(answers)):
                return False
        return True

    def _is_dangling(self, record: NetworkRecord) -> bool:
        return record.name not in PREDEFINED and not self._leases.users(record.id)

    def _view(self, record: NetworkRecord, *, users: bool) -> NetworkView:
        config = IpamConfig(
            subnet=record.subnet,
            ip_range=record.ip_range,
            gateway=record.gateway,
            auxiliary_addresses=record.auxiliary or None,
        )
        configs = [config] if record.subnet else []
        if record.subnet6:
            configs.append(
                IpamConfig(
                    subnet=record.subnet6, ip_range=record.ip_range6, gateway=record.gateway6
                )
            )
        return NetworkView(
            name=record.name,
            id=record.id,
            created=rfc3339(record.created_ns),
            scope="local",
            driver=record.driver,
            ipam=Ipam(options=record.ipam_options, config=configs),
            internal=record.internal,
            attachable=record.attachable,
            containers=self._containers(record) if users else {},
            options=record.options,
            labels=record.labels,
            enable_ipv4=record.driver == "bridge",
            enable_ipv6=bool(record.subnet6),
        )

    def _containers(self, record: NetworkRecord) -> dict[str, NetworkContainer]:
        return {
            request.holder: NetworkContainer(
                name=request.name,
                endpoint_id=endpoint.id,
                mac_address=endpoint.mac,
                ipv4_address=f"{endpoint.address}/{endpoint.prefix}",
                ipv6_address=f"{endpoint.address6}/{endpoint.prefix6}" if endpoint.address6 else "",
            )
            for request, endpoint in self._leases.users(record.id)
        }

    async def inspect(self, request: web.Request) -> web.StreamResponse:
        scope = request.query.get("scope", "local")
        if scope not in ("", "local"):  # networks of a swarm: there are none
            raise NotFound(f"network {request.match_info['id']} not found")
        return json_response(self._view(self._get(request), users=True))

    async def create(self, request: web.Request) -> web.StreamResponse:
        body, _ = await body_of(request, NetworkCreateBody)
        record, warning = await self._engine.finish(self._networks.create(body))
        return json_response(NetworkCreated(record.id, warning), status=201)

    async def remove(self, request: web.Request) -> web.StreamResponse:
        await self._engine.finish(self._leases.remove_network(self._get(request)))
        return web.Response(status=204)

    async def connect(self, request: web.Request) -> web.StreamResponse:
        body, _ = await body_of(request, ConnectBody)
        network, container = self._get(request), self._engine.containers.lead(body.container)
        asked = body.endpoint_config or EndpointAsked()
        await self._engine.finish(network_connect.connect(container, network, asked))
        return web.Response(status=200)

    async def disconnect(self, request: web.Request) -> web.StreamResponse:
        body, _ = await body_of(request, DisconnectBody)
        network, container = self._get(request), self._engine.containers.lead(body.container)
        await self._engine.finish(network_connect.disconnect(container, network, force=body.force))
        return web.Response(status=200)

    async def prune(self, request: web.Request) -> web.StreamResponse:
        filters = filters_of(request, _PRUNE_FILTERS)
        until = [moment(value, what="value for 'until'") for value in filters.get("until", ())]

        def wanted(record: NetworkRecord) -> bool:
            if any(record.created_ns >= moment for moment in until):
                return False
            return labels_match(record.labels, filters)

        deleted = await self._engine.finish(self._engine.prune_networks(wanted))
        return json_response(NetworksPruned(deleted or None))

    async def list(self, request: web.Request) -> web.StreamResponse:
        filters = filters_of(request, _FILTERS)
        _check(filters)
        chosen = [record for record in self._networks.all() if self._matches(record, filters)]
        # As dockerd: who is on a network is told by inspect alone, but for clients that did not know that yet.
        users = asked_version(request) < _USERS_BY_INSPECT_SINCE
        return json_response([self._view(record, users=users) for record in chosen])


def _check(filters: dict[str, set[str]]) -> None:
    """A check of the filters' values.

    Raises:
        InvalidRequest: a value that the filter cannot have (Docker's words).
    """
    for value in filters.get("type", ()):
        if value not in ("builtin", "custom"):
            raise InvalidRequest(f"invalid filter: 'type'='{value[:100]}'")
    for value in filters.get("dangling", ()):
        if value not in _TRUTH:
            raise InvalidRequest(f"invalid filter 'dangling={value[:100]}'")

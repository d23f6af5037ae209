"""Routes under /hyper/v1/pods."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from hyper.api.http import Routes, body_of, flag, json_response, number
from hyper.api.views import port_map
from hyper.engine.engine import Engine
from hyper.engine.lifecycle.container import Container
from hyper.engine.lifecycle.pod import Pod
from hyper.engine.lifecycle.pods import Pods, is_ready
from hyper.engine.record.state import Status
from hyper.engine.spec import agent_requests
from hyper.errors import InvalidRequest
from hyper.types import pod as wire
from hyper.types.response import WaitAnswer
from hyper.units import MIB, rfc3339

_PREFIX: Final = "/hyper/v1/pods"


class PodRoutes:
    """Handlers of the pods' routes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def routes(self) -> Routes:
        """(method, path, handler) of each route."""
        return [
            ("GET", _PREFIX, self.list),
            ("POST", _PREFIX, self.create),
            ("GET", f"{_PREFIX}/{{id}}", self.inspect),
            ("POST", f"{_PREFIX}/{{id}}/start", self.start),
            ("POST", f"{_PREFIX}/{{id}}/stop", self.stop),
            ("GET", f"{_PREFIX}/{{id}}/wait", self.wait),
            ("POST", f"{_PREFIX}/{{id}}/containers", self.add),
            ("DELETE", f"{_PREFIX}/{{id}}", self.remove),
        ]

    @property
    def _pods(self) -> Pods:
        return self._engine.pods

    def _get(self, request: web.Request) -> Pod:
        return self._pods.get(request.match_info["id"])

    async def list(self, request: web.Request) -> web.StreamResponse:
        """Every pod, the newest first."""
        return json_response([view(self._pods, pod) for pod in self._pods.all()])

    async def create(self, request: web.Request) -> web.StreamResponse:
        """A new pod; nothing of it runs yet."""
        body, _ = await body_of(request, wire.PodBody)
        pod, warnings = await self._engine.finish(self._pods.create(body))
        return json_response(wire.PodMade(pod.record.id, pod.record.name, warnings), status=201)

    async def inspect(self, request: web.Request) -> web.StreamResponse:
        """One pod."""
        return json_response(view(self._pods, self._get(request)))

    async def start(self, request: web.Request) -> web.StreamResponse:
        """All containers of the pod run, after its init containers have ended well."""
        started = await self._engine.finish(self._pods.start(self._get(request)))
        return web.Response(status=204 if started else 304)

    async def stop(self, request: web.Request) -> web.StreamResponse:
        """The pod has stopped: nothing of it runs."""
        work = self._pods.stop(self._get(request), timeout_s=number(request, "t"))
        return web.Response(status=204 if await self._engine.finish(work) else 304)

    async def wait(self, request: web.Request) -> web.StreamResponse:
        """The highest exit code of a pod, once it has exited; 0 once it is ready, where that is asked for."""
        pod, condition = self._get(request), request.query.get("condition", "exited")
        if condition == "ready":
            await self._pods.until_ready(pod)
            return json_response(WaitAnswer(0))
        if condition != "exited":
            raise InvalidRequest(f"invalid condition: {condition[:100]!r}", hint="ready or exited")
        return json_response(WaitAnswer(await self._pods.until_exited(pod)))

    async def add(self, request: web.Request) -> web.StreamResponse:
        """One more container of the pod, which runs if the pod does."""
        body, _ = await body_of(request, wire.PodContainer)
        work = self._pods.add(self._get(request), body)
        container, warnings = await self._engine.finish(work)
        return json_response(wire.PodContainerMade(container.record.id, warnings), status=201)

    async def remove(self, request: web.Request) -> web.StreamResponse:
        """Nothing is left of the pod."""
        pod, force = self._get(request), flag(request, "force")
        await self._engine.finish(self._pods.remove(pod, force=force, volumes=flag(request, "v")))
        return web.Response(status=204)


def view(pods: Pods, pod: Pod) -> wire.PodView:
    """The pod as it is now."""
    record = pod.record
    size = record.spec.size if pod.kept is None else pod.kept.record.size
    return wire.PodView(
        id=record.id,
        name=record.name,
        hostname=agent_requests.hostname(record),
        created=rfc3339(record.created_ns),
        labels=dict(record.spec.labels),
        status=_status(pod),
        ready=pods.is_ready(pod),
        cpus=size.vcpus,
        memory=record.memory or size.memory_mib * MIB,
        ip=next((item.address for item in record.endpoints if pod.live), ""),
        network=record.network,
        ports=port_map(record, record.exposed),
        white_lists=record.white_lists,
        services=record.services,
        volumes=record.volumes,
        containers=[_container(item) for item in pods.members(pod)],
        error=record.error,
    )


def _status(pod: Pod) -> str:
    if pod.record.starting:
        return "starting"
    if pod.up:
        return "running"
    return "created" if pod.record.status is Status.CREATED else "exited"


def _container(container: Container) -> wire.PodContainerView:
    record, member = container.record, container.record.member
    assert member is not None
    return wire.PodContainerView(
        id=record.id,
        name=member.name,
        init=member.init,
        image=record.image_ref,
        status=record.status.value,
        ready=is_ready(container),
        exit_code=record.exit_code,
        restarts=record.restart_count,
        error=record.error,
    )

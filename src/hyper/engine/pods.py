"""All pods: several containers in one machine, which is held by a first container whose program only waits.

To the engine a pod is that first container, and its other containers run in the first one's machine as with
``--network container:X`` (engine/sharing.py). Here is what makes them one thing: made together or not at all, started
in order, ready together, ended together.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Sequence
from typing import Any, Final

from hyper.engine import ending, pod_machine, pod_spec, sharing
from hyper.engine.container import Container
from hyper.engine.containers import Containers
from hyper.engine.events import EngineEvent
from hyper.engine.health import HEALTHY
from hyper.engine.host import Host
from hyper.engine.record import Member, PodRecord
from hyper.engine.state import Status
from hyper.errors import Conflict, HyperError, NotFound
from hyper.ids import random_name
from hyper.types import pod as wire
from hyper.types.container import HostConfig, RestartPolicy

logger = logging.getLogger(__name__)

#: Who waits for it has waited enough, or nobody is left to be asked.
_AT_ONCE_S: Final = 0


class Pods:
    """Every pod of this daemon. ``open`` before use."""

    def __init__(self, host: Host, containers: Containers) -> None:
        self._host = host
        self._containers = containers
        self._locks: dict[str, asyncio.Lock] = {}
        #: Set, and replaced, whenever something happened to a container.
        self._happened = asyncio.Event()

    async def open(self) -> None:
        """What an earlier daemon did not live to see through is done: no pod is half made, and starts go on.

        Pods whose containers have all ended end.
        """
        self._host.events.listen(self._on_event)
        for pod in self.all():
            record = _pod(pod)
            if not record.whole:
                logger.warning("pod %s is not whole: it is removed", pod.record.name)
                await self.remove(pod, force=True, volumes=True)
            elif record.starting:
                self._host.tasks.spawn(self._go_on(pod), name=f"start of pod {pod.record.name}")
            elif pod.live:
                self._end_soon(pod)

    async def _go_on(self, pod: Container) -> None:
        try:
            await self.start(pod)
        except HyperError as error:
            logger.error("pod %s was not started: %s", pod.record.name, error)

    # Finding

    def all(self) -> list[Container]:
        """Their first containers, the newest first."""
        return [item for item in self._containers.all() if item.record.pod is not None]

    def get(self, name: str) -> Container:
        """The first container of the pod of this name, id or unique start of an id.

        Raises:
            NotFound: there is none.
        """
        try:
            found = self._containers.get(name)
        except NotFound:
            found = None
        if found is None or found.record.pod is None:
            raise NotFound(f"No such pod: {name[:300]}")
        return found

    def members(self, pod: Container) -> list[Container]:
        """Its containers, in the order they were asked for, those that run before the others first."""
        found = [
            (item.record.member.order, item)
            for item in self._containers.all()
            if item.record.member is not None and item.record.member.pod == pod.record.id
        ]
        return [item for _, item in sorted(found, key=lambda pair: pair[0])]

    def _mains(self, pod: Container) -> list[Container]:
        return [item for item in self.members(pod) if not _is_init(item)]

    # Making

    async def create(
        self, body: wire.PodBody, said: Sequence[dict[str, Any]] = ()
    ) -> tuple[Container, list[str]]:
        """A new pod and warnings about what has no effect; nothing runs yet.

        ``said``: the HostConfig of each container as it came, those that run before the others first.

        Raises:
            NotFound: an image is not here ("No such image"), or a network.
            InvalidRequest, NotImplementedYet: it cannot be as asked.
            Conflict: a name is taken. In all cases nothing is left of it.
        """
        body.name = body.name or random_name()
        pod_spec.check(body)
        for item in (*body.init, *body.containers):
            self._host.images.get(item.body.image)
        self._check_name(body.name)
        pod, warnings = await self._containers.create_first(
            pod_machine.first_config(body),
            pod_machine.first_host_config(body),
            PodRecord(volumes=body.volumes),
            pod_machine.mount_points(body.volumes),
        )
        try:
            everybody = (*body.init, *body.containers)
            for order, item in enumerate(everybody):
                raw = said[order] if order < len(said) else {}
                member = Member(
                    pod=pod.record.id,
                    name=item.name,
                    order=order,
                    init=order < len(body.init),
                    share_pid=body.share_pid,
                )
                _, more = await self._add(pod, item, member, raw)
                warnings += [f"container {item.name}: {warning}" for warning in more]
            _pod(pod).whole = True
            pod.save()
        except BaseException:
            await self._remove(pod, volumes=True)
            raise
        return pod, warnings

    def _check_name(self, name: str) -> None:
        """Of what is no pod the containers speak themselves."""
        for found in self._containers.all():
            if found.record.name == name and found.record.pod is not None:
                raise Conflict(
                    f"there is a pod {name} already",
                    hint=f"hyper pod start {name} starts it, hyper pod rm -f {name} removes it",
                )

    async def add(
        self, pod: Container, item: wire.PodContainer, said: dict[str, Any] | None = None
    ) -> tuple[Container, list[str]]:
        """One more container of a pod, and warnings; it runs if the pod does.

        Raises:
            As ``create``, and what a start raises: then it exists and does not run.
        """
        async with self._lock(pod):
            record, members = _pod(pod), self.members(pod)
            pod_spec.check_container(item, record.volumes)
            if len(members) >= pod_spec.MAX_CONTAINERS:
                raise Conflict(f"pod {pod.record.name} has {len(members)} containers already")
            share_pid = bool(pod.record.host_config.init)
            order = 1 + max((_member(other).order for other in members), default=-1)
            member = Member(pod=pod.record.id, name=item.name, order=order, share_pid=share_pid)
            container, warnings = await self._add(pod, item, member, said or {})
            if pod.live:
                await container.start()
            return container, warnings

    async def _add(
        self, pod: Container, item: wire.PodContainer, member: Member, said: dict[str, Any]
    ) -> tuple[Container, list[str]]:
        files = pod_spec.files(item)
        member.mounts, member.liveness = item.mounts, item.liveness
        body, host = item.body, item.body.host_config or HostConfig()
        host.network_mode = sharing.mode_of(pod.record.id)
        if member.init:
            host.restart_policy = RestartPolicy()
        labels = {
            wire.POD_LABEL: pod.record.name,
            wire.POD_ID_LABEL: pod.record.id,
            wire.CONTAINER_LABEL: item.name,
        }
        body.labels = {**(body.labels or {}), **labels}
        body.exposed_ports = None  # the machine has them
        container, warnings = await self._containers.create(
            f"{pod.record.name}-{item.name}", body, host, said, member=member
        )
        if files:
            folder = self._host.container_dir(container.record.id)
            try:
                await asyncio.to_thread(sharing.keep_files, folder, files)
            except OSError as error:
                await container.remove(force=True, volumes=True)
                raise HyperError(
                    f"container {container.record.name}: its files cannot be kept: {error.strerror}"
                ) from error
        return container, warnings

    # Start

    async def start(self, pod: Container) -> bool:
        """All its containers run, after those that come before them have ended well; False if they already did.

        Raises:
            Conflict: one that comes before the others has failed.
            HyperError: one cannot be started. In both cases nothing of it runs.
        """
        async with self._lock(pod):
            record = _pod(pod)
            if pod.live and not record.starting and all(it.up for it in self._mains(pod)):
                return False
            again, record.starting, record.error = record.starting, True, ""
            pod.save()
            try:
                await self._start(pod, again=again)
            except HyperError as error:
                record.starting, record.error = False, error.message
                self._tell()
                await self._stop(pod, timeout_s=_AT_ONCE_S)
                raise
            record.starting = False
            pod.save()
            self._tell()
        self._end_soon(pod)
        return True

    async def _start(self, pod: Container, *, again: bool) -> None:
        fresh = await pod.start() or again
        members = self.members(pod)
        for container in members:
            if fresh and _is_init(container):
                await self._run_through(pod, container)
        starts = [item.start() for item in members if not _is_init(item)]
        for failure in await asyncio.gather(*starts, return_exceptions=True):
            if isinstance(failure, BaseException):
                raise failure

    async def _run_through(self, pod: Container, container: Container) -> None:
        ended = container.exits.next()
        await container.start()
        code = await ended
        if code != 0:
            name = _member(container).name
            raise Conflict(
                f"init container {name} of pod {pod.record.name} ended with code {code}",
                hint=f"hyper pod logs {pod.record.name} {name} shows what it said",
            )

    # End

    async def stop(self, pod: Container, *, timeout_s: int | None) -> bool:
        """Nothing of it runs: its containers were asked to end, then made to; False if nothing ran."""
        ran = pod.up or any(item.up for item in self.members(pod))
        # Not under the lock: a start that waits for an init container is ended so.
        await self._stop(pod, timeout_s=timeout_s)
        return ran

    async def _stop(self, pod: Container, *, timeout_s: int | None) -> None:
        members = [item for item in self.members(pod) if item.up]
        await asyncio.gather(
            *(ending.stop(item, timeout_s=timeout_s, number=None) for item in members)
        )
        await ending.stop(pod, timeout_s=timeout_s, number=signal.SIGKILL)

    def _end_soon(self, pod: Container) -> None:
        self._host.tasks.spawn(self._end_if_idle(pod), name=f"end of pod {pod.record.name}")

    async def _end_if_idle(self, pod: Container) -> None:
        """A pod whose containers have all ended, and will not run again by themselves, needs no machine."""
        async with self._lock(pod):
            idle = pod.live and not any(item.up for item in self._mains(pod))
            if idle and not pod.removed.done():
                await self._stop(pod, timeout_s=_AT_ONCE_S)

    async def remove(self, pod: Container, *, force: bool, volumes: bool) -> None:
        """Nothing is left of it; ``volumes``: nor of anonymous volumes its containers have of their own.

        Raises:
            Conflict: it runs, and ``force`` was not said.
        """
        up = [item for item in (pod, *self.members(pod)) if item.up]
        if up and not force:
            raise Conflict(
                f"cannot remove pod {pod.record.name}: it is running",
                hint=f"stop it first, or use force: hyper pod rm -f {pod.record.name}",
            )
        await self._stop(pod, timeout_s=_AT_ONCE_S)
        async with self._lock(pod):
            await self._remove(pod, volumes=volumes)
        self._locks.pop(pod.record.id, None)

    async def _remove(self, pod: Container, *, volumes: bool) -> None:
        for container in self.members(pod):
            await container.remove(force=True, volumes=volumes)
        await pod.remove(force=True)

    # Waiting

    async def until_exited(self, pod: Container) -> int:
        """Nothing of it runs, and nothing will by itself; the highest exit code of its containers."""
        await self._until(lambda: not self._is_up(pod))
        await pod.settled()
        return max((item.record.exit_code for item in self._mains(pod)), default=0)

    async def until_ready(self, pod: Container) -> None:
        """All its containers are ready.

        Raises:
            Conflict: it does not run (any more).
        """
        await self._until(lambda: self.is_ready(pod) or not self._is_up(pod))
        if not self.is_ready(pod):
            raise Conflict(f"pod {pod.record.name} is not running")

    def _is_up(self, pod: Container) -> bool:
        return not pod.removed.done() and (_pod(pod).starting or pod.up)

    def is_ready(self, pod: Container) -> bool:
        """Whether it runs and all its containers do, healthy where somebody asks how they are."""
        record = _pod(pod)
        mains = self._mains(pod)
        return pod.live and not record.starting and all(is_ready(item) for item in mains)

    async def _until(self, true: Callable[[], bool]) -> None:
        while not true():
            await self._happened.wait()

    def _on_event(self, event: EngineEvent) -> None:
        if event.type != "container":
            return
        self._tell()
        if event.action not in ("die", "destroy"):
            return
        name = event.attributes.get(wire.POD_ID_LABEL, "")
        try:
            pod = self.get(name)
        except NotFound:  # no pod's, or it is just being removed
            return
        if pod.live:
            self._end_soon(pod)

    def _tell(self) -> None:
        """Who waits looks again."""
        happened, self._happened = self._happened, asyncio.Event()
        happened.set()

    def _lock(self, pod: Container) -> asyncio.Lock:
        return self._locks.setdefault(pod.record.id, asyncio.Lock())


def is_ready(container: Container) -> bool:
    """Whether it runs, and is healthy if somebody asks how it is."""
    record = container.record
    if record.status is not Status.RUNNING:
        return False
    return record.health is None or record.health.status == HEALTHY


def _pod(container: Container) -> PodRecord:
    assert container.record.pod is not None
    return container.record.pod


def _member(container: Container) -> Member:
    assert container.record.member is not None
    return container.record.member


def _is_init(container: Container) -> bool:
    return _member(container).init

"""All pods: several containers in one sandbox, which is the pod's (pod.py).

Here they are made one thing: made together or not at all, started in order, ready together, ended together.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Final
from weakref import WeakKeyDictionary

from hyper.engine.events import EngineEvent
from hyper.engine.lifecycle import removal, stop
from hyper.engine.lifecycle.container import Container
from hyper.engine.lifecycle.containers import Containers
from hyper.engine.lifecycle.host import Host
from hyper.engine.lifecycle.pod import Pod
from hyper.engine.lifecycle.pod_making import PodMaking
from hyper.engine.lifecycle.register import Register
from hyper.engine.record.pod import Member
from hyper.engine.record.state import Status
from hyper.engine.spec import (
    pod_spec,
)
from hyper.engine.spec.health import HEALTHY
from hyper.errors import Conflict, HyperError, NotFound
from hyper.ids import random_name
from hyper.types import pod as wire

logger = logging.getLogger(__name__)

#: Stop timeout of members that get no time to end: their start failed, a removal was forced, or none runs any more.
_AT_ONCE_S: Final = 0


@dataclass(slots=True)
class _Life:
    """Operations under way on one pod."""

    #: Held by a start, an addition or a removal: one at a time.
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    #: Held by the one start of a container in the pod's machine that runs the init containers.
    preparing: asyncio.Lock = field(default_factory=asyncio.Lock)
    #: Number of stops and removals under way, during which no container of the pod is to start.
    ending: int = 0


class Pods:
    """The pods of this daemon. ``open`` before use."""

    def __init__(self, host: Host, containers: Containers, register: Register) -> None:
        self._host = host
        self._containers = containers
        self._register = register
        self._making = PodMaking(host, containers, register)
        self._lives: WeakKeyDictionary[Pod, _Life] = WeakKeyDictionary()
        #: Set, and replaced, whenever something happened to a container.
        self._happened = asyncio.Event()

    def load(self) -> list[Pod]:
        """The pods that an earlier daemon has kept, which are in the register from now on."""
        for record in self._host.store.pods():
            self._register.add_pod(self._adopt(Pod(record, self._host)))
        return self.all()

    async def open(self) -> None:
        """Pods that an earlier daemon left half made are gone, and starts that it had begun go on.

        Pods whose containers have all ended end.
        """
        self._host.events.listen(self._on_event)
        self._host.start_log.listen(self._on_failed_start)
        for pod in self.all():
            record = pod.record
            if pod.record.status is Status.RESTARTING:
                pod.restart_after(0)
            if not record.whole or record.removing:
                logger.warning("pod %s is not whole: it is removed", pod.record.name)
                volumes = pod.record.remove_volumes or not record.removing
                await self.remove(pod, force=True, volumes=volumes)
            elif record.starting:
                self._host.tasks.spawn(self._go_on(pod), name=f"start of pod {pod.record.name}")
            elif pod.live:
                self._end_soon(pod)

    async def _go_on(self, pod: Pod) -> None:
        await pod.found.wait()
        for item in self.members(pod):
            await item.found.wait()
        try:
            await self.start(pod)
        except HyperError as error:
            logger.error("pod %s was not started: %s", pod.record.name, error)

    # Finding

    def all(self) -> list[Pod]:
        """All pods, the newest first."""
        return self._register.pods()

    def get(self, name: str) -> Pod:
        """The pod of this name, id or unique start of an id. Raises: NotFound: there is no such pod."""
        return self._register.pod(name)

    async def close(self) -> None:
        """All pods are let go of by this daemon; machines go on."""
        await asyncio.gather(*(pod.let_go() for pod in self.all()))

    def members(self, pod: Pod) -> list[Container]:
        """The pod's containers, in the order they were asked for, those that run before the others first."""
        return self._register.members(pod.record.id)

    def _mains(self, pod: Pod) -> list[Container]:
        return [item for item in self.members(pod) if not _is_init(item)]

    # Making

    async def create(self, body: wire.PodBody) -> tuple[Pod, list[str]]:
        """A new pod and warnings about what has no effect; nothing runs yet.

        Raises:
            NotFound: an image is not here ("No such image"), or a network.
            InvalidRequest, NotImplementedYet: the pod cannot be as asked.
            Forbidden: it takes bridged networks, which are not to be had here.
            Conflict: a name is taken. In all cases nothing is left of the pod.
        """
        body.name = body.name or random_name()
        self._making.check(body)
        record, warnings = self._making.record(body)
        pod = self._adopt(Pod(record, self._host))
        async with self._life(pod).lock:
            await self._making.keep(pod)
            try:
                warnings += await self._making.add_all(pod, body)
                record.whole = True
                pod.save()
            except BaseException:
                await self._remove(pod, volumes=True)
                raise
        pod.publish("create")
        return pod, warnings

    async def add(self, pod: Pod, item: wire.PodContainer) -> tuple[Container, list[str]]:
        """A new container in a pod, and warnings; it runs if the pod does.

        Raises:
            As ``create``, and as a start: then the container exists and does not run.
        """
        async with self._life(pod).lock:
            self._refuse_ending(pod)
            record, members = pod.record, self.members(pod)
            pod_spec.check_container(item, record.volumes)
            if len(members) >= pod_spec.MAX_CONTAINERS:
                raise Conflict(f"pod {pod.record.name} has {len(members)} containers already")
            order = 1 + max((_member(other).order for other in members), default=-1)
            member = Member(pod.record.id, item.name, order, share_pid=record.share_pid)
            container, warnings = await self._making.add(pod, item, member)
            if pod.live:
                try:
                    await container.start()
                except HyperError:
                    self._refuse_ending(pod)  # why it failed, if it is
                    raise
            return container, warnings

    # Start

    def _adopt(self, pod: Pod) -> Pod:
        """The pod ``pod``, whose init containers run before any start of another one of its containers.

        Also before one by a client alone, or by a restart policy.
        """
        pod.prepare = partial(self._prepare, pod)
        return pod

    async def _prepare(self, pod: Pod) -> None:
        """The init containers have all ended well in the machine that runs now, one after the other.

        Raises:
            Conflict: an init container has failed. HyperError: one cannot be started.
        """
        async with self._life(pod).preparing:
            for container in self.members(pod):
                if _is_init(container) and not _has_done_its_part(container, pod):
                    await self._run_through(pod, container)

    async def start(self, pod: Pod) -> bool:
        """The pod's containers run, after its init containers have ended well. Returns False if they already did.

        Raises:
            Conflict: an init container has failed.
            HyperError: a container cannot be started. In both cases none of the pod runs.
        """
        async with self._life(pod).lock:
            self._refuse_ending(pod)
            record = pod.record
            if pod.live and not record.starting and all(it.up for it in self._mains(pod)):
                return False
            await pod.answering()
            record.starting, record.error = True, ""
            try:
                pod.save()
                await self._start(pod)
            except HyperError as error:
                await self._stop(pod, timeout_s=_AT_ONCE_S)
                self._start_is_over(pod, error.message)
                raise
            self._start_is_over(pod)
        self._end_soon(pod)
        return True

    def _start_is_over(self, pod: Pod, error: str = "") -> None:
        record = pod.record
        record.starting, record.error = False, error
        pod.try_save()
        self._tell()

    def _refuse_ending(self, pod: Pod) -> None:
        pod.check_there()
        if self._life(pod).ending:
            raise Conflict(f"pod {pod.record.name} is being ended")

    async def _start(self, pod: Pod) -> None:
        await pod.start()
        await self._prepare(pod)
        starts = [item.start() for item in self._mains(pod)]
        failures = await asyncio.gather(*starts, return_exceptions=True)
        self._refuse_ending(pod)  # why they failed, if they did
        for failure in failures:
            if isinstance(failure, BaseException):
                raise failure

    async def _run_through(self, pod: Pod, container: Container) -> None:
        self._refuse_ending(pod)
        ended = container.exit_waiters.next()
        await container.start()
        code = await ended
        self._refuse_ending(pod)
        if code != 0:
            name = _member(container).name
            raise Conflict(
                f"init container {name} of pod {pod.record.name} ended with code {code}",
                hint=f"hyper pod logs {pod.record.name} {name} shows what it said",
            )

    # End

    async def stop(self, pod: Pod, *, timeout_s: int | None) -> bool:
        """The pod's containers were asked to end, then made to; none runs. Returns False if none did."""
        ran = pod.record.starting or (pod.up or any(item.up for item in self.members(pod)))
        with self._ending(pod):
            # Not under the lock: a start that waits for an init container is ended so.
            await self._stop(pod, timeout_s=timeout_s)
            async with self._life(pod).lock:  # what that start has begun meanwhile
                await self._stop(pod, timeout_s=timeout_s)
        return ran

    @contextmanager
    def _ending(self, pod: Pod) -> Iterator[None]:
        """Starts of the pod that are under way fail, and no other begins, while the body runs."""
        life = self._life(pod)
        life.ending += 1
        try:
            yield
        finally:
            life.ending -= 1

    async def _stop(self, pod: Pod, *, timeout_s: int | None) -> None:
        await self._stop_members(pod, timeout_s=timeout_s)
        await pod.end()

    async def _stop_members(self, pod: Pod, *, timeout_s: int | None) -> None:
        members = [item for item in self.members(pod) if item.up]
        await asyncio.gather(
            *(stop.stop(item, timeout_s=timeout_s, number=None) for item in members)
        )

    def _end_soon(self, pod: Pod) -> None:
        self._host.tasks.spawn(self._end_if_idle(pod), name=f"end of pod {pod.record.name}")

    async def _end_if_idle(self, pod: Pod) -> None:
        """The pod's machine is ended if all its containers have ended, and will not run again by themselves."""
        # The pod's lock, too: who comes into the machine now waits for its end, and gets another one.
        async with self._life(pod).lock, pod.lock:
            idle = pod.live and not pod.expected and not any(item.up for item in self._mains(pod))
            if idle and not pod.gone:
                pod.record.stays_down = True
                await self._stop_members(pod, timeout_s=_AT_ONCE_S)
                await pod.end_now()

    async def remove(self, pod: Pod, *, force: bool, volumes: bool) -> None:
        """The pod is gone; ``volumes``: so are anonymous volumes that its containers have of their own.

        Raises:
            Conflict: the pod runs, and ``force`` was not said.
        """
        self._check_removable(pod, force=force)
        with self._ending(pod):
            if force:
                await self._stop(pod, timeout_s=_AT_ONCE_S)
            async with self._life(pod).lock:
                if pod.gone:
                    return
                self._check_removable(pod, force=force)  # one of it may just have been started
                await self._remove(pod, volumes=volumes)

    def _check_removable(self, pod: Pod, *, force: bool) -> None:
        up = pod.record.starting or (pod.up or any(item.up for item in self.members(pod)))
        if up and not force:
            raise Conflict(
                f"cannot remove pod {pod.record.name}: it is running",
                hint=f"stop it first, or use force: hyper pod rm -f {pod.record.name}",
            )

    async def _remove(self, pod: Pod, *, volumes: bool) -> None:
        pod.record.removing, pod.record.remove_volumes = True, volumes
        pod.try_save()  # first: a daemon killed now must not leave a part of it
        await self._stop(pod, timeout_s=_AT_ONCE_S)
        for container in self.members(pod):
            await removal.remove(container, force=True, volumes=volumes)
        await self._making.discard(pod)

    # Waiting

    async def until_exited(self, pod: Pod) -> int:
        """The pod has exited: no container runs, or will by itself. Returns the highest exit code of its containers."""
        await self._until(lambda: not self._is_up(pod))
        await pod.settled()
        return max((item.record.exit_code for item in self._mains(pod)), default=0)

    async def until_ready(self, pod: Pod) -> None:
        """The pod's containers are all ready.

        Raises:
            Conflict: the pod does not run (any more).
        """
        await self._until(lambda: self.is_ready(pod) or not self._is_up(pod))
        if not self.is_ready(pod):
            raise Conflict(f"pod {pod.record.name} is not running")

    def _is_up(self, pod: Pod) -> bool:
        return not pod.gone and (pod.record.starting or pod.up)

    def is_ready(self, pod: Pod) -> bool:
        """Whether the pod runs with all its containers, which are healthy if they have health checks."""
        record = pod.record
        mains = self._mains(pod)
        known = not (pod.silent or record.starting)
        return pod.live and known and all(is_ready(item) for item in mains)

    async def _until(self, true: Callable[[], bool]) -> None:
        while not true():
            await self._happened.wait()

    def _on_event(self, event: EngineEvent) -> None:
        if event.type not in ("container", "pod"):
            return
        self._tell()
        # A machine that was started again by itself may be without work as well as one that has lost some.
        if event.action in ("start", "die", "destroy"):
            self._look_after(event.actor)

    def _on_failed_start(self, container_id: str) -> None:
        self._tell()
        self._look_after(container_id)

    def _look_after(self, actor: str) -> None:
        """The pod ``actor``, or that of the container ``actor``, ends soon if it has nothing to run any more."""
        with contextlib.suppress(NotFound):  # it is just being removed
            pod = self._pod_of(actor)
            if pod is not None and pod.live:
                self._end_soon(pod)

    def _pod_of(self, id: str) -> Pod | None:
        """The pod that has the id, or that the container of it is in; None: a container in none."""
        container = self._register.of_id(id)
        if container is None:
            return self._register.pod_of_id(id)
        member = container.record.member
        return None if member is None else self._register.pod_of_id(member.pod)

    def _tell(self) -> None:
        """Tasks that wait for a change look again."""
        happened, self._happened = self._happened, asyncio.Event()
        happened.set()

    def _life(self, pod: Pod) -> _Life:
        return self._lives.setdefault(pod, _Life())


def is_ready(container: Container) -> bool:
    """Whether the container runs, and is healthy if it has a health check."""
    record = container.record
    if record.status is not Status.RUNNING:
        return False
    return record.health is None or record.health.status == HEALTHY


def _member(container: Container) -> Member:
    assert container.record.member is not None
    return container.record.member


def _has_done_its_part(container: Container, pod: Pod) -> bool:
    """Whether the init container has ended with code 0 in the machine that is there now."""
    record = container.record
    ended_well = record.status is Status.EXITED and record.exit_code == 0
    return ended_well and record.started_ns > pod.record.started_ns


def _is_init(container: Container) -> bool:
    return _member(container).init

"""The engine: all use cases around one host."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from hyper.engine.hypervisors import Hypervisors
from hyper.engine.inspect.stats import Feeds
from hyper.engine.lifecycle import prune
from hyper.engine.lifecycle.clocks import GuestClocks
from hyper.engine.lifecycle.container import Container
from hyper.engine.lifecycle.containers import Containers
from hyper.engine.lifecycle.execs import Execs
from hyper.engine.lifecycle.host import Host
from hyper.engine.lifecycle.host_events import HostEvents
from hyper.engine.lifecycle.pods import Pods
from hyper.engine.lifecycle.probing import HealthChecks
from hyper.engine.lifecycle.register import Register
from hyper.engine.record.container import ContainerRecord
from hyper.engine.record.network import NetworkRecord

T = TypeVar("T")


class Engine:
    """The engine of one daemon: its containers and execs. ``open`` before use, ``close`` lets go of what runs."""

    def __init__(self, host: Host, register: Register) -> None:
        self.host = host
        self.containers = Containers(host, register)
        self.execs = Execs(host, self.containers)
        self.pods = Pods(host, self.containers, register)
        self.stats = Feeds(host)
        self.hypervisors = Hypervisors(host.drivers, host.tasks)
        self._health = HealthChecks(host, self.containers, self.execs)
        self._host_events = HostEvents(host)
        self._clocks = GuestClocks(host.sandboxes, host.tasks)

    async def open(self) -> None:
        """The containers that an earlier daemon left are known and watched over again."""
        await self.host.sandboxes.open()
        await self.host.volumes.open()
        await self.containers.recover(self.pods.load())
        await self.host.starter.open()
        silent = self.containers.silent()
        self.execs.recover()
        self._health.open()
        if self.host.config.host_events:
            self._host_events.open()
        self._clocks.open()
        await self.pods.open()
        known = [item for item in self.containers.all() if item not in silent]
        self.containers.start_pending(known)
        for container in silent:
            name = f"{container.record.id[:12]} is taken up"
            self.host.tasks.spawn(self._take_up(container), name=name)

    async def _take_up(self, container: Container) -> None:
        """The container, whose silent machine answers now or is gone, is taken up as ``open`` does it with others."""
        await container.found.wait()
        self.execs.take_up(container)
        self._health.take_up(container)
        self.containers.start_pending([container])

    async def finish(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of ``work``, which is brought to its end whether the caller still waits for it or not.

        Cancelled: ``work`` goes on, and a failure of it is logged.
        """
        return await self.host.tasks.see_through(work)

    async def prune_containers(
        self, wanted: Callable[[ContainerRecord], bool]
    ) -> tuple[list[str], int]:
        """The ids of containers that were removed, and the bytes they took; see lifecycle.prune.prune_containers."""
        return await prune.prune_containers(self.host, self.containers, wanted)

    async def prune_networks(self, wanted: Callable[[NetworkRecord], bool]) -> list[str]:
        """The names of networks that were removed; see lifecycle.prune.prune_networks."""
        return await prune.prune_networks(self.host, self.containers, self.pods.all(), wanted)

    async def close(self) -> None:
        """Tasks of this process that work on containers have ended; their machines go on."""
        self._clocks.close()
        await self.host.leases.settled()
        await self.host.tasks.close()
        await self.host.starter.close()
        await self.pods.close()
        await self.containers.close()
        await self.host.leases.close()
        self.host.store.close()

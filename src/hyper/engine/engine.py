"""The engine: all use cases around one host."""

from __future__ import annotations

from hyper.engine.clocks import GuestClocks
from hyper.engine.containers import Containers
from hyper.engine.execs import Execs
from hyper.engine.host import Host
from hyper.engine.hypervisors import Hypervisors
from hyper.engine.pods import Pods
from hyper.engine.probing import HealthChecks
from hyper.engine.stats import Feeds


class Engine:
    """Containers and execs of one daemon. ``open`` before use, ``close`` lets go of what runs."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.containers = Containers(host)
        self.execs = Execs(host, self.containers)
        self.pods = Pods(host, self.containers)
        self.stats = Feeds(host)
        self.hypervisors = Hypervisors(host.driver, host.tasks)
        self._health = HealthChecks(host, self.containers, self.execs)
        self._clocks = GuestClocks(self.containers)

    async def open(self) -> None:
        """What an earlier daemon left is known and watched over again."""
        await self.host.driver.recover()
        await self.host.volumes.open()
        await self.containers.recover()
        await self.host.starter.open()
        self.execs.recover()
        self._health.open()
        self._clocks.open()
        await self.pods.open()
        self.containers.start_pending()

    async def close(self) -> None:
        """Nothing of this process works on containers any more; their machines go on."""
        self._clocks.close()
        await self.host.wires.cleared()
        await self.host.tasks.close()
        await self.host.starter.close()
        await self.containers.close()
        await self.host.wires.close()
        self.host.store.close()

"""Stats of running containers: each is asked once a second while clients watch, however many they are."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator
from typing import Final

import msgspec

from hyper.engine.inspect.measure import measure
from hyper.engine.lifecycle.container import Container
from hyper.engine.lifecycle.host import Host
from hyper.errors import HyperError
from hyper.proto.message import ContainerStats, Stats
from hyper.sandbox.sandbox import Sandbox
from hyper.types.response import ZERO_TIME
from hyper.types.stats import ContainerStatsAnswer, Measured, no_cpu
from hyper.units import MIB, rfc3339

logger = logging.getLogger(__name__)

INTERVAL_S: Final = 1.0
_AGENT_TIMEOUT_S: Final = 5.0
_encoder: Final = msgspec.json.Encoder()


Look = tuple[str, Measured]
"""The time, and the measures at it."""


class Feed:
    """The stats of one container as lines of JSON, encoded once for all clients."""

    def __init__(self, container: Container, host: Host) -> None:
        #: The last line has the measures before it, so that clients can tell how busy the container is.
        self.primed = False
        self._container = container
        self._host = host
        self._watching = 0
        self._ticking = False
        self._over = False
        self._next: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._last: tuple[Sandbox, Look] | None = None

    async def lines(self) -> AsyncGenerator[bytes, None]:
        """Lines of stats: one now or within a second, then one each second, until the container is removed."""
        self._watching += 1
        if not self._ticking:
            self._ticking = True
            self._host.tasks.spawn(self._tick(), name="stats")
        try:
            while not self._over:
                if line := await asyncio.shield(self._next):
                    yield line
        finally:
            self._watching -= 1

    async def once(self) -> bytes:
        """One line of stats as they are now, without the measures before."""
        return self._line(await self._look(), before=None)

    async def _tick(self) -> None:
        """Stats are told each second while clients watch; the delays of late answers do not add up."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        try:
            while self._watching and not self._container.removed.done():
                before = self._last
                look, sandbox = await self._look(), self._container.sandbox
                same = before is not None and before[0] is sandbox
                self.primed = look is not None and same
                self._last = (sandbox, look) if look and sandbox else None
                self._tell(self._line(look, before=before[1] if before and same else None))
                due = max(due + INTERVAL_S, loop.time())
                await asyncio.sleep(due - loop.time())
        finally:
            self._ticking = self.primed = False
            self._last = None
            self._over = self._watching > 0
            self._tell(b"")

    def _tell(self, line: bytes) -> None:
        told, self._next = self._next, asyncio.get_running_loop().create_future()
        told.set_result(line)

    async def _look(self) -> Look | None:
        """The container's measures now; None: it does not run, or its agent does not answer."""
        sandbox = self._container.sandbox
        if not self._container.live or sandbox is None:
            return None
        if sandbox.power.stopped and self._last is not None:
            return _now(), self._last[1][1]  # nothing changes: no reason to wake it
        try:
            return _now(), await self._ask(sandbox)
        except HyperError as error:
            logger.debug("stats of %s: %s", self._container.record.id[:12], error.message)
            return None

    async def _ask(self, sandbox: Sandbox) -> Measured:
        async with sandbox.power.awake():
            reply = await sandbox.session.call(
                ContainerStats(self._container.placement.container), timeout_s=_AGENT_TIMEOUT_S
            )
        return measure(
            Stats.decode(reply.result),
            cpus=sandbox.machine.record.vcpus,
            memory_bytes=self._container.size.memory_mib * MIB,
        )

    def _line(self, look: Look | None, *, before: Look | None) -> bytes:
        read, seen = look or (ZERO_TIME, Measured())
        record = self._container.record
        answer = ContainerStatsAnswer(
            read=read,
            preread=before[0] if before else ZERO_TIME,
            pids_stats=seen.pids,
            blkio_stats=seen.blkio,
            cpu_stats=seen.cpu,
            precpu_stats=before[1].cpu if before else no_cpu(),
            memory_stats=seen.memory,
            name=f"/{record.name}",
            id=record.id,
            networks=seen.networks,
        )
        return _encoder.encode(answer) + b"\n"


def _now() -> str:
    return rfc3339(time.time_ns())


class Feeds:
    """The feeds of stats: one for each container, made when first asked for."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._feeds: dict[str, Feed] = {}

    def of(self, container: Container) -> Feed:
        """The feed of the container."""
        name = container.record.id
        feed = self._feeds.get(name)
        if feed is None:
            feed = self._feeds[name] = Feed(container, self._host)
            container.removed.add_done_callback(lambda _: self._feeds.pop(name, None) and None)
        return feed

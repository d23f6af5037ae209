"""The pool: machines that wait for a container, made from a template (large ones boot), greeted and warmed up once.

How many follows demand: one is made as soon as a machine was started of a shape that has a template, more
while starts come fast, none after a quiet while. Together they never take more than their share of memory, and none is
made while the host is short of it. A start takes a waiting machine or does without: it never waits for one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from hyper.errors import HyperError
from hyper.guest.session import Session
from hyper.ids import new_id
from hyper.machine import abilities
from hyper.machine.abilities import OpenMachine
from hyper.machine.spec import Nic
from hyper.machine.template import Card, Shape, Template
from hyper.proto.message import GuestHello
from hyper.sandbox.connection import end_machine, greet
from hyper.sandbox.shape import EMPTY_SLOTS
from hyper.sandbox.templates import PrebootContext, Templates
from hyper.sandbox.warm_up import WarmUp

logger = logging.getLogger(__name__)

#: Starts of the last seconds that count as demand, and how many of them one waiting machine serves.
_WINDOW_S: Final = 10.0
_STARTS_PER_MACHINE: Final = 4
#: After so long without a start of its shape no machine waits any more.
IDLE_S: Final = 300.0
#: None is made while starts are under way, which take this long, unless they come without a pause.
_QUIET_S: Final = 0.25
_PATIENCE_S: Final = 1.0
#: Of the host's memory, in MiB: with less available none is made.
_RESERVE_MIB: Final = 1024


@dataclass(eq=False, slots=True)
class PooledMachine:
    """A pooled machine. Who acquires it owns it, and closes ``holds`` when the container has its own."""

    machine: OpenMachine
    session: Session
    hello: GuestHello
    shape: Shape
    nics: tuple[Nic, ...]
    #: The name its card was made under.
    card: str
    #: Its identity and card, kept from others.
    holds: contextlib.AsyncExitStack

    async def discard(self) -> None:
        """The machine is gone. To be called again if it was cancelled."""
        await end_machine(self.machine, self.session)
        await self.holds.aclose()


@dataclass(slots=True)
class _Bucket:
    """The pool's machines of one shape, and when some were wanted."""

    waiting: deque[PooledMachine] = field(default_factory=deque)
    starts: deque[float] = field(default_factory=deque)
    last: float = 0.0

    def wanted(self, now: float) -> int:
        """The number of machines that should wait."""
        while self.starts and now - self.starts[0] > _WINDOW_S:
            self.starts.popleft()
        if now - self.last > IDLE_S:
            return 0
        return 1 + len(self.starts) // _STARTS_PER_MACHINE


def _report(keeper: asyncio.Task[None]) -> None:
    """The keeper ends when it is told to; any other end is a mistake of ours, after which starts go without pool."""
    if not keeper.cancelled() and (error := keeper.exception()) is not None:
        logger.error("no machines wait any more", exc_info=error)


@dataclass(frozen=True, slots=True)
class BucketState:
    """The number of machines of one shape that wait now, and of those that should."""

    shape: Shape
    waiting: int
    wanted: int


class Pool:
    """The pool of all waiting machines. ``limit_mib`` 0: none ever waits. ``open`` before use, ``close`` ends them."""

    def __init__(
        self,
        driver: abilities.Templates,
        templates: Templates,
        preboot: PrebootContext,
        warm_up: WarmUp,
        *,
        limit_mib: int,
        available_mib: Callable[[], int],
    ) -> None:
        self.limit_mib = limit_mib
        self._driver = driver
        self._terms = driver.terms
        self._templates = templates
        self._preboot = preboot
        self._warm_up = warm_up
        self._available_mib = available_mib
        self._buckets: dict[Shape, _Bucket] = {}
        #: Are not handed out any more, some have died by themselves; not all of them has been cleared away.
        self._leaving: list[PooledMachine] = []
        self._changed = asyncio.Event()
        self._settled = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        #: When the first of the starts since the last machine was made began (0: none has), and when the last did.
        self._busy_since = 0.0
        self._last_start = 0.0
        #: Of the keys of templates that could be used when it was last looked.
        self._prefix = ""
        self.taken = 0
        self.missed = 0

    @property
    def machine_mib(self) -> int:
        """The memory that a waiting machine counts as, in MiB: one made from a template."""
        return self._terms.copy_mib

    async def open(self) -> None:
        """The machines that an earlier daemon had waiting are gone; from now on they are kept as demand says."""
        root = self._preboot.run_root
        for folder in list(root.iterdir()) if root.is_dir() else []:
            await self._driver.clear(folder)
            shutil.rmtree(folder)
        if self.limit_mib >= self.machine_mib:
            self._keeper = asyncio.get_running_loop().create_task(self._keep(), name="pool")
            self._keeper.add_done_callback(_report)

    async def close(self) -> None:
        """The pool is empty: no machine waits."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        for bucket in self._buckets.values():
            self._leaving.extend(bucket.waiting)
        self._buckets.clear()
        await self._clear_away()

    def acquire(self, shape: Shape) -> PooledMachine | None:
        """A waiting machine, the caller's from now on; None if there is none. Either way demand was noted."""
        if self._keeper is None:
            return None
        now = time.monotonic()
        bucket = self._buckets.setdefault(shape, _Bucket())
        self._busy_since = self._busy_since or now
        self._last_start = now
        bucket.starts.append(now)
        bucket.last = now
        self._change()
        while bucket.waiting:
            # The one made last: what it uses is still in the CPUs' caches.
            pooled = bucket.waiting.pop()
            if not pooled.session.closed.done():
                self.taken += 1
                return pooled
            self._leaving.append(pooled)
        self.missed += 1
        return None

    def state(self) -> list[BucketState]:
        """The state of each shape, the shape in demand last first."""
        now = time.monotonic()
        buckets = sorted(self._buckets.items(), key=lambda item: -item[1].last)
        return [
            BucketState(shape, len(bucket.waiting), self._room_for(shape, now))
            for shape, bucket in buckets
        ]

    async def settled(self) -> None:
        """The pool is settled: as many machines wait as should, or no more can be made for now."""
        if self._keeper is not None:
            await self._settled.wait()

    # Keeping

    def _change(self) -> None:
        self._settled.clear()
        self._changed.set()

    async def _until_changed(self) -> None:
        self._settled.set()
        await self._changed.wait()

    def _room_for(self, shape: Shape, now: float) -> int:
        """The number of machines of ``shape`` that may wait: those wanted, as far as the limit goes."""
        others = sum(
            len(bucket.waiting) * self._terms.cost_mib(other)
            for other, bucket in self._buckets.items()
            if other != shape
        )
        room = max(0, self.limit_mib - others) // self._terms.cost_mib(shape)
        return min(self._buckets[shape].wanted(now), room)

    async def _keep(self) -> None:
        """The pool is kept, for ever, at as many machines as should wait. One is made at a time: starts have the
        first claim to the CPUs.
        """
        while True:
            self._changed.clear()
            await self._forget_stale()
            shape = await self._adjust()
            if shape is None:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_WINDOW_S):
                        await self._until_changed()
                continue
            await self._until_quiet()
            copied = self._terms.copied(shape)
            template = await self._template(shape) if copied else None
            if template is None and copied:
                await self._until_changed()
                continue
            try:
                pooled = await self._make(shape, template)
            except (HyperError, OSError) as error:
                logger.warning("no machine waits of %s: %s", shape, error)
                if template is not None:
                    self._templates.drop(template, str(error))
                await self._until_changed()
                continue
            self._buckets[shape].waiting.append(pooled)
            self._watch(pooled)

    async def _until_quiet(self) -> None:
        """The CPUs are left to the starts that took the last machines, but not for ever."""
        while self._busy_since:
            ready = min(self._last_start + _QUIET_S, self._busy_since + _PATIENCE_S)
            left = ready - time.monotonic()
            if left <= 0:
                self._busy_since = 0.0
                return
            await asyncio.sleep(left)

    async def _forget_stale(self) -> None:
        """The machines made of a kernel, guest or hypervisor that was replaced are not handed out."""
        try:
            prefix = await self._driver.template_prefix()
        except HyperError as error:  # they are just being replaced
            logger.warning("no machines are made ahead: %s", error)
            return
        if prefix != self._prefix and self._prefix:
            logger.info("the guest's files were replaced: machines that waited are ended")
            for bucket in self._buckets.values():
                self._leaving.extend(bucket.waiting)
                bucket.waiting.clear()
            await self._clear_away()
        self._prefix = prefix

    async def _adjust(self) -> Shape | None:
        """The shape of which a machine lacks; no machine waits that should not."""
        now = time.monotonic()
        lacking = None
        for shape in sorted(self._buckets, key=lambda shape: -self._buckets[shape].last):
            bucket, room = self._buckets[shape], self._room_for(shape, now)
            while len(bucket.waiting) > room:
                self._leaving.append(bucket.waiting.popleft())
            if len(bucket.waiting) < room and lacking is None:
                lacking = shape
        await self._clear_away()
        short = self._available_mib() < _RESERVE_MIB + self.machine_mib
        return None if short else lacking

    async def _clear_away(self) -> None:
        """The machines that leave have left nothing. If this is cancelled half-way, ``close`` does the rest."""
        while self._leaving:
            pooled = self._leaving[0]
            await pooled.discard()
            self._leaving.remove(pooled)

    async def _template(self, shape: Shape) -> Template | None:
        found = await self._templates.find(shape)
        if found is None:
            await self._templates.want(shape)
            found = await self._templates.find(shape)
        return found

    async def _make(self, shape: Shape, template: Template | None) -> PooledMachine:
        """A pooled machine, a copy of ``template``; None: it boots."""
        id = new_id()[:11]
        async with contextlib.AsyncExitStack() as holds:
            uid = holds.enter_context(self._preboot.identity())
            nics = await holds.enter_async_context(self._preboot.card(shape.card, id))
            with template.memory() if template else contextlib.nullcontext() as memory:
                spec = self._preboot.spec(shape, f"pool-{id}", uid=uid, nics=nics)
                holds.callback(shutil.rmtree, spec.run_dir, ignore_errors=True)
                machine = await self._driver.launch_open(spec, slots=EMPTY_SLOTS, memory=memory)
            session = None
            try:
                session, hello = await greet(
                    machine, resync=False, timeout_s=self._preboot.boot_timeout_s
                )
                card = shape.card is not Card.NONE
                await self._warm_up.run(machine, session, spec.run_dir, card=card)
            except BaseException:
                await end_machine(machine, session)
                raise
            return PooledMachine(machine, session, hello, shape, nics, id, holds.pop_all())

    def _watch(self, pooled: PooledMachine) -> None:
        pooled.session.closed.add_done_callback(lambda _: self._ended(pooled))

    def _ended(self, pooled: PooledMachine) -> None:
        """The machine has died by itself, if it still waited."""
        if pooled.shape not in self._buckets:
            return
        bucket = self._buckets[pooled.shape]
        if pooled in bucket.waiting:
            bucket.waiting.remove(pooled)
            self._leaving.append(pooled)
            logger.warning("the waiting machine %s has ended", pooled.machine.record.name)
            self._change()

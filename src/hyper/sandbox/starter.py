"""Starts of sandboxes the fastest way there is: in a machine that waits, from a template, by a boot.

A start never fails because a faster way did: it falls back to the next one and says so in its timeline. A program is
not begun twice: its start is asked for last, and after that there is no other way.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from hyper.errors import HyperError, MachineError
from hyper.guest.session import checked
from hyper.machine import abilities
from hyper.machine.abilities import OpenMachine
from hyper.machine.driver import Driver, MachineRecord
from hyper.machine.template import Shape, Template
from hyper.proto.message import Reply, SandboxClock
from hyper.sandbox.connection import end_machine, greet, program_of
from hyper.sandbox.pool import Pool, PooledMachine
from hyper.sandbox.sandbox import Plan, Sandbox, Started
from hyper.sandbox.shape import EMPTY_SLOTS, shape_of
from hyper.sandbox.templates import Templates
from hyper.sandbox.timeline import HELLO, SPAWNED, TAKEN, Timeline, Way

logger = logging.getLogger(__name__)

Made = Callable[[MachineRecord], None]


@dataclass(frozen=True, slots=True)
class FastStart:
    """The parts that make starts fast: ``templates`` of a ``driver``'s machines, and of these a ``pool``."""

    driver: abilities.Templates
    templates: Templates
    pool: Pool


class Starter:
    """The starter of sandboxes. ``fast`` None: every machine boots."""

    def __init__(self, fast: FastStart | None, *, boot_timeout_s: float) -> None:
        self.fast = fast
        self._boot_timeout_s = boot_timeout_s
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """The starter is open: leavings of an earlier daemon are gone; machines begin to wait."""
        if self.fast is not None:
            await self.fast.templates.open()
            await self.fast.pool.open()

    def acquire_pooled(
        self, driver: Driver, shape: Shape | None, timeline: Timeline
    ) -> PooledMachine | None:
        """A pooled machine of ``driver`` and ``shape``, the caller's from now on: given to ``launch``, or discarded."""
        if self.fast is None or shape is None or not self.fast.pool.limit_mib:
            return None
        if driver is not self.fast.driver:
            return None
        pooled = self.fast.pool.acquire(shape)
        if pooled is None:
            timeline.note("no machine was waiting")
        return pooled

    async def launch(
        self,
        plan: Plan,
        *,
        made: Made,
        timeline: Timeline,
        pooled: PooledMachine | None = None,
        again: bool = True,
    ) -> Started:
        """The sandbox with its program. ``made`` is called as soon as a machine exists.

        ``pooled``: a pooled machine, with whose card ``plan`` was made; it is used or ended. ``again``: others like it
        will be started, so a template that is missing is built.

        Raises:
            MachineError, GuestError: as Sandbox.launch. Nothing is left running.
        """
        if pooled is None:
            return await self._launch(plan, made, timeline, again=again)
        async with pooled.holds:  # its card may be needed on another way, too
            try:
                return await self._from_pool(plan, pooled, made, timeline)
            except _NotThisWay as failure:
                timeline.note(f"the waiting machine failed: {failure}")
            return await self._launch(plan, made, timeline, again=again)

    async def _launch(self, plan: Plan, made: Made, timeline: Timeline, *, again: bool) -> Started:
        """The sandbox, started without a pooled machine."""
        template = await self._template(plan, timeline, again=again)
        if self.fast is not None and template is not None:
            try:
                return await self._from_template(plan, self.fast, template, made, timeline)
            except _NotThisWay as failure:
                timeline.note(f"the template failed: {failure}")
                # Once it has said hello, what failed is not the template's.
                if timeline.way is not Way.TEMPLATE:
                    self.fast.templates.drop(template, str(failure))
        timeline.way = Way.BOOT
        started = await Sandbox.launch(plan, made=made, boot_timeout_s=self._boot_timeout_s)
        timeline.mark(SPAWNED, started.sandbox.machine.record.spawned_ns)
        timeline.mark(HELLO, started.sandbox.session.hello_ns)
        timeline.mark("program started")
        return started

    async def _template(self, plan: Plan, timeline: Timeline, *, again: bool) -> Template | None:
        if self.fast is None:
            return None
        if plan.driver is not self.fast.driver:
            timeline.note(f"machines of {plan.driver.name} are not made from templates")
            return None
        spec = plan.spec
        if spec.kernel != self.fast.templates.kernel:
            timeline.note("machines with a kernel of their own are not made from templates")
            return None
        shape = shape_of(spec)
        if shape is None:
            timeline.note("machines that share files with the host are not made from templates")
            return None
        if not self.fast.templates.terms.copied(shape):
            most = self.fast.templates.terms.max_memory_mib
            timeline.note(f"machines of more than {most} MiB are not made from templates")
            return None
        template = await self.fast.templates.find(shape)
        if template is None:
            timeline.note("there is no template of this shape yet")
            if again:
                self._later(shape)
        return template

    def _later(self, shape: Shape) -> None:
        """A template for the next start is there, once this one is over."""
        assert self.fast is not None
        task = asyncio.get_running_loop().create_task(self.fast.templates.want(shape))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """The starter is closed: nothing is built any more, no machine waits."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.fast is not None:
            await self.fast.pool.close()
            await self.fast.templates.close()

    async def _from_pool(
        self, plan: Plan, pooled: PooledMachine, made: Made, timeline: Timeline
    ) -> Started:
        machine = pooled.machine
        try:
            with _other_way_on(HyperError, OSError):
                machine.move(plan.spec.run_dir)
                made(machine.record)
                logger.debug("machine %s is handed out", machine.record.name)
                await machine.limit(plan.spec.limits)
            sandbox = Sandbox(machine, pooled.session, pooled.hello)
            timeline.way = Way.POOL
            timeline.mark(TAKEN)
            started = await self._fill(sandbox, machine, plan, timeline)
        except BaseException:
            await end_machine(machine, pooled.session)
            raise
        return started

    async def _from_template(
        self, plan: Plan, fast: FastStart, template: Template, made: Made, timeline: Timeline
    ) -> Started:
        with _other_way_on(OSError, MachineError), template.memory() as memory:
            spec = replace(plan.spec, disks=())
            machine = await fast.driver.launch_open(spec, slots=EMPTY_SLOTS, memory=memory)
        session = None
        try:
            made(machine.record)
            timeline.mark(SPAWNED, machine.record.spawned_ns)
            with _other_way_on(HyperError):
                session, hello = await greet(machine, resync=False, timeout_s=self._boot_timeout_s)
            timeline.way = Way.TEMPLATE
            timeline.mark(HELLO, session.hello_ns)
            sandbox = Sandbox(machine, session, hello)
            return await self._fill(sandbox, machine, plan, timeline)
        except BaseException:
            await end_machine(machine, session)
            raise

    async def _fill(
        self, sandbox: Sandbox, machine: OpenMachine, plan: Plan, timeline: Timeline
    ) -> Started:
        """The container of ``plan`` runs in ``machine``, the sandbox's, which has nothing yet."""
        session = sandbox.session
        container = plan.container.container
        with _other_way_on(HyperError):
            setup = session.post(plan.setup)
            await machine.add_disks(*plan.spec.disks)
            timeline.mark("disks in place")
            # It may have waited while the host slept.
            clock = SandboxClock(time.time_ns())
            asked = [session.post(request) for request in (plan.container, clock, *plan.limits)]
            for answer in (setup, *asked):
                await self._answered(answer)
            timeline.mark("container made")
        if plan.connected is not None:
            await plan.connected
        program = program_of(session, plan.program)
        reply = await session.call(plan.program, timeout_s=self._boot_timeout_s)
        timeline.mark("program started")
        sandbox.power.enter(container)
        return Started(sandbox, program, reply.pid())

    async def _answered(self, answer: asyncio.Future[Reply]) -> None:
        try:
            async with asyncio.timeout(self._boot_timeout_s):
                checked(await answer)
        except TimeoutError:
            raise MachineError("the machine's agent does not answer") from None


class _NotThisWay(Exception):
    """A failure of a faster way where a slower one may not fail."""


@contextlib.contextmanager
def _other_way_on(*errors: type[Exception]) -> Iterator[None]:
    """The body begins nothing that another way could not do: its errors lead to the next way."""
    try:
        yield
    except errors as error:
        logger.warning("a fast start failed: %s", error)
        raise _NotThisWay(str(error)) from error

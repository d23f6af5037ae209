"""One pod: a sandbox that several containers run in, and that is there without them.

The first program in its machine is the *anchor*, which only waits: name spaces that containers of the pod share are its
own. The pod runs as long as the anchor does. What makes containers one pod is in pods.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

from hyper.engine.lifecycle.host import Host
from hyper.engine.lifecycle.in_sandbox import InSandbox
from hyper.engine.lifecycle.launch import launch
from hyper.engine.lifecycle.sandboxes import Run
from hyper.engine.record.container_spec import Restart
from hyper.engine.record.pod import PodRecord
from hyper.engine.record.sandbox import Kind, Placement
from hyper.engine.record.state import Event, Status, next_status
from hyper.errors import Conflict, HyperError, NotFound

logger = logging.getLogger(__name__)

GONE: Final = "the machine was gone when the daemon came back"


class Pod(InSandbox):
    """A pod that exists, with its sandbox while that runs. State changes are kept before an event tells of them.

    Its program is the anchor. ``lock`` also keeps the end of an idle machine apart from starts.
    """

    record: PodRecord

    def __init__(self, record: PodRecord, host: Host) -> None:
        super().__init__(host)
        self.record = record
        #: Number of containers that are about to run there: the machine is not without work then.
        self.expected = 0
        #: What comes before other containers in each machine of the pod's.
        self.prepare: Callable[[], Awaitable[None]] | None = None
        self.gone = False
        self._closing: asyncio.Task[None] | None = None
        self._settled_start = asyncio.Event()
        self._note_restarting()

    @property
    def _called(self) -> str:
        return f"pod {self.record.name}"

    @property
    def _ended_by(self) -> str:
        return "hyper pod rm -f"

    def publish(self, action: str) -> None:
        """An event says that ``action`` happened to the pod."""
        record = self.record
        members = {**dict(record.spec.labels), "name": record.name}
        self.host.events.publish("pod", action, record.id, members)

    def save(self) -> None:
        """The pod's record is on disk."""
        self.host.store.save_pod(self.record)

    def _note_restarting(self) -> None:
        """Tasks that wait for the restart's outcome go on, unless it is still to come."""
        if self.record.status is Status.RESTARTING:
            self._settled_start.clear()
        else:
            self._settled_start.set()

    # Start

    async def start(self) -> bool:
        """The pod's machine runs. Returns False when it already did.

        Raises:
            Conflict: a port is in use, or the pod is being removed.
            MachineError: the machine did not start.
        """
        async with self.lock:
            if self.up:
                return False
            next_status(self.record.status, Event.START)
            self.record.restart_count, self.record.stays_down = 0, False
            self._backoff.reset()
            await self._start()
            return True

    async def _start(self) -> None:
        """The pod's machine runs. The lock is held by the caller."""
        await self.settled()
        try:
            with self._starting():
                await self._launch()
        except HyperError as error:
            self._start_failed(error)
            raise

    async def _launch(self) -> None:
        record, host = self.record, self.host
        kept = host.sandboxes.begin(record.id, Kind.POD, record)
        timeline = self.timeline = host.start_log.begin(record.id)
        try:
            started = await launch(kept, record, host, timeline, begins=lambda: None)
        except BaseException:
            kept.forget()
            raise
        record.status = next_status(record.status, Event.START)
        record.error, record.started_ns, record.finished_ns = "", time.time_ns(), 0
        self.try_save()
        self.adopt(Run(kept, started.sandbox, Placement(), started.program))
        self._note_restarting()
        self.publish("start")

    def _start_failed(self, error: HyperError) -> None:
        record = self.record
        record.error, record.ports = str(error), []
        if record.status is Status.RESTARTING:
            record.status = next_status(record.status, Event.GIVE_UP)
        self.try_save()
        self._note_restarting()
        self.host.start_log.failed(record.id)

    def adopt(self, run: Run) -> None:
        """The run of the anchor is watched over: a fresh one, or one found again."""
        self.kept, self.run = run.kept, run
        self._machine_gone.clear()
        self.host.attachments.attached(self.record)
        self.host.tasks.spawn(self._supervise(run), name=f"pod {self.record.id[:12]}")

    @contextlib.contextmanager
    def expecting(self) -> Iterator[None]:
        """A container is about to run in the pod's machine (the body starts it); then it is an occupant there."""
        self.expected += 1
        try:
            yield
        finally:
            self.expected -= 1

    def refuse_paused(self, what: str) -> None:
        """The pod is not paused, ``what`` is possible: its containers are paused one by one, and it never is."""

    def joinable(self) -> Run:
        """The pod's run, whose sandbox takes one more container. Raises: Conflict: it does not run."""
        if not self.live or self.run is None:
            raise self._not_running()
        return self.run

    def _not_running(self) -> Conflict:
        return Conflict(f"pod {self.record.name} is not running")

    # End

    async def _supervise(self, run: Run) -> None:
        """The anchor's end is known and kept, and the machine is gone."""
        try:
            await run.program.exited
        except HyperError as lost:
            if self.live:
                await self._lost(run, lost)
        if self.live:
            self._end()
        if self._closing is not None:
            await asyncio.wait([self._closing])
            self._closing = None
        await run.kept.others_left(None)
        self._gone()
        if self.record.status is Status.RESTARTING:
            self._restart_later()

    async def _lost(self, run: Run, lost: HyperError) -> None:
        """The run has ended: the agent is not heard any more."""
        error = await self._autopsy(run, lost)
        if self.live:  # else it was ended meanwhile
            self._ended(error)

    def _ended(self, error: str = "") -> None:
        """The run is over; ``error``: why, if the machine was lost."""
        record = self.record
        policy = record.spec.restart.when is Restart.ON_FAILURE
        again = bool(error) and policy and not record.stays_down
        record.status = next_status(record.status, Event.EXIT_FOR_NOW if again else Event.EXIT)
        record.restart_count += again
        record.error, record.finished_ns = error, time.time_ns()
        self._note_restarting()
        self.host.container_networks.unpublish(record)
        record.ports = []
        self.host.attachments.ending(record)
        self.try_save()
        self.publish("die")

    def _end(self) -> None:
        """The run is over, and its machine is being ended, its containers first."""
        run = self.run
        self._ended()
        if run is not None:
            name = f"end of pod {self.record.id[:12]}"
            self._closing = self.host.tasks.spawn(_close(run), name=name)

    def _gone(self) -> None:
        kept = self.kept
        self.kept = self.run = None
        self.host.container_networks.release(self.record)
        self.try_save()
        if kept is not None:
            kept.forget()
        self.host.attachments.detach(self.record)
        self.timeline.mark("machine gone")
        self._machine_gone.set()

    async def end(self) -> None:
        """The pod's machine is gone, its containers ended with it, and it is not started again by itself."""
        self.record.stays_down = True
        self.try_save()
        if self.record.status is Status.RESTARTING:
            async with self.lock:
                self._give_up_restart()
        await self.end_now()

    async def end_now(self) -> None:
        """The pod's machine is gone, its containers ended with it. No start is under way that the caller is not in."""
        if self.live and self.run is not None:
            self._end()
        elif self.live and self.kept is not None:
            await self.kept.kill()  # it is silent: recovery learns of it
        await self.settled()

    def _give_up_restart(self) -> None:
        """The pod, should it be RESTARTING, is EXITED. The lock is held by the caller."""
        if self.record.status is not Status.RESTARTING:
            return
        if self._restart is not None:
            self._restart.cancel()
        self.record.status = next_status(self.record.status, Event.GIVE_UP)
        self.try_save()
        self._note_restarting()
        self.publish("stop")

    async def _before_restart(self) -> None:
        """A pod wants nobody's machine but its own."""

    async def restarted(self) -> None:
        """The pod, should it be RESTARTING, runs, or will not."""
        await self._settled_start.wait()

    # A machine that an earlier daemon has started

    def lost_in_absence(self, error: str = GONE) -> None:
        """The run that an earlier daemon left when it was killed has ended: its machine is gone now."""
        if self.live:
            self._ended(error)
        self._gone()

    # Removal

    async def discard(self) -> None:
        """The pod, which has no containers any more and does not run, is gone."""
        async with self.lock:
            self._give_up_restart()
            await self.settled()
            if self.gone:
                return
            record = self.record
            record.status = next_status(record.status, Event.REMOVE)
            await self.host.remove_folder(record.id)
            await self.host.volumes.release(record, anonymous=True)
            self.host.store.delete_pod(record.id)
            self.gone = True
        self.publish("destroy")

    def check_there(self) -> None:
        """The pod has not been removed. Raises: NotFound: it has."""
        if self.gone:
            raise NotFound(f"No such pod: {self.record.name}")


async def _close(run: Run) -> None:
    """The machine of ``run`` is gone, after its containers' programs have ended."""
    await run.kept.end_others(None)
    await run.sandbox.shut_down()

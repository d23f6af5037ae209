"""The common part of containers and pods: a life in states, and the sandbox that they are in while they run."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Final

from hyper.engine.lifecycle.host import Host
from hyper.engine.lifecycle.sandboxes import KeptSandbox, Run
from hyper.engine.record.lead import Lead
from hyper.engine.record.state import LIVE, UP, Status
from hyper.engine.spec import restart
from hyper.errors import Conflict, HyperError, Unavailable, reason
from hyper.sandbox.sandbox import Sandbox
from hyper.sandbox.timeline import Timeline

logger = logging.getLogger(__name__)

#: What clients are told of a container or pod whose machine runs and has not been heard of.
SILENT: Final = "its machine runs and has not answered since the daemon started"
#: How long an operation waits for a machine that has not answered since the daemon started.
ANSWER_TIMEOUT_S: Final = 10.0


class InSandbox(ABC):
    """A container or pod, and the sandbox that it is in.

    ``lock`` keeps starts and removals apart; everything else is legal at any time and looks at the state.
    """

    record: Lead

    def __init__(self, host: Host) -> None:
        self.host = host
        self.lock = asyncio.Lock()
        #: The sandbox that it is in; None: in none.
        self.kept: KeptSandbox | None = None
        #: None: the program does not run, or its machine has not answered this daemon yet.
        self.run: Run | None = None
        #: Not set: the machine is to be found again, and has not answered this daemon (engine/lifecycle/recovery.py).
        self.found = asyncio.Event()
        self.found.set()
        #: Of the last start.
        self.timeline = Timeline()
        self._machine_gone = asyncio.Event()
        self._machine_gone.set()
        self._backoff = restart.Backoff()
        self._restart: asyncio.Task[None] | None = None

    @property
    def live(self) -> bool:
        """Whether a machine runs the program."""
        return self.record.status in LIVE

    @property
    def up(self) -> bool:
        """Whether a machine runs the program, or will by itself."""
        return self.record.status in UP

    @property
    def silent(self) -> bool:
        """Whether the machine, which an earlier daemon has started, has not answered this one yet."""
        return not self.found.is_set()

    @property
    def sandbox(self) -> Sandbox | None:
        """The sandbox that the program runs in and that has answered; None: there is none."""
        return None if self.run is None else self.run.sandbox

    @property
    @abstractmethod
    def _called(self) -> str:
        """The kind and name in errors and in the log: ``container 0123…``."""

    @property
    @abstractmethod
    def _ended_by(self) -> str:
        """The commands that end a silent machine."""

    @abstractmethod
    def save(self) -> None:
        """The record is on disk. Raises: HyperError: it cannot be written."""

    @abstractmethod
    def _not_running(self) -> Conflict:
        """The error of a request that takes a running program."""

    @abstractmethod
    async def _start(self) -> None:
        """The program runs. The lock is held by the caller. Raises: HyperError: it does not."""

    def try_save(self) -> None:
        """The record is on disk if that is possible now (disk full: later); the state change counts in any case."""
        try:
            self.save()
        except HyperError as error:
            logger.error("%s: its state was not kept: %s", self._called, error)

    def running(self) -> Run:
        """The run of the program, which runs.

        Raises:
            Conflict: it does not run.
            Unavailable: its machine is silent.
        """
        if self.live and self.silent:
            raise self._silence()
        if not self.live or self.run is None:
            raise self._not_running()
        return self.run

    @contextlib.contextmanager
    def _starting(self) -> Iterator[None]:
        """The body starts the program: what the host refuses is an error that names the container or pod."""
        try:
            yield
        except OSError as error:
            raise HyperError(f"cannot start {self._called}: {reason(error)}") from error

    async def _autopsy(self, run: Run, lost: HyperError, *, whose: str = "") -> str:
        """The reason why the agent is not heard any more, with the console's end; the machine is gone. It is logged."""
        autopsy = await run.sandbox.autopsy()
        text = f"the machine {whose}ended unexpectedly: {autopsy.cause or lost.message}"
        if autopsy.console:
            text += f"\n--- end of the machine's console ---\n{autopsy.console}"
        logger.warning("%s: %s", self._called, text)
        return text

    async def settled(self) -> None:
        """The machine of the last run is gone."""
        await self._machine_gone.wait()

    # Restarts

    def restart_after(self, delay_s: float) -> None:
        """The program, should it be RESTARTING then, runs again ``delay_s`` from now; or the log says why not."""
        self._restart = self.host.tasks.spawn(
            self._start_again(delay_s), name=f"restart of {self._called}"
        )

    def _restart_later(self) -> None:
        """The program, which is RESTARTING and whose machine is gone, is started after the back-off."""
        ran_s = (self.record.finished_ns - self.record.started_ns) / 1e9
        self.restart_after(self._backoff.next_delay_s(ran_s=ran_s))

    async def _start_again(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        await self._before_restart()
        async with self.lock:
            if self.record.status is not Status.RESTARTING:
                return
            try:
                await self._start()
            except HyperError as error:
                logger.error("%s was not started again: %s", self._called, error)

    @abstractmethod
    async def _before_restart(self) -> None:
        """The owner of the machine that is wanted is not about to be started again itself."""

    # A machine that an earlier daemon has started

    def await_machine(self, kept: KeptSandbox | None) -> None:
        """The machine of ``kept`` is to be found again: meanwhile all is kept that is held, volumes among it."""
        self.found.clear()
        self.kept = kept
        if kept is not None:
            self._machine_gone.clear()
        if self.live:
            self.host.attachments.attached(self.record)

    async def answering(self) -> None:
        """The machine answers, as far as is known, or there is none.

        Raises:
            Unavailable: the machine has not answered since the daemon started, and does not in 10 s.
        """
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                await self.found.wait()
        except TimeoutError:
            raise self._silence() from None

    def _silence(self) -> Unavailable:
        return Unavailable(
            f"{self._called}: {SILENT}",
            hint=f"it is asked again and again; {self._ended_by} ends it",
        )

    async def let_go(self) -> None:
        """The daemon ends and lets go of the machine, which goes on."""
        if self.run is not None:
            await self.run.sandbox.detach()

"""Background tasks with one owner: none is forgotten, and each failure is logged."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

from hyper.errors import HyperError

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Tasks:
    """A set of running tasks. ``close`` cancels what still runs and waits for it."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
        """The task that runs ``work`` in the background; a failure is logged with ``name``."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._finished)
        return task

    async def see_through(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of ``work``, which goes on to its end if the caller is cancelled; then a failure is logged."""
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_tell_the_log)
            raise

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("%s failed", task.get_name(), exc_info=error)

    async def close(self) -> None:
        """All tasks have ended."""
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def _tell_the_log(task: asyncio.Task[Any]) -> None:
    """The failure of a task whose caller does not wait any more is logged."""
    if task.cancelled() or (error := task.exception()) is None:
        return
    if isinstance(error, HyperError):
        logger.info("a request whose client has left failed: %s", error)
    else:
        logger.error("a request whose client has left failed", exc_info=error)

"""Shared work: what several callers want at the same time is done once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Iterable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from hyper.errors import HyperError

_Key = TypeVar("_Key", bound=Hashable)
_Event = TypeVar("_Event")
_Result = TypeVar("_Result")


async def in_parallel(count: int, work: Iterable[Coroutine[Any, Any, _Result]]) -> list[_Result]:
    """The results of all works, in order, at most ``count`` under way at a time. The first failure ends the others.

    Raises: that failure.
    """
    slots = asyncio.Semaphore(count)

    async def one(job: Coroutine[Any, Any, _Result]) -> _Result:
        async with slots:
            return await job

    jobs = list(work)
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(job)) for job in jobs]
    except BaseExceptionGroup as failures:
        raise _first(failures) from None
    finally:
        for job in jobs:
            job.close()  # those that never began
    return [task.result() for task in tasks]


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The failure that started the group's (a task group cancels the rest)."""
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


@dataclass
class _Job(Generic[_Event, _Result]):
    task: asyncio.Task[_Result] | None = None
    listeners: list[Callable[[_Event], None]] = field(default_factory=list)
    last: _Event | None = None


class SharedWork(Generic[_Key, _Event, _Result]):
    """Jobs by key. A job lives as long as a caller waits for it; `close` when none does any more."""

    def __init__(self) -> None:
        self._jobs: dict[_Key, _Job[_Event, _Result]] = {}

    async def run(
        self,
        key: _Key,
        start: Callable[[Callable[[_Event], None]], Awaitable[_Result]],
        listener: Callable[[_Event], None],
    ) -> _Result:
        """The result of ``start(tell)``, or of the same job begun by another; ``listener`` hears what is told.

        A joined job that fails because of its starter's circumstances (another registry, other credentials) is
        not our failure: we begin our own then. Cancelling one waiter leaves the others' job alone.
        """
        while True:
            job = self._jobs.get(key)
            ours = job is None
            if job is None:
                job = self._begin(key, start)
            elif job.last is not None:
                listener(job.last)
            try:
                return await self._wait(key, job, listener)
            except (HyperError, OSError):
                if ours:
                    raise

    def _begin(
        self, key: _Key, start: Callable[[Callable[[_Event], None]], Awaitable[_Result]]
    ) -> _Job[_Event, _Result]:
        job: _Job[_Event, _Result] = _Job()

        def tell(event: _Event) -> None:
            job.last = event
            for listener in list(job.listeners):
                listener(event)

        async def work() -> _Result:
            try:
                return await start(tell)
            finally:
                if self._jobs.get(key) is job:
                    del self._jobs[key]

        self._jobs[key] = job
        job.task = asyncio.get_running_loop().create_task(work(), name=f"shared {key}")
        return job

    async def _wait(
        self, key: _Key, job: _Job[_Event, _Result], listener: Callable[[_Event], None]
    ) -> _Result:
        assert job.task is not None
        job.listeners.append(listener)
        try:
            return await asyncio.shield(job.task)
        finally:
            job.listeners.remove(listener)
            if not job.listeners and not job.task.done():
                # Newcomers must not join a dying job; its owner sees it to its end.
                if self._jobs.get(key) is job:
                    del self._jobs[key]
                job.task.cancel()
                await asyncio.wait([job.task])
                if not job.task.cancelled():
                    job.task.exception()  # seen: nobody is left to be told

"""Futures of exit codes, for tasks that wait for the end of a container's run."""

from __future__ import annotations

import asyncio


class ExitWaiters:
    """The futures of those that wait for an exit code. A cancelled one is forgotten."""

    def __init__(self) -> None:
        self._waiters: list[asyncio.Future[int]] = []

    def next(self) -> asyncio.Future[int]:
        """A future that resolves to the exit code of the run that ends next."""
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiters.append(future)
        future.add_done_callback(self._forget)
        return future

    def resolve(self, code: int) -> None:
        """The futures have the result ``code``."""
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(code)

    def _forget(self, future: asyncio.Future[int]) -> None:
        if future in self._waiters:
            self._waiters.remove(future)

"""Work that comes to its end although the task that does it is cancelled: half of it would be left otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def uninterrupted(work: Coroutine[Any, Any, T]) -> T:
    """The result of ``work``, which is short, and over on return, whatever happens to the caller meanwhile.

    Raises:
        asyncio.CancelledError: the caller was cancelled (once ``work`` is over). Whatever ``work`` raises.
    """
    task = asyncio.ensure_future(work)
    await ended(task)
    return task.result()


async def ended(work: asyncio.Future[Any]) -> None:
    """The task ``work`` is over, however often the caller was cancelled meanwhile; its failure is not raised here."""
    cancelled: asyncio.CancelledError | None = None
    while not work.done():
        try:
            await asyncio.wait([work])
        except asyncio.CancelledError as error:
            cancelled = error
    if not work.cancelled():
        work.exception()  # was looked at
    if cancelled is not None:
        raise cancelled

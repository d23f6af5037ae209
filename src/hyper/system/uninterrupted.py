"""What has to come to its end though the task that does it is cancelled: half of it would be left otherwise."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def uninterrupted(work: Coroutine[Any, Any, T]) -> T:
    """The result of ``work``, which is short, and over on return, whatever happens to the caller meanwhile.

    Raises:
        asyncio.CancelledError: the caller was cancelled (once ``work`` is over). Whatever ``work`` raises.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([task])
        raise

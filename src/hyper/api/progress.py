"""Long work on images as a stream of JSON lines: its progress, and its result or failure."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from aiohttp import web

from hyper.api.http import json_lines
from hyper.errors import HyperError
from hyper.image.record import PullEvent
from hyper.types import response as wire

T = TypeVar("T")
Tell = Callable[[wire.PullLine], None]


async def stream(
    request: web.Request,
    work: Callable[[Tell], Awaitable[T]],
    *,
    ahead: int | None = 0,
    refused: Callable[[HyperError], HyperError] = lambda error: error,
) -> tuple[web.StreamResponse, T | None]:
    """The response with the lines that ``work`` tells, its failure as the last; and the result if ``work`` succeeded.

    The head waits until ``ahead`` + 1 lines were told: until then a failure has a status of its own (``refused`` may
    give it another). With None every failure is a line. The work ends with the client's connection.

    Raises:
        HyperError: the work failed before the head was sent.
    """
    lines: asyncio.Queue[wire.PullLine | None] = asyncio.Queue()
    task = asyncio.ensure_future(work(lines.put_nowait))
    task.add_done_callback(lambda _: lines.put_nowait(None))
    try:
        first = [await lines.get()]
        while ahead is not None and first[-1] is not None and len(first) <= ahead:
            first.append(await lines.get())
        if (
            ahead is not None
            and first[-1] is None
            and isinstance(failure := task.exception(), HyperError)
        ):
            raise refused(failure)
        async with json_lines(request) as out:
            for line in first[:-1]:
                await out.send(line)
            line = first[-1]
            while line is not None:
                await out.send(line)
                line = await lines.get()
            try:
                result = await task
            except HyperError as error:
                text = str(error)
                await out.send(wire.PullLine(error=text, error_detail=wire.ErrorDetail(text)))
                return out.response, None
        return out.response, result
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def line(event: PullEvent) -> wire.PullLine:
    """An event of a pull as a line of JSON."""
    detail = wire.ProgressDetail(event.current, event.total)
    return wire.PullLine(status=event.status, id=event.id, progress_detail=detail)

"""Events: a bounded history and live subscribers."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

#: How many past events ``since`` can reach back to, as in dockerd.
HISTORY = 256
#: A subscriber that lags behind by this many is cut off.
BACKLOG = 4096


@dataclass(frozen=True, slots=True)
class EngineEvent:
    """An event: ``action`` happened to the object ``actor`` of kind ``type``."""

    type: str
    action: str
    actor: str
    time_ns: int
    attributes: dict[str, str] = field(default_factory=dict)


class EventBus:
    """The bus that publishes events to listeners and subscribers, and remembers the last ones."""

    def __init__(self) -> None:
        self._history: deque[EngineEvent] = deque(maxlen=HISTORY)
        self._queues: set[asyncio.Queue[EngineEvent | None]] = set()
        self._listeners: list[Callable[[EngineEvent], None]] = []

    @property
    def listeners(self) -> int:
        """The number of open subscriptions."""
        return len(self._queues)

    def publish(self, type: str, action: str, actor: str, attributes: dict[str, str]) -> None:
        """The event has reached all listeners, will reach all subscribers, and is in the history."""
        event = EngineEvent(type, action, actor, time.time_ns(), attributes)
        self._history.append(event)
        for listener in self._listeners:
            listener(event)
        for queue in list(self._queues):
            if queue.qsize() >= BACKLOG:
                self._queues.discard(queue)
                queue.put_nowait(None)
            else:
                queue.put_nowait(event)

    def listen(self, listener: Callable[[EngineEvent], None]) -> None:
        """The listener is called with every event from now on, within ``publish``: it must not wait or fail."""
        self._listeners.append(listener)

    async def subscribe(
        self, *, since_ns: int | None, until_ns: int | None
    ) -> AsyncIterator[EngineEvent]:
        """Past events from ``since_ns`` on, then live ones until ``until_ns`` (None: for ever).

        Without ``since_ns`` all known past events up to ``until_ns``; without either none of them.
        """
        queue: asyncio.Queue[EngineEvent | None] = asyncio.Queue()
        if since_ns is None and until_ns is not None:
            since_ns = 0
        past = [
            event for event in self._history if since_ns is not None and event.time_ns >= since_ns
        ]
        self._queues.add(queue)
        try:
            for event in past:
                if until_ns is None or event.time_ns <= until_ns:
                    yield event
            async for event in _live(queue, until_ns):
                yield event
        finally:
            self._queues.discard(queue)


async def _live(
    queue: asyncio.Queue[EngineEvent | None], until_ns: int | None
) -> AsyncIterator[EngineEvent]:
    while True:
        remaining = None if until_ns is None else (until_ns - time.time_ns()) / 1e9
        if remaining is not None and remaining <= 0 and queue.empty():
            return
        try:
            async with asyncio.timeout(remaining):
                event = await queue.get()
        except TimeoutError:
            return
        if event is None:
            return
        yield event

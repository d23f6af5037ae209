"""The event bus: a bounded history, live subscribers, and what becomes of slow ones."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from hyper.engine.events import BACKLOG, HISTORY, EngineEvent, EventBus

DEADLINE_S = 10.0
EVER = 1 << 62


async def collect(events: AsyncIterator[EngineEvent]) -> list[str]:
    """The actors of all events of a subscription, to its end."""
    async with asyncio.timeout(DEADLINE_S):
        return [event.actor async for event in events]


def publish(bus: EventBus, actors: range) -> None:
    """One event for each."""
    for number in actors:
        bus.publish("container", "start", str(number), {})


async def test_the_history_is_bounded_and_keeps_the_newest() -> None:
    """Ten thousand events later it holds its limit."""
    bus = EventBus()
    publish(bus, range(10_000))
    now = time.time_ns()
    seen = await collect(bus.subscribe(since_ns=0, until_ns=now))
    assert seen == [str(number) for number in range(10_000 - HISTORY, 10_000)]


@pytest.mark.parametrize("until", [0, 1])
async def test_an_end_in_the_past_ends_at_once(until: int) -> None:
    """All that is known is younger; the subscription is gone afterwards."""
    bus = EventBus()
    publish(bus, range(3))
    assert await collect(bus.subscribe(since_ns=None, until_ns=until)) == []
    assert bus.listeners == 0


async def test_past_and_live_events_follow_each_other_without_gap() -> None:
    """What is published while the past is being told is told after it, once."""
    bus = EventBus()
    publish(bus, range(2))
    events = bus.subscribe(since_ns=0, until_ns=None)
    seen = [(await anext(events)).actor]
    publish(bus, range(2, 4))
    seen += [(await anext(events)).actor for _ in range(3)]
    assert seen == ["0", "1", "2", "3"]
    await events.aclose()  # type: ignore[attr-defined]
    assert bus.listeners == 0


async def test_a_subscriber_that_does_not_read_is_cut_off() -> None:
    """It gets what it had been promised, then its end; the others go on, and memory is bounded."""
    bus = EventBus()
    slow, quick = (bus.subscribe(since_ns=None, until_ns=None) for _ in range(2))
    first = asyncio.ensure_future(anext(slow))
    other = asyncio.ensure_future(anext(quick))
    await asyncio.sleep(0)
    publish(bus, range(1))
    assert ((await first).actor, (await other).actor) == ("0", "0")
    for start in range(0, BACKLOG + 10, 100):
        publish(bus, range(start, start + 100))
        for number in range(start, start + 100):
            assert (await anext(quick)).actor == str(number)
    assert bus.listeners == 1
    rest = await collect(slow)
    assert rest == [str(number) for number in range(BACKLOG)]
    await quick.aclose()  # type: ignore[attr-defined]


async def test_a_subscriber_that_is_cancelled_leaves_nothing() -> None:
    """A client that went away."""
    bus = EventBus()
    waiting = [
        asyncio.ensure_future(collect(bus.subscribe(since_ns=None, until_ns=EVER)))
        for _ in range(100)
    ]
    await asyncio.sleep(0)
    assert bus.listeners == 100
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert bus.listeners == 0


async def test_until_alone_shows_the_past() -> None:
    """As in dockerd; without both there is nothing but what comes."""
    bus = EventBus()
    publish(bus, range(3))
    assert await collect(bus.subscribe(since_ns=None, until_ns=time.time_ns())) == ["0", "1", "2"]

"""Locks by key: one at a time for each key, and none is kept for a key that nobody wants any more."""

from __future__ import annotations

import asyncio

from hyper.engine.keyed_locks import KeyedLocks


async def test_of_one_key_one_at_a_time() -> None:
    """Whoever comes second to a key waits for the first; another key is free."""
    locks = KeyedLocks()
    async with locks.of("a"):
        lock = locks.of("a")
        second = asyncio.ensure_future(lock.acquire())
        async with locks.of("b"):
            pass
        assert not second.done()
    assert await second
    lock.release()


async def test_nothing_is_kept() -> None:
    """Of ten thousand keys that each were used once no lock is left: anonymous volumes never come again."""
    locks = KeyedLocks()
    for number in range(10_000):
        async with locks.of(str(number)):
            assert len(locks) == 1
    assert len(locks) == 0

"""Budgets of the host's work that each guest may ask for: a token bucket a guest. Pure but for the clock given."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final

#: Questions to the name server a second, and at once after a pause; what is over them waits or is dropped.
MAX_QUESTIONS_A_SECOND: Final = 200
MAX_QUESTIONS_AT_ONCE: Final = 1000
#: Guests that are remembered; those that have asked for nothing lately are forgotten first.
MAX_REMEMBERED: Final = 4096


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_s: float


class Budget:
    """A budget: ``rate`` pieces of work a second for each guest, and ``burst`` of them at once after a pause."""

    def __init__(
        self, rate: float, burst: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._buckets: dict[Hashable, _Bucket] = {}

    def take(self, guest: Hashable) -> bool:
        """Whether ``guest`` has a piece of work left; then it is used."""
        return self._filled(guest, least=1.0)

    def debt_s(self, guest: Hashable) -> float:
        """The seconds that ``guest`` has to wait for the piece of work that it takes with this; 0: none."""
        self._filled(guest, least=float("-inf"))
        return max(0.0, -self._buckets[guest].tokens / self._rate)

    def _filled(self, guest: Hashable, *, least: float) -> bool:
        now = self._clock()
        bucket = self._buckets.pop(guest, None)
        if bucket is None:
            bucket = _Bucket(self._burst, now)
        gained = (now - bucket.filled_s) * self._rate
        bucket.tokens, bucket.filled_s = min(self._burst, bucket.tokens + gained), now
        # Put last: whoever is first has asked for nothing for the longest.
        self._buckets[guest] = bucket
        if len(self._buckets) > MAX_REMEMBERED:
            del self._buckets[next(iter(self._buckets))]
        if bucket.tokens < least:
            return False
        bucket.tokens -= 1.0
        return True

"""Patience with registries: how long they may keep us waiting, what is done meanwhile (ask again, tell, give up)."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TypeVar

from hyper.errors import HyperError, NotFound, Unavailable
from hyper.image import limits
from hyper.image.endpoint import Endpoint

log = logging.getLogger(__name__)

_T = TypeVar("_T")
Ask = Callable[[Endpoint], Awaitable[_T]]
#: A pause that users are told of, in seconds.
_TOLD_S = 1.0


@dataclass(frozen=True, slots=True)
class Patience:
    """The patience with a registry: how long it may keep us waiting, in seconds, and how often it is asked.

    ``limit_s``: how long in all, for one request, where the registry says that we ask too often.
    """

    connect_s: float = limits.CONNECT_TIMEOUT_S
    answer_s: float = limits.ANSWER_TIMEOUT_S
    stall_s: float = limits.STALL_TIMEOUT_S
    attempts: int = limits.MAX_ATTEMPTS
    first_pause_s: float = limits.FIRST_PAUSE_S
    longest_pause_s: float = limits.LONGEST_PAUSE_S
    limit_s: float = limits.RATE_LIMIT_WAIT_S


class Transient(Exception):
    """A failure that may pass. ``progress``: bytes came before it. ``limited``: we ask too often."""

    def __init__(
        self, why: str, *, pause_s: float = 0.0, progress: bool = False, limited: bool = False
    ) -> None:
        super().__init__(why)
        self.pause_s = pause_s
        self.progress = progress
        self.limited = limited

    def again(self, *, progress: bool) -> Transient:
        """The failure of an attempt that brought something, or not."""
        return Transient(str(self), pause_s=self.pause_s, progress=progress, limited=self.limited)


class Waiting:
    """The waiting for servers, asked until one answers. ``what`` is done, for errors; ``tell`` hears of the wait."""

    def __init__(self, patience: Patience, what: str, tell: Callable[[str], None]) -> None:
        self._patience = patience
        self._what = what
        self._tell = tell

    async def first(self, endpoints: list[Endpoint], ask: Ask[_T]) -> _T:
        """The answer that ``ask`` gets from the first of ``endpoints`` that has it; see `Registry.on_endpoints`."""
        missing: NotFound | None = None
        tried: list[str] = []
        for endpoint in endpoints:
            try:
                return await self.answer(endpoint, ask)
            except HyperError as error:
                tried.append(error.message)
                if isinstance(error, NotFound):
                    missing = error
                if endpoint is not endpoints[-1]:
                    log.warning("mirror %s: %s; trying the next", endpoint, error.message)
                    continue
                if not isinstance(error, Unavailable) or len(tried) == 1:
                    raise
                if missing is not None:
                    # Whoever cannot be asked does not make a no of those who were into a maybe.
                    log.warning("registry %s: %s", endpoint, error.message)
                    raise missing from error
                raise Unavailable("; ".join(tried)) from error
        raise AssertionError("no endpoint")

    async def answer(self, endpoint: Endpoint, ask: Ask[_T]) -> _T:
        """The answer of ``ask`` from ``endpoint``, asked again while its failures may pass. A mirror gets one chance.

        Raises:
            Unavailable: the failures did not pass in time. HyperError: a final no.
        """
        failures = attempts = 0
        limited_s = 0.0
        while True:
            try:
                return await ask(endpoint)
            except Transient as error:
                failures = 1 if error.progress else failures + 1
                attempts = 1 if error.progress else attempts + (not error.limited)
                wait = self._pause(error, failures)
                limited_s += wait if error.limited else 0.0
                most = 1 if endpoint.mirror else self._patience.attempts
                if endpoint.mirror or attempts >= most or limited_s > self._patience.limit_s:
                    raise self._given_up(endpoint, error, failures) from error
                log.info("registry %s: %s; again in %.1f s", endpoint, error, wait)
                if wait >= _TOLD_S:
                    self._tell(f"registry {endpoint}: {error}: waiting {wait:.0f} s")
            await asyncio.sleep(wait)

    def _pause(self, error: Transient, failures: int) -> float:
        """The seconds until the next attempt: those the registry says, else twice as many as before it."""
        usual = self._patience.first_pause_s * float(1 << min(failures - 1, 32))
        longest = self._patience.longest_pause_s
        if error.limited and error.pause_s > longest:
            return error.pause_s
        return min(max(error.pause_s, usual), longest)

    def _given_up(self, endpoint: Endpoint, error: Transient, failures: int) -> Unavailable:
        times = f"{failures} attempts" if failures != 1 else "1 attempt"
        hint = None
        if error.limited and error.pause_s:
            hint = f"it wants to be asked again in {error.pause_s:.0f} s"
        return Unavailable(f"registry {endpoint}: {error} ({self._what}, {times})", hint=hint)


def retry_after(value: str) -> float:
    """The seconds that a ``Retry-After`` header (a number of them, or a date) asks us to wait; 0 if it asks none."""
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return 0.0

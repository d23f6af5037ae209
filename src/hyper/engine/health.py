"""Health checks: what is asked of a container, and what the answers make of it. Pure.

Source: moby, daemon/health.go (the states, their defaults, the log's bounds), runconfig/merge.go.
"""

from __future__ import annotations

from typing import Final

from hyper.engine.record import ContainerRecord, Health, ProbeResult
from hyper.errors import InvalidRequest
from hyper.types.container import ContainerConfig, Healthcheck

STARTING, HEALTHY, UNHEALTHY, NONE = "starting", "healthy", "unhealthy", "none"
#: Results kept, and bytes of output kept of each.
MAX_LOG: Final = 5
MAX_OUTPUT: Final = 4096
_NANO: Final = 1_000_000_000
_DEFAULT_INTERVAL_NS: Final = 30 * _NANO
_DEFAULT_TIMEOUT_NS: Final = 30 * _NANO
_DEFAULT_START_INTERVAL_NS: Final = 5 * _NANO
_DEFAULT_RETRIES: Final = 3
_MINIMUM_NS: Final = 1_000_000
#: Beyond a hundred years nobody waits (and timers do not count).
_MAXIMUM_NS: Final = 100 * 365 * 86400 * _NANO
_SHELL: Final = ("/bin/sh", "-c")
#: What a probe that could not be run, or not to its end, has for an exit code.
NO_CODE: Final = -1


def merge(asked: Healthcheck | None, image: Healthcheck | None) -> Healthcheck | None:
    """``asked``, completed by what the image says."""
    if asked is None or image is None:
        return asked or image
    return Healthcheck(
        test=asked.test or image.test,
        interval=asked.interval or image.interval,
        timeout=asked.timeout or image.timeout,
        start_period=asked.start_period or image.start_period,
        start_interval=asked.start_interval or image.start_interval,
        retries=asked.retries or image.retries,
    )


def check(asked: Healthcheck | None) -> None:
    """What a client asks for can be done.

    Raises:
        InvalidRequest: a time below a millisecond, or a negative count (Docker's words).
    """
    if asked is None:
        return
    times = (
        ("Interval", asked.interval),
        ("Timeout", asked.timeout),
        ("StartPeriod", asked.start_period),
        ("StartInterval", asked.start_interval),
    )
    for name, value in times:
        if value != 0 and value < _MINIMUM_NS:
            raise InvalidRequest(f"{name} in Healthcheck cannot be less than 1ms")
        if value > _MAXIMUM_NS:
            raise InvalidRequest(f"{name} in Healthcheck is too long: {value} ns")
    if asked.retries < 0:
        raise InvalidRequest("Retries in Healthcheck cannot be negative")


def probe_args(config: ContainerConfig) -> list[str] | None:
    """The program that finds out how the container is; None where nobody wants to know."""
    match config.healthcheck.test if config.healthcheck else None:
        case ["CMD", *args] if args:
            return args
        case ["CMD-SHELL", command, *_]:
            return [*(config.shell or _SHELL), command]
    return None


def interval_s(record: ContainerRecord, *, now_ns: int) -> float:
    """Seconds from the end of one probe to the next: others while the container is still coming up."""
    check = record.config.healthcheck or Healthcheck()
    in_start = now_ns - record.started_ns < check.start_period
    if in_start and record.health is not None and record.health.status == STARTING:
        return (check.start_interval or _DEFAULT_START_INTERVAL_NS) / _NANO
    return (check.interval or _DEFAULT_INTERVAL_NS) / _NANO


def timeout_s(config: ContainerConfig) -> float:
    """Seconds a probe may take."""
    check = config.healthcheck or Healthcheck()
    return (check.timeout or _DEFAULT_TIMEOUT_NS) / _NANO


def note_result(record: ContainerRecord, result: ProbeResult) -> bool:
    """``record.health`` is what it is after ``result``; whether its status is another one now."""
    check = record.config.healthcheck or Healthcheck()
    health = record.health = record.health or Health()
    before = health.status
    health.log = [*health.log[1 - MAX_LOG :], result]
    if result.exit_code == 0:
        health.failing_streak, health.status = 0, HEALTHY
    elif before != STARTING or result.start_ns - record.started_ns >= check.start_period:
        health.failing_streak += 1
        if health.failing_streak >= (check.retries or _DEFAULT_RETRIES):
            health.status = UNHEALTHY
    return health.status != before


class OutputHead:
    """The first ``MAX_OUTPUT`` bytes of what a probe writes."""

    def __init__(self) -> None:
        self._kept = bytearray()
        self._more = False

    def feed(self, data: bytes) -> None:
        """Also this was written."""
        room = MAX_OUTPUT - len(self._kept)
        self._kept += data[:room]
        self._more |= len(data) > room

    def text(self) -> str:
        """For people; ``...`` at the end where there was more."""
        return self._kept.decode(errors="replace") + ("..." if self._more else "")

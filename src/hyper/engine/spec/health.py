"""Health checks: the probe that is made in a container, and its health after each answer. Pure.

Source: moby, daemon/health.go (the states, their defaults, the log's bounds), runconfig/merge.go.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final

from hyper.engine.record.container import Health, ProbeResult
from hyper.engine.record.container_spec import HealthCheck
from hyper.errors import InvalidRequest
from hyper.types.container import Healthcheck

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
#: Probes that the agent makes by itself.
_BUILTINS: Final = frozenset({"HYPER-TCP", "HYPER-HTTP"})
_URL: Final = re.compile(r"http://(\[[0-9a-fA-F:.]+\]|[^:/\[\]\s]+)(?::([0-9]{1,5}))?(/[^\s]*)?")
#: What a probe that could not be run, or not to its end, has for an exit code.
NO_CODE: Final = -1


def merge(asked: Healthcheck | None, image: Healthcheck | None) -> Healthcheck | None:
    """The health check ``asked``, completed by the image's."""
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
    """The health check that a client asks for can be done.

    Raises:
        InvalidRequest: a time below a millisecond, or a negative count (Docker's words).
    """
    if asked is None:
        return
    of(asked, None)
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


def of(asked: Healthcheck | None, shell: list[str] | None) -> HealthCheck | None:
    """The check that ``asked`` amounts to, ``shell`` being what runs CMD-SHELL; None where it is empty or NONE.

    Beside Docker's forms: ``HYPER-TCP``, an address and port that has to accept connections, and ``HYPER-HTTP``, a URL
    that has to be answered with success, followed by headers; both in the container's machine.

    Raises:
        InvalidRequest: no such address or URL.
    """
    if asked is None or not asked.test:
        return None
    builtin = asked.test[0] in _BUILTINS
    match asked.test:
        case ["CMD", *args] if args:
            pass
        case ["CMD-SHELL", command, *_]:
            args = [*(shell or _SHELL), command]
        case ["HYPER-TCP", address]:
            _check_address(address)
            args = ["probe", "tcp", address]
        case ["HYPER-HTTP", url, *headers]:
            args = ["probe", "http", *_http(url), *headers]
        case ["HYPER-TCP" | "HYPER-HTTP" as name, *_]:
            raise InvalidRequest(f"Healthcheck.Test {name} needs an address")
        case _:
            return None
    return HealthCheck(
        args=tuple(args),
        builtin=builtin,
        interval_ns=asked.interval,
        timeout_ns=asked.timeout,
        start_period_ns=asked.start_period,
        start_interval_ns=asked.start_interval,
        retries=asked.retries,
    )


def _http(url: str) -> tuple[str, str]:
    """Address with port, and path with query, of ``http://127.0.0.1:8080/x``."""
    match = _URL.fullmatch(url)
    if match is None:
        raise InvalidRequest(
            f"Healthcheck.Test: no URL to ask: {url[:100]!r}", hint="http://127.0.0.1:PORT/PATH"
        )
    host, port, path = match[1], match[2] or "80", match[3] or "/"
    address = f"{'127.0.0.1' if host == 'localhost' else host}:{port}"
    _check_address(address)
    return address, path


def _check_address(address: str) -> None:
    host, _, port = address.rpartition(":")
    try:
        ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
        well = port.isascii() and port.isdecimal() and 0 < int(port) < 65536
    except ValueError:
        well = False
    if not well:
        raise InvalidRequest(
            f"Healthcheck.Test: no address to ask: {address[:100]!r}", hint="127.0.0.1:PORT"
        )


def interval_s(check: HealthCheck, health: Health | None, *, started_ns: int, now_ns: int) -> float:
    """Seconds from the end of one probe to the next; while the container is starting up, the start interval."""
    in_start = now_ns - started_ns < check.start_period_ns
    if in_start and health is not None and health.status == STARTING:
        return (check.start_interval_ns or _DEFAULT_START_INTERVAL_NS) / _NANO
    return (check.interval_ns or _DEFAULT_INTERVAL_NS) / _NANO


def timeout_s(check: HealthCheck) -> float:
    """Seconds a probe may take."""
    return (check.timeout_ns or _DEFAULT_TIMEOUT_NS) / _NANO


def note_result(
    check: HealthCheck, health: Health, result: ProbeResult, *, started_ns: int
) -> bool:
    """The health ``health`` is up to date with ``result``. Returns whether its status has changed."""
    before = health.status
    health.log = [*health.log[1 - MAX_LOG :], result]
    if result.exit_code == 0:
        health.failing_streak, health.status = 0, HEALTHY
    elif before != STARTING or result.start_ns - started_ns >= check.start_period_ns:
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
        """The probe has also written ``data``."""
        room = MAX_OUTPUT - len(self._kept)
        self._kept += data[:room]
        self._more |= len(data) > room

    def text(self) -> str:
        """The output as text; ``...`` at the end where there was more."""
        return self._kept.decode(errors="replace") + ("..." if self._more else "")

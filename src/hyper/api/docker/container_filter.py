"""The filters of GET /containers/json.

Source: moby, daemon/list.go. Several values of one filter are alternatives, except for labels.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from hyper.api.http import has_label
from hyper.engine.engine import Engine
from hyper.engine.lifecycle.container import Container
from hyper.engine.record.state import Status
from hyper.engine.spec.health import HEALTHY, NONE, STARTING, UNHEALTHY
from hyper.engine.spec.mounts import clean
from hyper.errors import InvalidRequest, NotFound

KNOWN: Final = frozenset(
    {"id", "name", "label", "status", "ancestor", "exited", "before", "since", "network", "health"}
    | {"publish", "expose", "volume", "is-task", "isolation"}
)
_HEALTH: Final = frozenset({STARTING, HEALTHY, UNHEALTHY, NONE})
_TRUE: Final = frozenset({"1", "t", "T", "true", "True", "TRUE"})
_FALSE: Final = frozenset({"0", "f", "F", "false", "False", "FALSE"})
_PORTS: Final = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?(?:/(tcp|udp|sctp))?")
#: Patterns of a client are matched by a backtracking engine: what could keep it busy for long is not taken.
_MAX_PATTERN: Final = 256
_MAX_REPEATS: Final = 3

Filters = dict[str, set[str]]
Check = Callable[[Container], bool]


def checks(engine: Engine, filters: Filters) -> list[Check]:
    """The checks that a container has to pass, every one.

    Raises:
        InvalidRequest: a value that its filter cannot have.
        NotFound: ``before`` or ``since`` names no container.
    """
    made: list[Check] = []
    for name, values in filters.items():
        if not values or name == "isolation":
            continue
        maker = _MAKERS.get(name)
        alternatives = [
            maker(value) if maker else _engine_check(engine, name, value) for value in values
        ]
        made += alternatives if name == "label" else [_any(alternatives)]
    return made


def _any(alternatives: list[Check]) -> Check:
    return lambda container: any(check(container) for check in alternatives)


def _status(value: str) -> Check:
    if (
        value == "dead"
    ):  # Docker's, of a removal that failed: here that can be tried again, and is "removing"
        return lambda container: False
    try:
        wanted = Status(value)
    except ValueError:
        raise InvalidRequest(f"invalid filter 'status={value[:100]}'") from None
    return lambda container: container.record.status is wanted


def _health(value: str) -> Check:
    if value not in _HEALTH:
        raise InvalidRequest(f"unrecognised filter value for health: {value[:100]}")

    def check(container: Container) -> bool:
        health = container.record.health
        return (health.status if health else NONE) == value

    return check


def _exited(value: str) -> Check:
    if not re.fullmatch("-?[0-9]{1,9}", value):
        raise InvalidRequest(f"invalid filter 'exited={value[:100]}'")
    code = int(value)

    def check(container: Container) -> bool:
        record = container.record
        return not container.up and record.started_ns > 0 and record.exit_code == code

    return check


def _is_task(value: str) -> Check:
    """A check of whether a container is a task of a swarm: none is."""
    if value not in _TRUE | _FALSE:
        raise InvalidRequest(f"invalid filter 'is-task={value[:100]}'")
    return lambda _: value in _FALSE


def _name(value: str) -> Check:
    pattern = _pattern("name", value)

    def check(container: Container) -> bool:
        name = container.record.name
        return bool(pattern.search(name) or pattern.search(f"/{name}"))

    return check


def _id(value: str) -> Check:
    pattern = _pattern("id", value)
    return lambda container: pattern.search(container.record.id) is not None


def _pattern(name: str, value: str) -> re.Pattern[str]:
    repeats = sum(value.count(mark) for mark in "*+?{")
    if len(value) > _MAX_PATTERN or repeats > _MAX_REPEATS or re.search(r"\)[*+?{]|\\[0-9]", value):
        raise InvalidRequest(f"invalid filter '{name}={value[:100]}': the pattern is too complex")
    try:
        return re.compile(value)
    except (re.error, OverflowError, RecursionError):
        return re.compile(re.escape(value))


def _label(value: str) -> Check:
    return lambda container: has_label(container.record.config.labels or {}, value)


def _ports(name: str, value: str) -> set[str]:
    match = _PORTS.fullmatch(value)
    if match is None:
        raise InvalidRequest(f"invalid filter '{name}={value[:100]}'")
    first, last = int(match[1]), int(match[2] or match[1])
    if not first <= last <= 65535:
        raise InvalidRequest(f"invalid filter '{name}={value[:100]}'")
    return {f"{number}/{match[3] or 'tcp'}" for number in range(first, last + 1)}


def _publish(value: str) -> Check:
    """A check of the host's port (dockerd's behaviour; its documentation says otherwise)."""
    wanted = _ports("publish", value)

    def check(container: Container) -> bool:
        ports = container.record.ports
        return any(f"{port.host_port}/{port.protocol}" in wanted for port in ports)

    return check


def _expose(value: str) -> Check:
    wanted = _ports("expose", value)

    def check(container: Container) -> bool:
        exposed = container.record.config.exposed_ports or {}
        return any((spec if "/" in spec else f"{spec}/tcp") in wanted for spec in exposed)

    return check


def _volume(value: str) -> Check:
    def check(container: Container) -> bool:
        return any(
            clean(value) == point.target or value == (point.volume or point.source)
            for point in container.record.mounts
        )

    return check


def _network(value: str) -> Check:
    def check(container: Container) -> bool:
        if value == container.record.host_config.network_mode:
            return True
        return any(
            value in (item.network, item.network_id)
            or (bool(value) and item.network_id.startswith(value))
            for item in container.record.endpoints
        )

    return check


_MAKERS: Final[dict[str, Callable[[str], Check]]] = {
    "id": _id,
    "name": _name,
    "status": _status,
    "health": _health,
    "exited": _exited,
    "is-task": _is_task,
    "label": _label,
    "publish": _publish,
    "expose": _expose,
    "volume": _volume,
    "network": _network,
}


def _engine_check(engine: Engine, name: str, value: str) -> Check:
    """The check of a filter whose value names an object of the engine."""
    if name == "ancestor":
        return _ancestor(engine, value)
    other = engine.containers.get(value).record.created_ns
    if name == "before":
        return lambda container: container.record.created_ns < other
    return lambda container: container.record.created_ns > other


def _ancestor(engine: Engine, value: str) -> Check:
    try:
        image_id = engine.host.images.get(value).id
    except (NotFound, InvalidRequest):
        image_id = ""

    def check(container: Container) -> bool:
        record = container.record
        return value in (record.image_ref, record.image_id) or record.image_id == image_id

    return check

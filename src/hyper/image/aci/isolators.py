"""Isolators: the limits and rights an image gives its application. Pure.

Source: appc spec v0.8.11, ace.md, "Isolators": what is not understood may be ignored, and is told to the user.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from hyper.errors import InvalidRequest
from hyper.image.aci.manifest import Isolator
from hyper.image.aci.quantity import quantity

NANO: Final = 1_000_000_000
_CAPABILITY = re.compile(r"CAP_[A-Z_]{1,40}")


class _Resource(msgspec.Struct):
    limit: str | int | None = None
    request: str | int | None = None


class _Set(msgspec.Struct):
    set: tuple[str, ...]


class Limits(msgspec.Struct):
    """The limits that isolators amount to: see `hyper.types.aci.Aci`."""

    memory: int = 0
    nano_cpus: int = 0
    retain: tuple[str, ...] | None = None
    remove: tuple[str, ...] | None = None
    no_new_privileges: bool = False
    ignored: tuple[str, ...] = ()


def limits_of(isolators: Iterable[Isolator]) -> Limits:
    """The limits that ``isolators`` amount to; of two of one name the last counts.

    Raises:
        InvalidRequest: one is not what its name promises, or two contradict each other.
    """
    limits, ignored = Limits(), []
    for isolator in isolators:
        apply = _KNOWN.get(isolator.name)
        if apply is None:
            ignored.append(isolator.name)
            continue
        try:
            apply(limits, isolator.value)
        except (msgspec.ValidationError, InvalidRequest) as error:
            raise InvalidRequest(f"invalid isolator {isolator.name}: {error}") from None
    if limits.retain is not None and limits.remove is not None:
        raise InvalidRequest("invalid isolators: capabilities-retain-set and -remove-set together")
    limits.ignored = tuple(dict.fromkeys(ignored))
    return limits


def _memory(limits: Limits, value: Any) -> None:
    limits.memory = _limit(value, 1)


def _cpu(limits: Limits, value: Any) -> None:
    limits.nano_cpus = _limit(value, NANO)


def _limit(value: Any, unit: int) -> int:
    """The limit in ``value`` (0: none); what is requested, a least, is what the host has in any case."""
    resource = msgspec.convert(value, _Resource)
    if resource.request is not None:
        quantity(str(resource.request))
    return 0 if resource.limit is None else quantity(str(resource.limit), unit=unit)


def _retain(limits: Limits, value: Any) -> None:
    limits.retain = _capabilities(value)


def _remove(limits: Limits, value: Any) -> None:
    limits.remove = _capabilities(value)


def _capabilities(value: Any) -> tuple[str, ...]:
    names = msgspec.convert(value, _Set).set
    for name in names:
        if _CAPABILITY.fullmatch(name) is None:
            raise InvalidRequest(f"{name[:50]!r} is no capability")
    return tuple(dict.fromkeys(name.removeprefix("CAP_") for name in names))


def _no_new_privileges(limits: Limits, value: Any) -> None:
    limits.no_new_privileges = msgspec.convert(value, bool)


_KNOWN: Final[dict[str, Callable[[Limits, Any], None]]] = {
    "resource/memory": _memory,
    "resource/cpu": _cpu,
    "os/linux/capabilities-retain-set": _retain,
    "os/linux/capabilities-remove-set": _remove,
    "os/linux/no-new-privileges": _no_new_privileges,
}

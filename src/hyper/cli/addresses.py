"""A container's ports as docker prints them: ``0.0.0.0:8080->80/tcp, 443/tcp``."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any


def bracketed(ip: str) -> str:
    """An IP address for a text with a port: IPv6 in brackets, IPv4 as it is."""
    return f"[{ip}]" if ":" in ip else ip


def displayed(ports: Sequence[dict[str, Any]]) -> str:
    """The ``Ports`` of a listed container in one line; runs of ports are joined to ranges."""
    runs: list[list[Any]] = []
    for port in sorted(ports, key=_order):
        ip, public = port.get("IP", ""), port.get("PublicPort", 0)
        private, kind = port["PrivatePort"], port.get("Type", "tcp")
        last = runs[-1] if runs else None
        if last and last[0] == (ip, kind, bool(public)) and _follows(last, private, public):
            last[2], last[4] = private, public
        else:
            runs.append([(ip, kind, bool(public)), private, private, public, public])
    return ", ".join(_spell(*run) for run in runs)


def _order(port: dict[str, Any]) -> tuple[Any, ...]:
    public = port.get("PublicPort", 0)
    # Published ones first, an address at a time, so that runs are neighbours.
    return (not public, port.get("IP", ""), port.get("Type", "tcp"), port["PrivatePort"], public)


def _follows(run: list[Any], private: int, public: int) -> bool:
    return bool(private == run[2] + 1 and (not public or public == run[4] + 1))


def _spell(key: tuple[str, str, bool], first: int, last: int, low: int, high: int) -> str:
    ip, kind, published = key
    inside = _range(first, last)
    return (
        f"{bracketed(ip)}:{_range(low, high)}->{inside}/{kind}" if published else f"{inside}/{kind}"
    )


def _range(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"

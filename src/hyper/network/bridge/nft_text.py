"""Pieces of nft's text that all the daemon's tables are made of. Pure."""

from __future__ import annotations

from collections.abc import Iterable

#: The set and chain that hold a machine to its share of flows. After conntrack (priority -200) and before anything is
#: translated.
_FLOWS = """set keeping { type ADDRESSES; flags dynamic; size 65535; }
  chain flows {
    type filter hook prerouting priority mangle; policy accept;
    iifname @bridges ct status & confirmed == 0 add @keeping { FAMILY saddr ct count over COUNT } drop
  }"""
_ADDRESSES = {"ip": "ipv4_addr", "ip6": "ipv6_addr"}


def no_table(family: str, table: str) -> list[str]:
    """The text that removes a table. Repeatable. Fails where the kernel knows no tables of ``family``."""
    # Declared first: deleting what does not exist would fail.
    return [f"table {family} {table}", f"delete table {family} {table}"]


def add_elements(family: str, table: str, elements: Iterable[str]) -> list[str]:
    """The text that adds ``elements``, each ``SET { ELEMENT }``, to sets and maps of a table. Repeatable."""
    return [f"add element {family} {table} {element}" for element in elements]


def remove_elements(family: str, table: str, elements: Iterable[str]) -> list[str]:
    """The text that takes ``elements`` out of sets and maps of a table. Repeatable."""
    # Added first: deleting what does not exist would fail.
    return [
        f"{verb} element {family} {table} {element}"
        for element in elements
        for verb in ("add", "delete")
    ]


def limit_flows(family: str, count: int) -> str:
    """The part of a table by which the kernel keeps at most ``count`` flows of ``family`` for one machine at a time."""
    text = _FLOWS.replace("ADDRESSES", _ADDRESSES[family])
    return text.replace("FAMILY", family).replace("COUNT", str(count))

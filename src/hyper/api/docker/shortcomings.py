"""Shortcomings of this daemon where it runs, in plain words: the warnings of /info."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from hyper.engine.engine import Engine

_FIRST_FREE_PORT: Final = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")


async def shortcomings(engine: Engine) -> list[str]:
    """A sentence for each shortcoming, with its reason; empty when nothing is missing."""
    found = [] if engine.host.privileged else _without_root()
    found += engine.hypervisors.shortcomings()
    found += await engine.host.network_driver.shortcomings()
    return [f"WARNING: {text}" for text in found]  # clients print dockerd's as they come


def _without_root() -> list[str]:
    first = int(_FIRST_FREE_PORT.read_text())
    ports = [f"hyperd is not root: ports below {first} cannot be published"] if first else []
    return [
        "hyperd is not root: CPU limits are missing, and a machine's memory is bounded by its own size alone",
        *ports,
        "hyperd is not root: files in shared host directories and volumes belong to its user; other owners are refused",
    ]

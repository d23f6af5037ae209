"""Shortcomings of this daemon where it runs, in plain words: the warnings of /info."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from hyper.engine.engine import Engine
from hyper.engine.network.networks import INSIDE6
from hyper.network.bridge.fabric import foreign_obstacle
from hyper.network.user import addresses as user

_FIRST_FREE_PORT: Final = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
_NO_NETWORKS: Final = (
    "no networks but user networking: containers reach each other neither by name nor by address"
)


async def shortcomings(engine: Engine) -> list[str]:
    """A sentence for each shortcoming, with its reason; empty when nothing is missing."""
    found = [] if engine.host.privileged else _without_root()
    if engine.host.driver.unlimited:
        found.append(f"limits are incomplete: {'; '.join(engine.host.driver.unlimited)}")
    found += await _networks(engine)
    return [f"WARNING: {text}" for text in found]  # clients print dockerd's as they come


def _without_root() -> list[str]:
    first = int(_FIRST_FREE_PORT.read_text())
    ports = [f"hyperd is not root: ports below {first} cannot be published"] if first else []
    return [
        "hyperd is not root: CPU limits are missing, and a machine's memory is bounded by its own size alone",
        *ports,
        f"hyperd is not root: containers reach what listens on this host's loopback, at {user.GATEWAY}",
        "hyperd is not root: files in shared host directories and volumes belong to its user; other owners are refused",
    ]


async def _networks(engine: Engine) -> list[str]:
    wires = engine.host.wires
    if wires.networks.fabric is None:
        return [f"{wires.networks.why}: {_NO_NETWORKS}"]
    found = []
    if await foreign_obstacle():
        bridges = wires.networks.fabric.pattern
        found.append(
            "a dockerd on this host drops forwarded packets: containers reach nothing but the host. To let them: "
            f"iptables -I DOCKER-USER -i {bridges} -j ACCEPT; iptables -I DOCKER-USER -o {bridges} -j ACCEPT"
        )
    if wires.networks.fabric.obstacle6:
        found.append(f"{INSIDE6}: {wires.networks.fabric.obstacle6}")
    return [*found, *wires.warnings.values()]

"""The host as a router of IPv6, which goes on learning of routers itself.

A kernel that forwards IPv6 heeds no router advertisements, and forgets what it has learned from them: a host that has
its address and default route from a router would lose both. Cards that heed them only while nothing is forwarded
(``accept_ra`` 1) are therefore told first to heed them in any case (2), so nothing is different for them.

Source: linux/Documentation/networking/ip-sysctl.rst: "forwarding", "accept_ra".
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from hyper.errors import HyperError

_SETTINGS: Final = Path("/proc/sys/net/ipv6/conf")


def forward6(settings: Path = _SETTINGS) -> None:
    """The kernel forwards packets of IPv6, and heeds router advertisements where it did. Repeatable.

    Raises:
        HyperError: the host has no IPv6, or its settings cannot be changed.
    """
    every = settings / "all/forwarding"
    try:
        if _is(every, "1"):
            return
        for card in settings.iterdir():
            _keep_learning(card)
        every.write_text("1")
    except OSError as error:
        where = str(every).removeprefix("/proc/sys/")
        raise HyperError(
            f"cannot have the kernel forward IPv6 ({where}): {error.strerror}"
        ) from error


def _keep_learning(card: Path) -> None:
    # "default" is a card to come. "all" only says what is written to it, which nobody reads.
    if card.name == "all":
        return
    try:
        learns = _is(card / "accept_ra", "1") and _is(card / "forwarding", "0")
    except FileNotFoundError:  # a card that has gone
        return
    if learns:
        (card / "accept_ra").write_text("2")


def _is(path: Path, value: str) -> bool:
    return path.read_text().strip() == value

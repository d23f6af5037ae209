"""Names as a network driver that has name servers asks for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Protocol

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class View:
    """A guest's view of names: ``addresses`` of a lower-case name (None: not ours), and ``resolvers`` for the rest."""

    addresses: Callable[[str], list[Address] | None]
    name: Callable[[IPv4Address], str | None]
    resolvers: Sequence[str]


class Views(Protocol):
    """The views of all guests. Asked once for each question: what it answers may have changed since the last."""

    def __call__(self, network_id: str, client: IPv4Address) -> View | None:
        """The view of the guest that has the address ``client`` on a network; None: nobody has it."""
        ...

"""Cards of network drivers in the words of hypervisors: the one place where these meet."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from hyper.errors import Forbidden
from hyper.machine.abilities import TapNetworking, UserNetworking
from hyper.machine.driver import Driver
from hyper.machine.spec import Forward, Nic, TapNic, UserNic
from hyper.network import card
from hyper.network.card import Card, TapCard, UserCard

#: The ability of a hypervisor that each kind of card takes, by the words of network drivers.
_ABILITIES: Final[dict[str, type]] = {card.TAP: TapNetworking, card.USER: UserNetworking}
_KINDS: Final[dict[type[Nic], str]] = {TapNic: card.TAP, UserNic: card.USER}


def nic_of(card: Card) -> Nic:
    """The card as a machine is told of it."""
    match card:
        case TapCard():
            return TapNic(card.mac, card.fd)
        case UserCard():
            forwards = (
                Forward(item.protocol, item.host_address, item.host_port, item.guest_port)
                for item in card.forwards
            )
            return UserNic(card.mac, card.network, tuple(forwards))


def check_taken(driver: Driver, nics: Iterable[Nic]) -> None:
    """The hypervisor takes cards of these kinds.

    Raises:
        Forbidden: it takes none of one.
    """
    for nic in nics:
        check_kind(driver, _KINDS[type(nic)])


def check_kind(driver: Driver, kind: str) -> None:
    """The hypervisor takes cards of ``kind``: a word of network/card.py.

    Raises:
        Forbidden: it does not.
    """
    if not isinstance(driver, _ABILITIES[kind]):
        raise Forbidden(
            f"hypervisor {driver.name} does not take the cards of this daemon's networks",
            hint="say --network none, or choose another hypervisor",
        )

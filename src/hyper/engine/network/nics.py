"""Cards of network drivers in the words of hypervisors: the one place where these meet."""

from __future__ import annotations

from hyper.machine.spec import Forward, Nic, TapNic, UserNic
from hyper.network.card import Card, TapCard, UserCard


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

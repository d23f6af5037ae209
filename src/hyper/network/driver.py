"""The protocol of network drivers: how machines are connected. Each is held to tests/contract/network.py.

There are two: ``bridge`` has networks, on which machines reach each other; ``user`` gives each machine the hypervisor's
own network, without privilege, and says with ``why`` that it has no others. What CNI or an SDN would bring is a third.

A driver knows networks by their specs and holders of leases by their ids. It keeps nothing on disk: what is to be found
again by a later daemon is in the leases and specs, which whoever uses the driver keeps.
"""

from __future__ import annotations

from collections.abc import Collection, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from hyper.network.card import Card
from hyper.network.lease import (
    Endpoint,
    EndpointRequest,
    LeaseRequest,
    NetworkLease,
    Service,
    WhiteLists,
)
from hyper.network.spec import NetworkSpec


@dataclass(frozen=True, slots=True)
class GuestLink:
    """A network as its guests are told of it, beside their addresses."""

    mtu: int
    #: The address of the network's name server.
    nameserver: str
    #: That server knows the names of others on the network.
    names: bool
    #: Machines on the network reach each other by address.
    neighbours: bool


class Spawn(Protocol):
    """A way to have work done in the background, whose failure is logged under ``name``."""

    def __call__(self, work: Coroutine[Any, Any, None], *, name: str) -> Any:
        """``work`` has begun, or begins soon; ended when the daemon ends, at the latest."""
        ...


class NetworkDriver(Protocol):
    """A network driver. ``open`` before anything else, ``close`` at the end."""

    @property
    def why(self) -> str:
        """The reason why machines are on no networks but one of their own; "": they are on networks."""
        ...

    @property
    def card(self) -> str:
        """The kind of the cards it gives: a word of network/card.py."""
        ...

    # The daemon's start and end

    async def open(
        self, networks: Collection[NetworkSpec], leases: Collection[NetworkLease]
    ) -> None:
        """The driver knows the networks; ``leases``, whose machines may run, are held as an earlier daemon left them.

        The host has nothing else of an earlier daemon's. A port of the host that another program has taken meanwhile is
        lost, with a warning in the log.

        Fails, is cancelled: the host has nothing that this call made; what machines of ``leases`` need is not touched.

        Raises:
            HyperError: the host refuses.
        """
        ...

    async def close(self) -> None:
        """The host has nothing of this driver's any more, unless leases are held: then their machines go on.

        Repeatable, also after an ``open`` that failed. Not while a lease is being acquired.
        """
        ...

    async def settled(self) -> None:
        """All leases that were released until now, and ports that were unpublished, are gone from the host, too."""
        ...

    async def shortcomings(self) -> list[str]:
        """The shortcomings of networks on this host, a sentence each with its reason; empty: none."""
        ...

    # Networks

    def require_networks(self, what: str) -> None:
        """There are networks to be on.

        Raises:
            Forbidden: there are none (``why``); so ``what`` ("cannot …") is refused.
        """
        ...

    async def create(self, spec: NetworkSpec) -> tuple[NetworkSpec, str]:
        """The new network is known and up. Returned with the addresses it has got, and a warning ("": none).

        Fails, is cancelled: it is not known, and the host has nothing of it.

        Raises:
            Forbidden: it cannot be had here, or overlaps another.
            InvalidRequest: an option makes no sense.
            Conflict: its subnet is used for something else on this host.
            HyperError: the host refuses.
        """
        ...

    async def ensure(self, network_id: str) -> NetworkSpec:
        """A known network is up. It may have got another subnet, if the driver had chosen the one it had.

        Repeatable, and cheap if it is up. Fails, is cancelled: as before.

        Raises:
            Conflict: its subnet is used for something else on this host now.
            Forbidden: no subnet is free.
            HyperError: the host refuses.
        """
        ...

    async def remove(self, network_id: str) -> None:
        """The network, on which no lease is, is not known any more and not on the host. Repeatable.

        Raises:
            HyperError: the host refuses; it is not known any more all the same.
        """
        ...

    def link(self, network_id: str) -> GuestLink:
        """A known network as its guests are told of it."""
        ...

    # Leases

    def check_policy(self, white_lists: WhiteLists | None, services: Sequence[Service]) -> None:
        """The white lists and services can be had here.

        Raises:
            Forbidden: they cannot, and why.
        """
        ...

    def acquire(
        self, request: LeaseRequest, *, spare: str | None = None
    ) -> AbstractAsyncContextManager[NetworkLease]:
        """The lease that ``request`` asks for; the body launches the machine with its cards.

        ``spare``: the id of a spare card, which the machine has already: it becomes the lease's.

        After the body ``connected`` is done and the lease is held until it is released. Each endpoint is on a network
        that ``ensure`` was called for. What the holder released before is gone from the host first; what it still has
        is released.

        Fails, is cancelled, also in the body: the lease is released, as by ``release``, addresses and ports are free.
        A spare card that was taken over is gone with it.

        Raises:
            Conflict: an address or a port is in use, or a service cannot be had there.
            Forbidden: ``check_policy`` refuses, or a port needs privilege.
            InvalidRequest: an address is not one of the network's, or of the host's.
            HyperError: the host refuses.
        """
        ...

    def release(self, holder: str) -> None:
        """The holder's lease is released, its machine is gone: addresses and ports are free at once.

        Rules and devices of the host go in the background (``settled``), and failures are logged. Does not wait and
        does not fail. Repeatable, also for a holder that has no lease.
        """
        ...

    def unpublish(self, holder: str) -> None:
        """The ports of the host that the holder has are free, as far as they can be while its machine still runs.

        As ``release`` in all else: it does not wait or fail, is repeatable, and rules go in the background.
        """
        ...

    async def connect(self, holder: str, request: EndpointRequest) -> Endpoint:
        """The holder's lease, whose machine runs, has one more endpoint; the guest knows nothing of it yet.

        Fails, is cancelled: the lease is as before.

        Raises:
            Forbidden: there are no networks to join here.
            Conflict: the address is in use, or in the way of one of the holder's services.
            HyperError: the host refuses.
        """
        ...

    async def disconnect(self, holder: str, network_id: str) -> None:
        """The holder's lease has no endpoint on the network: its machine does not reach it any more. Repeatable.

        Fails, is cancelled: the lease has none there all the same, and its address is free; rules may be left.

        Raises:
            Forbidden: there are no networks to leave here.
            HyperError: the host refuses.
        """
        ...

    # Cards before their holder is known

    def spare_kind(self, request: LeaseRequest) -> str | None:
        """The kind of spare card that would do for ``request``; None: none would, it takes a card made for it."""
        ...

    def spare(self, id: str) -> AbstractAsyncContextManager[Card]:
        """A spare card, for a machine that is nobody's yet: no packet of it leads anywhere.

        After the body it is gone, unless a lease has taken it over. ``id``: no other spare card has it.

        Raises:
            HyperError: the host refuses.
        """
        ...

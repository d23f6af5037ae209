"""Flows that the kernel translates, forgotten when what they lead to has changed."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence

from hyper.errors import HyperError
from hyper.network.bridge.rules import Publication
from hyper.system import conntrack

logger = logging.getLogger(__name__)


async def forget_published(changed: Collection[Publication]) -> None:
    """The flows of datagrams to changed ports are forgotten: the next go where the ports lead now.

    However long a client has been sending them. What a TCP client sends to a machine that is gone means nothing to
    another one, and ends with it (``forget_addresses``).
    """
    datagrams = [item for item in changed if item.protocol == "udp"]
    await _forget(
        [conntrack.to_port(item.protocol, item.host, item.host_port) for item in datagrams]
    )


async def forget_addresses(addresses: Collection[conntrack.Address]) -> None:
    """The flows of machines that had these addresses are forgotten."""
    await _forget([flows for address in addresses for flows in conntrack.of(address)])


async def _forget(wanted: Sequence[conntrack.Flows]) -> None:
    try:
        await conntrack.forget(wanted)
    except HyperError as error:
        # They end by themselves, if only when nobody has sent anything for a while.
        logger.warning("%s", error.message)

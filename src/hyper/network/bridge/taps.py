"""TAPs of machines on bridges, and this daemon's descriptors of them."""

from __future__ import annotations

import asyncio
import os

from hyper.errors import HyperError
from hyper.system import link, tun


def obstacle() -> str | None:
    """The reason why this process can make no TAPs, so has no bridged networks; None if it can."""
    if os.geteuid() != 0:
        return "hyperd is not root"
    name = f"ht-probe{os.getpid() % 10_000_000}"
    try:
        os.close(tun.open_tap(name))
    except HyperError as error:
        return error.message
    return None


class Taps:
    """The TAPs that this process has a descriptor of."""

    def __init__(self) -> None:
        self._held: dict[str, int] = {}

    def make(self, name: str) -> int:
        """A new TAP: a descriptor for the machine, ours until ``let_go``.

        Ours stays open while the machine runs: to close the last one takes the kernel 15 ms, which would be part of
        every machine's end.

        Raises:
            HyperError: the TAP cannot be made.
        """
        fd = self._held[name] = tun.open_tap(name)
        return fd

    async def let_go(self, name: str) -> None:
        """The TAP ``name`` is not held by us any more, if it was: without a machine it is gone."""
        fd = self._held.pop(name, None)
        if fd is not None:
            await asyncio.to_thread(os.close, fd)

    def rename(self, old: str, name: str) -> None:
        """The TAP ``old``, which must be down, is called ``name``: it has got its machine.

        Raises:
            HyperError: there is no such TAP, or it cannot be renamed.
        """
        link.rename(old, name)
        self._held[name] = self._held.pop(old)

    async def let_go_of_all(self) -> None:
        """No TAP is held."""
        for name in list(self._held):
            await self.let_go(name)

"""Carriage of a carrier to a machine whose streams are in a rush, and back when they rest.

A disk costs the machine some milliseconds to come and the host its memory while it is there: short streams do without.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Final

from hyper.errors import HyperError
from hyper.guest.carrier import Carrier
from hyper.guest.session import Session, checked
from hyper.machine.abilities import HotplugDisks
from hyper.machine.spec import Disk, FileBlocks
from hyper.proto.limits import CARRIER_SIZE
from hyper.proto.message import CarrierChange
from hyper.system import memfd

logger = logging.getLogger(__name__)

#: The disk's name in the machine.
DISK: Final = "hyper.carrier"
#: A carrier that nothing went by for so long is taken back.
REST_S: Final = 2.0


class Carriage:
    """The carriage of one machine's carrier. The carrier comes by itself; ``end`` before the machine is let go of."""

    def __init__(self, machine: HotplugDisks, session: Session, name: str) -> None:
        self._machine = machine
        self._session = session
        self._name = name
        self._task: asyncio.Task[None] | None = None
        session.on_rush = self._wanted

    def _wanted(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._serve(), name=f"carrier of {self._name}")

    async def end(self) -> None:
        """The carrier comes and goes no more. One there stays until the machine's next daemon finds it in its way."""
        self._session.on_rush = _not_again
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _serve(self) -> None:
        """The carrier, from its coming to its going. After a failure there is no other one."""
        try:
            await self._bring()
        except (HyperError, OSError) as error:
            self._session.on_rush = _not_again
            if not self._session.closed.done():
                logger.info("machine %s has no carrier: %s", self._name, error)
        else:
            self._task = None

    async def _bring(self) -> None:
        fd = memfd.create("hyper-carrier", CARRIER_SIZE)
        carrier = Carrier(fd)
        try:
            memfd.fix_size(fd)
            # An earlier daemon may have left one.
            await self._machine.remove_disk(DISK)
            await self._machine.add_disks(
                Disk(DISK, FileBlocks(Path(f"/proc/self/fd/{fd}")), read_only=False)
            )
            try:
                await self._use(carrier)
            finally:
                await self._machine.remove_disk(DISK)
        finally:
            carrier.close()

    async def _use(self, carrier: Carrier) -> None:
        session = self._session
        asked = session.post(CarrierChange(DISK))
        session.carrier_in = carrier
        try:
            checked(await asked)
            session.carrier = carrier
            logger.debug("machine %s has a carrier", self._name)
            seen = -1
            while seen != carrier.uses and not session.closed.done():
                seen = carrier.uses
                await asyncio.wait([session.closed], timeout=REST_S)
            session.carrier = None
            checked(await session.post(CarrierChange("")))
            logger.debug("machine %s has given its carrier back", self._name)
        finally:
            session.carrier = session.carrier_in = None


def _not_again() -> None:
    """The callback after which no carrier comes."""

"""A machine that finds the host's disk full stands still, and goes on once there is room: no write is lost.

Source: qemu(1), werror=enospc (the default); QEMU QMP Reference Manual, BLOCK_IO_ERROR, RunState.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

from hyper.errors import MachineError
from hyper.machine.qemu.qmp import Monitor

#: How often a machine tries to go on: as long as it may take to see that there is room.
RETRY_S: Final = 2.0
#: Its state as query-status tells it.
STATE: Final = "io-error"

log = logging.getLogger(__name__)


class FullDisk:
    """The watch over one machine's failed writes. Close it."""

    def __init__(self, name: str, monitor: Monitor) -> None:
        self._name = name
        self._monitor = monitor
        self._waiting: asyncio.Task[None] | None = None
        monitor.on_event("BLOCK_IO_ERROR", self._told)

    def _told(self, data: dict[str, Any]) -> None:
        if data.get("action") == "stop":
            self.stands_still()

    def stands_still(self) -> None:
        """The machine has been stopped by a failed write: it goes on when that write can be made."""
        if self._waiting is None or self._waiting.done():
            log.error(
                "machine %s stands still: the host's disk is full; it goes on once there is room",
                self._name,
            )
            self._waiting = asyncio.get_running_loop().create_task(
                self._wait(), name=f"room for machine {self._name}"
            )

    async def _wait(self) -> None:
        try:
            while await self._stopped():
                await self._monitor.execute("cont")  # it makes the write again
                await asyncio.sleep(RETRY_S)
        except MachineError as error:
            log.debug("machine %s does not wait for room any more: %s", self._name, error)
            return
        log.warning("machine %s goes on: the host's disk has room again", self._name)

    async def _stopped(self) -> bool:
        answer = await self._monitor.execute("query-status")
        return isinstance(answer, dict) and answer.get("status") == STATE

    def close(self) -> None:
        """The machine is not watched over any more."""
        if self._waiting is not None:
            self._waiting.cancel()

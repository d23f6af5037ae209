"""A machine run by QEMU: what its process, its three sockets and its control group are used for."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from hyper.errors import MachineError, reason
from hyper.machine.abilities import OpenMachine, SharingMachine
from hyper.machine.driver import MachineExit, MachineRecord, MachineStats, P
from hyper.machine.process import share, state
from hyper.machine.process.console import Console
from hyper.machine.process.inventory import Inventory
from hyper.machine.process.share import ShareServer
from hyper.machine.process.state import RECORD_FILE
from hyper.machine.qemu import full_disk, hotplug, saving
from hyper.machine.qemu.confinement import running_limits
from hyper.machine.qemu.full_disk import FullDisk
from hyper.machine.qemu.qmp import Monitor
from hyper.machine.qemu.state import QemuState
from hyper.machine.spec import Disk, Limits
from hyper.system import affinity, pidfd
from hyper.system import socket as sockets
from hyper.system.cgroup import Group
from hyper.system.pidfd import Pidfd
from hyper.system.process import Process
from hyper.system.uninterrupted import uninterrupted

AGENT_SOCKET, MONITOR_SOCKET, CONSOLE_SOCKET = "agent.sock", "qmp.sock", "console.sock"
#: How long after its server of shared files a machine may be seen to end by itself.
_SHARE_GRACE_S = 1.0
_LOST = "the server of its shared files (virtiofsd) ended"
SOCKETS = (AGENT_SOCKET, MONITOR_SOCKET, CONSOLE_SOCKET)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts that a machine object takes over. ``outer`` is None when the process is not our child."""

    process: Pidfd
    outer: Process | None
    group: Group
    monitor: Monitor
    console: Console | None
    share: ShareServer | None = None
    inventory: Inventory | None = None


class QemuMachine(OpenMachine, SharingMachine):
    """A machine run by QEMU; all of QEMU's can do what an open one can."""

    def __init__(self, record: MachineRecord, parts: Parts) -> None:
        self._record = record
        self._parts = parts
        self._state = QemuState.of(record)
        self._run_dir = Path(self._state.run_dir)
        self._closed = False
        self._full_disk = FullDisk(record.name, parts.monitor)
        self._exit: asyncio.Future[MachineExit] = asyncio.get_running_loop().create_future()
        # Of a child, bubblewrap's process is watched: it knows the status, and ends after the machine.
        if parts.outer is None:
            parts.process.on_exit(lambda: self._ended(None))
        else:
            parts.outer.on_exit(self._ended)
        self._cause = ""
        self._alone: asyncio.TimerHandle | None = None
        self._lost = ""
        self._on_lost: Callable[[str], None] | None = None
        if parts.share is not None:
            parts.share.on_exit(self._share_ended)
        elif share.is_lost(self._run_dir):
            self._lost = _LOST

    @property
    def record(self) -> MachineRecord:
        """The driver state to keep, by which the machine is found again."""
        return self._record

    async def connect(self, make: Callable[[], P], /) -> P:
        """The protocol that ``make`` made, at one end of a new stream to the agent.

        Raises:
            MachineError: the machine is gone.
        """
        try:
            sock = sockets.connect(self._run_dir / AGENT_SOCKET)
        except OSError as error:
            message = f"machine {self._record.name} has no agent stream: {error.strerror}"
            raise MachineError(message, console=self.console_tail()) from error
        _, protocol = await asyncio.get_running_loop().create_connection(make, sock=sock)
        return protocol

    def reachable(self) -> bool:
        """Whether the machine's sockets are where they were made."""
        return all((self._run_dir / name).exists() for name in (AGENT_SOCKET, MONITOR_SOCKET))

    async def wait(self) -> MachineExit:
        """Return once the process has ended."""
        return await asyncio.shield(self._exit)

    async def kill(self) -> None:
        """End the machine at once; process, sockets and control group are gone on return, even if this is cancelled.

        Repeatable, and wanted after the machine's own end too: that leaves sockets and group.
        """
        await uninterrupted(self._kill())

    async def _kill(self) -> None:
        await _end(self._state)
        await share.end(self._run_dir)
        if not self._closed:
            await self.wait()
        elif self._parts.outer is not None:
            await self._parts.outer.wait()
        if self._parts.share is not None and self._parts.share.outer is not None:
            await self._parts.share.outer.wait()
        await self.close()
        self._parts.group.remove()
        if self._parts.inventory is not None:
            self._parts.inventory.remove(self._record)
        for name in (*SOCKETS, RECORD_FILE):  # the record last: by it the rest is found
            (self._run_dir / name).unlink(missing_ok=True)

    async def pause(self) -> None:
        """Stop the machine's vCPUs."""
        await self._parts.monitor.execute("stop")

    async def resume(self) -> None:
        """Let the machine's vCPUs go on."""
        await self._parts.monitor.execute("cont")

    async def limit(self, limits: Limits) -> None:
        """The machine is held to ``limits`` from now on.

        Raises:
            MachineError: it has ended, or the host refused.
        """
        try:
            self._parts.group.limit(running_limits(limits))
            affinity.set_all(self._state.pid, limits.cpu_set)
        except OSError as error:
            raise MachineError(
                f"cannot limit machine {self._record.name}: {reason(error)}"
            ) from error

    async def paused(self) -> bool:
        """Whether the machine's vCPUs were stopped by ``pause``.

        Raises:
            MachineError: it has ended, or does not answer.
        """
        answer = await self._parts.monitor.execute("query-status")
        status = answer.get("status") if isinstance(answer, dict) else None
        if status == full_disk.STATE:  # since before it was found again
            self._full_disk.stands_still()
        return status == "paused"

    async def add_disks(self, *disks: Disk) -> None:
        """The guest finds ``disks`` when it looks for them.

        Raises:
            Conflict: it has one of such a name, or too many.
            MachineError: it has ended, or refuses.
        """
        await hotplug.add(self._parts.monitor, disks, self._state.slots)

    async def remove_disk(self, name: str) -> None:
        """The machine has no added disk ``name`` any more.

        Raises:
            MachineError: it has ended, or refuses.
        """
        await hotplug.remove(self._parts.monitor, name, self._state.slots)

    async def save(self, state_fd: int) -> None:
        """The machine's device state is in ``state_fd``; it stays stopped.

        Raises:
            MachineError: it has ended, or refuses.
        """
        await saving.save(self._parts.monitor, state_fd)

    def move(self, run_dir: Path) -> None:
        """The machine's folder is ``run_dir``. Raises: OSError."""
        self._run_dir.rename(run_dir)
        self._run_dir = run_dir
        self._state = replace(self._state, run_dir=str(run_dir))
        self._record = self._state.kept_in(self._record)
        self._parts.monitor.move(run_dir / MONITOR_SOCKET)
        state.save(self._record, run_dir)

    def on_share_lost(self, callback: Callable[[str], None]) -> None:
        """Call ``callback`` from the loop with the reason once the file server has ended and the machine goes on."""
        self._on_lost = callback
        if self._lost:
            asyncio.get_running_loop().call_soon(callback, self._lost)

    def fail(self, cause: str) -> None:
        """End the machine at once; its exit tells ``cause``."""
        if not self._exit.done():
            self._cause = cause
            self._parts.process.send(signal.SIGKILL)

    async def stats(self) -> MachineStats:
        """The resources of the host that the machine uses now.

        Raises:
            MachineError: it has ended.
        """
        try:
            used = pidfd.usage(self._state.pid)
        except ProcessLookupError:
            raise MachineError(f"machine {self._record.name} has ended") from None
        return MachineStats(
            cpu_ns=used.cpu_ns, resident_bytes=used.resident_bytes, vcpus=self._record.vcpus
        )

    def console_tail(self) -> str:
        """The last lines of the machine's console."""
        console = self._parts.console
        return "" if console is None else console.text()

    async def close(self) -> None:
        """Let go of this object's sockets; it is of no use any more. The machine itself goes on: attach again."""
        self._closed = True
        if self._alone is not None:
            self._alone.cancel()
        if self._parts.share is not None:
            self._parts.share.close()
        self._full_disk.close()
        await self._parts.monitor.close()
        if self._parts.console is not None:
            self._parts.console.close()
        self._parts.process.close()

    def _share_ended(self) -> None:
        # It ends with its machine, whose own end may not have been seen yet: only one that leaves it alone has failed.
        loop = asyncio.get_running_loop()
        self._alone = loop.call_later(_SHARE_GRACE_S, self._share_is_lost)

    def _share_is_lost(self) -> None:
        """The share is lost: accesses hang until a callback tells the guest; without one the machine is ended."""
        if self._exit.done():
            return
        assert self._parts.share is not None
        words = self._parts.share.last_words()
        self._lost = f"{_LOST}: {words}" if words else _LOST
        if self._on_lost is None:
            self.fail(self._lost)
        else:
            self._on_lost(self._lost)

    def _ended(self, status: int | None) -> None:
        outer, console = self._parts.outer, self._parts.console
        ended = MachineExit(
            status=status,
            stderr="" if outer is None else outer.stderr_tail(),
            console="" if console is None else console.drain(),
            cause=self._cause,
        )
        if not self._exit.done():
            # What a guest said before it was ended is of use to whoever asks why a test of it failed.
            said = f"; the end of its console:\n{ended.console}" if ended.console else ""
            log.debug("machine %s has ended%s", self._record.name, said)
            self._exit.set_result(ended)


async def _end(process: QemuState) -> None:
    # Held anew: our own descriptor is gone if we were closed.
    held = process.open()
    if held is None:
        return
    try:
        held.send(signal.SIGKILL)
        await held.wait()
    finally:
        held.close()


def connect_console(run_dir: Path) -> Console | None:
    """The console of a running machine; None when another client holds it or the machine is gone."""
    with contextlib.suppress(OSError):
        return Console(sockets.connect(run_dir / CONSOLE_SOCKET))
    return None

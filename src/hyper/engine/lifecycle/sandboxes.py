"""Sandboxes as the engine keeps them: launched, joined, found again and ended; one record each.

A sandbox is in the store from the moment its machine exists until the machine is gone. Containers look down at it; what
it has to tell them it tells occupants, of which it knows no more than this module says.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from msgspec import structs

from hyper.engine.record.container import ContainerRecord
from hyper.engine.record.container_spec import MachineSize
from hyper.engine.record.lead import Lead
from hyper.engine.record.sandbox import Kind, Placement, SandboxRecord
from hyper.engine.store import Store
from hyper.errors import HyperError
from hyper.guest.process import GuestProcess
from hyper.machine.driver import MachineRecord
from hyper.machine.drivers import Drivers
from hyper.sandbox.pool import PooledMachine
from hyper.sandbox.sandbox import Joining, Plan, Sandbox, Started
from hyper.sandbox.starter import Starter
from hyper.sandbox.timeline import Timeline

logger = logging.getLogger(__name__)

#: How long the agent of a running machine may take to start one more container.
_JOIN_TIMEOUT_S: Final = 60.0


class Occupant(Protocol):
    """A container in a sandbox, as the sandbox and the other containers there know it."""

    @property
    def record(self) -> ContainerRecord:
        """The container's record."""

    async def end_with_sandbox(self) -> None:
        """The container's program has ended: asked to, then made to, since the machine is about to end."""

    async def settled(self) -> None:
        """The container has left the sandbox."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a container: the sandbox it is in, its placement there, and its program."""

    kept: KeptSandbox
    sandbox: Sandbox
    placement: Placement
    program: GuestProcess

    @property
    def joined(self) -> bool:
        """Whether the machine is another container's."""
        return self.placement.joined


class KeptSandbox:
    """A sandbox with its record, from before its machine is launched until that is gone. Made by Sandboxes."""

    def __init__(
        self, record: SandboxRecord, sandboxes: Sandboxes, lead: Lead | None = None
    ) -> None:
        self.record = record
        #: Whose network, share and size the machine has; None: not known yet to this daemon, or it is no more.
        self.lead = lead
        #: The machine and the session with its agent; None: not launched yet, or it has not answered this daemon.
        self.sandbox: Sandbox | None = None
        self._sandboxes = sandboxes
        self._occupants: dict[str, Occupant] = {}

    @property
    def run_dir(self) -> Path:
        """The folder of the machine's sockets."""
        return self._sandboxes.run_dir(self.record.id)

    def placement(self, container_id: str) -> Placement:
        """The placement of a container; the first one's if the record has none."""
        return self.record.members.get(container_id, Placement())

    # Launch

    async def launch(
        self,
        plan: Plan,
        *,
        member: str,
        timeline: Timeline,
        pooled: PooledMachine | None = None,
        again: bool = True,
    ) -> Started:
        """The machine with the program of its first container, whose id is ``member``; kept as soon as it exists.

        ``pooled``, ``again``: as for Starter.launch.

        Raises:
            MachineError, GuestError: as Sandbox.launch; no machine runs then, and the caller forgets the sandbox.
        """
        spec = plan.spec
        self.record.size = MachineSize(spec.vcpus, spec.memory_mib)
        self.record.members = {member: Placement()}
        started = await self._sandboxes.starter.launch(
            plan, made=self._made, timeline=timeline, pooled=pooled, again=again
        )
        self.sandbox = started.sandbox
        return started

    def _made(self, machine: MachineRecord) -> None:
        self.record.machine = machine
        self._sandboxes.store.save_sandbox(self.record)

    # More containers

    def place(self) -> Placement:
        """The placement of one more container in the running machine, which no other has had."""
        assert self.sandbox is not None
        return Placement(self.sandbox.new_container(), self.sandbox.new_process())

    async def join(self, container_id: str, placement: Placement, todo: Joining) -> Started:
        """The container runs in the machine, beside those that are there; its placement is kept before it comes.

        Raises:
            As Sandbox.join; nothing of it is left here then.
        """
        assert self.sandbox is not None
        disks = tuple(disk.name for disk in todo.disks)
        # First: a daemon killed now must know what to take away.
        self.record.members[container_id] = structs.replace(placement, disks=disks)
        try:
            self._sandboxes.store.save_sandbox(self.record)
            return await self.sandbox.join(todo, timeout_s=_JOIN_TIMEOUT_S)
        except BaseException:
            self._displace(container_id)
            raise

    async def part(self, container_id: str) -> None:
        """The container, whose program has ended, has left nothing in the machine, which goes on."""
        placement = self.placement(container_id)
        if self.sandbox is not None:
            self.sandbox.session.forget(placement.process)
            await self.sandbox.part(placement.container, placement.disks)

    def _displace(self, container_id: str) -> None:
        self.record.members.pop(container_id, None)
        if self._sandboxes.of_id(self.record.id) is self:  # else the machine is gone, too
            self._sandboxes.try_save(self.record)

    # Occupants

    def enter(self, occupant: Occupant) -> None:
        """The container ``occupant`` runs here."""
        self._occupants[occupant.record.id] = occupant

    def leave(self, occupant: Occupant, *, last: bool) -> None:
        """The container ``occupant`` is here no more; ``last``: the machine was its own, and is gone with it."""
        self._occupants.pop(occupant.record.id, None)
        if last:
            self.forget()
        else:
            self._displace(occupant.record.id)

    def others(self, occupant: Occupant | None) -> list[Occupant]:
        """The containers that run here beside ``occupant``; None: all."""
        return [item for item in self._occupants.values() if item is not occupant]

    async def end_others(self, occupant: Occupant | None) -> None:
        """The programs of the other containers have ended, and these have left."""
        await asyncio.gather(*(item.end_with_sandbox() for item in self.others(occupant)))

    async def others_left(self, occupant: Occupant | None) -> None:
        """The other containers have left: also those that were lost with the machine, or came while it ended."""
        await asyncio.gather(*(item.settled() for item in self.others(occupant)))

    # End

    def forget(self) -> None:
        """The sandbox is kept no more: its machine is gone, or was never made."""
        self.sandbox = None
        self._sandboxes.forget(self)

    async def kill(self) -> None:
        """The machine is gone, whether it would answer or not."""
        if self.record.machine is not None:
            await Sandbox.end(self._sandboxes.drivers, self.record.machine)


class Sandboxes:
    """The sandboxes of this daemon, by id. ``open`` before use."""

    def __init__(self, store: Store, drivers: Drivers, starter: Starter, exec_root: Path) -> None:
        self.store = store
        self.drivers = drivers
        self.starter = starter
        self._exec_root = exec_root
        self._by_id: dict[str, KeptSandbox] = {}

    def __iter__(self) -> Iterator[KeptSandbox]:
        """All sandboxes, in no particular order; they may change meanwhile."""
        return iter(list(self._by_id.values()))

    def any(self) -> bool:
        """Whether there is a sandbox."""
        return bool(self._by_id)

    async def open(self) -> None:
        """The sandboxes that an earlier daemon left are known; their machines are still to be found.

        What else it left is gone: killed between a launch and keeping its record, it left a machine nobody knows.
        """
        for record in self.store.sandboxes():
            self._by_id[record.id] = KeptSandbox(record, self)
        await self.drivers.recover(self.machines())
        known = {self.run_dir(id) for id in self._by_id}
        for folder in await asyncio.to_thread(_folders, self._exec_root / "vm"):
            if folder not in known:
                await self._clear(folder)

    async def _clear(self, folder: Path) -> None:
        """The folder is gone with the machine that was launched with it; both stay if that cannot be said."""
        try:
            await self.drivers.clear(folder)
        except HyperError as error:
            logger.warning("a machine of %s may run: %s", folder, error.message)
        else:
            shutil.rmtree(folder, ignore_errors=True)

    def of_id(self, id: str) -> KeptSandbox | None:
        """The sandbox of an id; None: there is none."""
        return self._by_id.get(id)

    def begin(self, id: str, kind: Kind, lead: Lead) -> KeptSandbox:
        """A new sandbox for ``lead``, whose machine is still to be launched; its folder is there.

        Raises:
            OSError: the folder cannot be made.
        """
        made = KeptSandbox(SandboxRecord(id, kind, lead.identity), self, lead)
        made.run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._by_id[id] = made
        return made

    def run_dir(self, id: str) -> Path:
        """The folder of a running machine's sockets; short, since socket paths must be < 108 bytes."""
        return self._exec_root / "vm" / id[:16]

    def machines(self) -> list[MachineRecord]:
        """The machines of all sandboxes, whether they run still or not."""
        return [item.record.machine for item in self if item.record.machine is not None]

    def uids(self) -> set[int]:
        """The users that machines of sandboxes run as."""
        return {machine.uid for machine in self.machines() if machine.uid is not None}

    def try_save(self, record: SandboxRecord) -> None:
        """The record is on disk if that is possible now (disk full: with the next change)."""
        try:
            self.store.save_sandbox(record)
        except HyperError as error:
            logger.error("sandbox %s: its state was not kept: %s", record.id[:12], error)

    def forget(self, kept: KeptSandbox) -> None:
        """The sandbox, which has no machine, is in no table any more, and its folder is gone."""
        record = kept.record
        if self._by_id.get(record.id) is kept:
            del self._by_id[record.id]
        if record.machine is not None:
            # Should that fail, the next daemon looks for the machine, and does not find it.
            try:
                self.store.delete_sandbox(record.id)
            except HyperError as error:
                logger.error("sandbox %s: its end was not kept: %s", record.id[:12], error)
        shutil.rmtree(self.run_dir(record.id), ignore_errors=True)


def _folders(parent: Path) -> list[Path]:
    return [item for item in parent.iterdir() if item.is_dir()] if parent.exists() else []

"""Containers that have volumes in running machines, and who may have one beside them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from hyper.engine.record.lead import Lead
from hyper.engine.record.mount import VOLUME, MountPoint
from hyper.errors import Conflict


@dataclass(frozen=True, slots=True)
class _Holder:
    """A running container that has a volume."""

    record: Lead
    read_only: bool


class Holders:
    """The volumes that running machines have, each with its containers."""

    def __init__(self) -> None:
        #: {volume: {container: its holder}}
        self._holders: dict[str, dict[str, _Holder]] = {}
        #: Containers whose program has ended and whose machine will soon.
        self._ending: dict[str, asyncio.Event] = {}

    def claim(self, record: Lead, point: MountPoint, *, exclusive: bool, filled: bool) -> None:
        """The container has the volume of ``point``; ``exclusive``: one that writes to it has it alone.

        What has not been ``filled`` yet is written to by those that only read it.

        Raises:
            Conflict: a container of another machine has it (the error says how to make one that several can have).
        """
        holders = self._holders.get(point.volume, {})
        others = [holder for key, holder in holders.items() if key != record.id]
        reading = point.read_only and filled and all(it.read_only for it in others)
        if others and exclusive and not reading:
            raise _held(point.volume, others[0].record)
        self.hold(record, point)

    def hold(self, record: Lead, point: MountPoint) -> None:
        """The container has the volume of ``point``, whoever else has it."""
        holders = self._holders.setdefault(point.volume, {})
        held = holders.get(record.id)
        read_only = point.read_only and (held is None or held.read_only)
        holders[record.id] = _Holder(record, read_only)

    def only_reads(self, record: Lead, volume: str) -> bool:
        """Whether no mount of the container, which has the volume, writes to it."""
        return self._holders[volume][record.id].read_only

    def free(self, record: Lead) -> bool:
        """The container has no volumes any more; whether it had any."""
        had = False
        for name in {point.volume for point in record.mounts if point.kind == VOLUME}:
            had |= self._holders.get(name, {}).pop(record.id, None) is not None
            if not self._holders.get(name):
                self._holders.pop(name, None)
        return had

    def ending(self, record: Lead) -> None:
        """The container's program has ended: ``ended`` waits for its machine's end."""
        self._ending.setdefault(record.id, asyncio.Event())

    def gone(self, record: Lead) -> None:
        """The machine of the container has ended."""
        if (ended := self._ending.pop(record.id, None)) is not None:
            ended.set()

    async def ended(self, record: Lead, volumes: Iterable[str]) -> None:
        """No other container has one of ``volumes`` in a machine that is only being ended."""
        for name in volumes:
            for holder in list(self._holders.get(name, ())):
                if holder != record.id and holder in self._ending:
                    await self._ending[holder].wait()


def _held(volume: str, holder: Lead) -> Conflict:
    """The error that names the container with the volume, and tells how to make one that several can have."""
    new = f"{volume}-shared"
    return Conflict(
        f"volume {volume} is in use by the running container {holder.name} ({holder.id[:12]}): "
        "it is an image, which one virtual machine at a time can have",
        hint=f"stop that container; to share the files, copy them once: docker volume create -o type=directory {new}; "
        f"docker run --rm -v {volume}:/from:ro -v {new}:/to IMAGE cp -a /from/. /to",
    )

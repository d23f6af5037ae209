"""Abilities: what only some hypervisors can do, asked for by type: ``isinstance(machine, HotplugDisks)``.

A class of a driver or of its machines names its abilities among its bases: that is a promise, which a class that only
happens to have methods of these names does not make; some have no method at all, and say what ``launch`` takes.
tests/contract/ has a suite for each. Not here, because nobody does them yet: snapshots (a machine saved for its user,
and restored) and migration (a machine sent to another host) will be two more, beside `Templates`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path

from hyper.machine.driver import Driver, Machine
from hyper.machine.spec import Disk, MachineSpec
from hyper.machine.template import Card, Memory, Slot, TemplateTerms


class HotplugDisks(ABC):
    """The ability of a machine to get and to lose disks while it runs, paused ones and those found again included.

    Sandboxes have it for further containers (`docker run --network container:X`, pods) and for carriers.

    *Order*: one call at a time a machine; the caller sees to that. *Failed*: ``add_disks`` has added those before the
    one it failed at, and nothing of that one; ``remove_disk`` may have taken the disk from the guest and not closed its
    file: calling it again goes on from there. *Cancelled*: as if it had failed, at any of them; ``remove_disk`` of each
    name puts it right. *Twice*: adding a name again is a Conflict, removing it again is no error.
    """

    @abstractmethod
    async def add_disks(self, *disks: Disk) -> None:
        """The guest finds ``disks`` by their names when it looks for them, after what the machine was made with.

        One that has the name of an empty slot (see `Templates`) is there, and must be read-only if the slot is.

        Raises:
            Conflict: it has an added disk of such a name, or too many.
            MachineError: a file cannot be opened; the machine has ended, or refuses.
        """

    @abstractmethod
    async def remove_disk(self, name: str) -> None:
        """The machine has no added disk ``name`` (any more), and its file is closed, whatever the guest does.

        Raises:
            MachineError: it has ended, or refuses.
        """


class SharedFolders:
    """The ability of a driver to show machines folders and files of this host: ``launch`` takes ``spec.shared``.

    The guest mounts SHARE_TAG as SHARE_FILE_SYSTEM and finds the first path there as ``0``, the next as ``1``… A
    hypervisor with another file system (Xen's is 9p) will have to say so: this is the one that the agent is told now.

    Its machines that share are `SharingMachine`. *Failed or cancelled*: with the launch; nothing is left that serves.
    """


class SharingMachine(ABC):
    """The ability of a machine to tell of the end of its shared folders' server, and to be ended for it.

    A server that ends takes no machine along by itself. The guest hangs at each access to the share until it is told
    (ShareLost), which is the caller's to do; without a callback the driver ends the machine.

    *Twice*: the last callback counts; ``fail`` of a machine that has ended does nothing. Neither waits or raises.
    """

    @abstractmethod
    def on_share_lost(self, callback: Callable[[str], None]) -> None:
        """Call ``callback`` from the loop with the reason, once the server has ended and the machine goes on.

        Also if that was so before. Of a machine without shared folders: never.
        """

    @abstractmethod
    def fail(self, cause: str) -> None:
        """End the machine at once; its exit tells ``cause``. Does not wait."""


class UserNetworking:
    """The ability of a driver to connect machines by itself, without privilege: ``launch`` takes `UserNic`.

    A guest's network is ``UserNic.network``: its second address leads to the host and beyond, the third is a
    name server, the fifteenth the guest's own (network/user/addresses.py). Forwards are bound when the machine
    is made, and only then. *Failed*: a port that is taken is a Conflict in Docker's words, naming it. *Failed
    or cancelled*: with the launch; no port stays bound. *Twice*: two machines cannot have the same port.
    """


class TapNetworking:
    """The ability of a driver to connect machines of this host by open TAPs: ``launch`` takes `TapNic`.

    The descriptor stays the caller's, who may close it after the launch, also after one that failed. A hypervisor that
    makes the host's end of a card by itself (a vif on a named bridge) will have an ability and a card of its own.
    """


class MemoryGiveBack:
    """The ability of a driver's machines to give memory that their guest has freed back to the host, unasked.

    Not of copies of templates: what they free may stay where it is. There is nothing to call, to fail or to cancel.
    """


class OpenMachine(Machine, HotplugDisks):
    """A machine that has nothing yet: launched with empty slots, in a folder that is not its container's."""

    @abstractmethod
    async def save(self, state_fd: int) -> None:
        """The machine's device state is in the file ``state_fd``, its memory in the one it was given; it stays stopped.

        For a machine that boots in a file (Memory without a state). *Failed or cancelled*: of no use but to be ended.
        *Twice*: as failed.

        Raises:
            MachineError: it has ended, or refuses; the file is full.
        """

    @abstractmethod
    def move(self, run_dir: Path) -> None:
        """The machine's folder is called ``run_dir`` from now on, which does not exist yet; ``record`` says so, too.

        *Failed*: it is called what it was. *Twice*: it moves again.

        Raises:
            OSError: it cannot be renamed.
        """


class Templates(Driver):
    """The ability of a driver to make machines that go on from what another one had come to, and machines with slots.

    A template is two files: the memory of a machine that had booted, which copies share until they write to it, and the
    rest of its state. A *slot* is a place for a disk that is empty at first; `HotplugDisks.add_disks` fills it by its
    name, faster than it adds a disk without one.

    *Failed or cancelled*: ``launch_open`` as ``launch``. *Twice*: any number of machines go on from one template at a
    time; none of them changes it.
    """

    @property
    @abstractmethod
    def terms(self) -> TemplateTerms:
        """The terms of templates and of machines that wait: which are worth it, and what they take."""

    @abstractmethod
    async def template_prefix(self) -> str:
        """The beginning of the keys of all templates that can be used now: host, hypervisor, guest and accelerator.

        Raises:
            MachineError: its program or the guest's files are missing.
        """

    @abstractmethod
    async def template_key(self, spec: MachineSpec, card: Card, slots: Sequence[Slot]) -> str:
        """The key of templates for machines like ``spec`` with ``slots``, connected by ``card``; fit for a file's name.

        Machines of one key can be made from one another's templates. Name, identity, limits, folder, addresses of
        cards and host ports of ``spec`` do not matter to it; everything else does.

        Raises:
            MachineError: as ``template_prefix``.
        """

    @abstractmethod
    async def launch_open(
        self, spec: MachineSpec, *, slots: Sequence[Slot], memory: Memory | None
    ) -> OpenMachine:
        """Start a machine with ``slots`` and no disks; ``memory`` None: it boots in memory of its own.

        Raises:
            InvalidRequest, MachineError: as ``launch``; ``spec`` has disks or shared folders.
        """


#: Abilities of drivers, by what they are called when a person is told of them.
OF_DRIVERS = {
    "shared-folders": SharedFolders,
    "user-networking": UserNetworking,
    "tap-networking": TapNetworking,
    "memory-give-back": MemoryGiveBack,
    "templates": Templates,
}

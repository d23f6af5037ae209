"""The hypervisor seam: what every driver offers. tests/contract/driver.py holds each one to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from hyper.machine.spec import Capability, Disk, Limits, MachineSpec
from hyper.machine.template import Card

#: What speaks with an agent: it is told of the stream's bytes and of its end.
P = TypeVar("P", bound=asyncio.BaseProtocol)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict on one accelerator after a probe: ``usable``, and ``reason`` for a person to read.

    ``boot_ms`` is how long the probe's boot took (None if nothing came up).
    """

    driver: str
    accelerator: str
    usable: bool
    reason: str
    boot_ms: float | None = None


@dataclass(frozen=True, slots=True)
class MachineRecord:
    """The driver state of a machine: all that finds it again after the daemon died. Plain data, kept as JSON.

    ``start_ticks`` (field 22 of /proc/PID/stat) tells the process from a later one of the same number.
    """

    driver: str
    accelerator: str
    name: str
    pid: int
    start_ticks: int
    run_dir: str
    #: CLOCK_MONOTONIC nanoseconds when the hypervisor was spawned; 0 when unknown.
    spawned_ns: int = 0
    vcpus: int = 1
    #: The empty slots it was made with, and whether each is read-only.
    slots: dict[str, bool] = field(default_factory=dict)
    #: The identity it runs as; None: the daemon's own.
    uid: int | None = None


@dataclass(frozen=True, slots=True)
class MachineExit:
    """The end of a machine. ``status`` is None when its process was not our child (found again after a restart).

    ``cause``: why its driver ended it, "" if it was not the driver.
    """

    status: int | None
    stderr: str
    console: str
    cause: str = ""


@dataclass(frozen=True, slots=True)
class MachineStats:
    """The resources of the host that a machine uses now."""

    cpu_ns: int
    resident_bytes: int
    vcpus: int


class Machine(Protocol):
    """A running machine. Its process outlives this object: only ``kill`` or the guest ends it."""

    @property
    def record(self) -> MachineRecord:
        """The driver state to keep, by which the machine is found again."""

    async def connect(self, make: Callable[[], P], /) -> P:
        """The protocol that ``make`` made, at one end of a new stream to the agent. One at a time.

        The stream is the protocol's, which was given its transport (an asyncio.Transport) and closes it. The guest may
        not have booted yet: what is written waits for it. Failed or cancelled: no stream is left.

        Raises:
            MachineError: the machine is gone.
        """

    def reachable(self) -> bool:
        """Whether the machine's sockets are where they were made: without them it is never reached again."""

    async def wait(self) -> MachineExit:
        """Return once the machine's process has ended. May be awaited by several tasks and repeatedly."""

    async def kill(self) -> None:
        """End the machine at once; it is gone on return. No error when it already was."""

    async def pause(self) -> None:
        """Stop the machine's vCPUs."""

    async def resume(self) -> None:
        """Let the machine's vCPUs go on."""

    async def limit(self, limits: Limits) -> None:
        """The machine is held to ``limits`` from now on, and to no others, as far as this host can.

        Raises:
            MachineError: it has ended, or the host refused.
        """

    async def paused(self) -> bool:
        """Whether the machine's vCPUs are stopped: asked of the machine itself, whatever stopped them."""

    async def add_disks(self, *disks: Disk) -> None:
        """The guest finds ``disks`` by their names when it looks for them, after what the machine was made with.

        One that has the name of an empty slot is there, and must be read-only if the slot is. Also of a machine that
        was found again, and of one that is paused. Needs Capability.ADD_DISK.

        Raises:
            Conflict: it has an added disk of such a name, or too many.
            MachineError: a file cannot be opened; the machine has ended, or refuses. Those before it were added.
        """

    async def remove_disk(self, name: str) -> None:
        """The machine has no added disk ``name`` (any more), and the file is closed, whatever the guest does.

        Raises:
            MachineError: it has ended, or refuses.
        """

    async def save(self, state_fd: int) -> None:
        """The machine's device state is in the file ``state_fd``, its memory in the file it was given; it stays
        stopped.

        Needs Capability.TEMPLATE and a machine that boots in a file (Memory without a state).

        Raises:
            MachineError: it has ended, or refuses; the file is full.
        """

    def move(self, run_dir: Path) -> None:
        """The machine's folder is called ``run_dir`` from now on, which does not exist yet; ``record`` says so, too.

        Raises:
            OSError: it cannot be renamed.
        """

    def on_share_lost(self, callback: Callable[[str], None]) -> None:
        """Call ``callback`` from the loop with the reason once the file server has ended and the machine goes on.

        Also if that was so before. The guest then hangs at each access to the share until it is told (ShareLost).
        """

    def fail(self, cause: str) -> None:
        """End the machine at once; its exit tells ``cause``. Does not wait."""

    async def stats(self) -> MachineStats:
        """The resources of the host that the machine uses now."""

    def console_tail(self) -> str:
        """The last lines (≤ 8 KiB) of the machine's serial console seen by this process, printable text only."""

    async def close(self) -> None:
        """Let go of this object's sockets and tasks. The machine itself goes on."""


class Driver(Protocol):
    """A driver: one hypervisor."""

    @property
    def name(self) -> str:
        """The hypervisor's name as shown to users: ``qemu``."""

    @property
    def capabilities(self) -> frozenset[Capability]:
        """The abilities of the hypervisor beyond the basics."""

    @property
    def max_disks(self) -> int:
        """The number of disks one machine can have; a share takes the place of one."""

    @property
    def unlimited(self) -> tuple[str, ...]:
        """The limits that this host cannot enforce, each with its reason; empty when it can enforce all."""

    async def probe(self) -> list[Verdict]:
        """Verdicts on every accelerator, best first; the first usable one is what ``launch`` takes.

        Found by booting the kernel with a deadline; remembered on disk until kernel, CPU or hypervisor change.
        """

    def verdicts(self) -> dict[str, Verdict | None]:
        """The verdicts known now on every accelerator, best first, without a boot; None: only ``probe`` will tell.

        Raises:
            MachineError: its program or the guest's files are missing.
        """

    async def version(self) -> str:
        """The version of the hypervisor's program, as the program states it; "" if that cannot be found out."""

    async def template_prefix(self) -> str:
        """The beginning of the keys of all templates that can be used now: host, hypervisor, guest and accelerator.

        Raises:
            MachineError: its program or the guest's files are missing.
        """

    async def template_key(self, spec: MachineSpec, card: Card) -> str:
        """The key of templates for machines like ``spec`` that are connected by ``card``; fit for a file's name.

        Machines of one key can be made from one another's templates. Name, identity, limits, folder, addresses of
        cards and host ports of ``spec`` do not matter to it; everything else does.
        """

    async def recover(self, kept: Collection[MachineRecord]) -> None:
        """The machines of an earlier daemon run no more, except ``kept`` ones, wherever their folders are."""

    async def launch(self, spec: MachineSpec) -> Machine:
        """Start the machine: its process runs and its agent stream can be connected to.

        Raises:
            MachineError: it did not start; nothing is left behind.
        """

    def runs(self, record: MachineRecord) -> bool:
        """Whether the machine of ``record`` still runs, whether it answers or not."""

    async def attach(self, record: MachineRecord) -> Machine | None:
        """The machine of ``record`` if it still runs, else None: then what it left on the host is gone too."""

    async def clear(self, run_dir: Path) -> None:
        """No machine launched with ``run_dir`` runs any more, whichever daemon launched it; its leavings are gone.

        For a daemon that was killed between launch and keeping the record. ``launch`` does it by itself.
        """

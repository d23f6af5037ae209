"""The core of the hypervisor seam: what every driver and every machine has. tests/contract/core.py holds each to it.

Base classes and no structural protocols, as the abilities are: who implements one says so by name.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from hyper.machine.spec import Limits, MachineSpec

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


#: What every driver's record of a machine says; all else in one is the driver's own.
_COMMON: Final = ("driver", "name", "vcpus", "uid", "spawned_ns")


@dataclass(frozen=True, slots=True)
class MachineRecord:
    """The record of a machine: all that finds it again after the daemon died. Plain data, kept as JSON."""

    driver: str
    name: str
    vcpus: int = 1
    #: The identity that the daemon has given it (MachineSpec.uid); None: none.
    uid: int | None = None
    #: CLOCK_MONOTONIC nanoseconds when the launch began that it came from; 0 when unknown.
    spawned_ns: int = 0
    #: The driver state: JSON values that the driver alone reads and writes.
    state: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, document: dict[str, Any]) -> MachineRecord:
        """The record that was kept as ``document``, by this Hyper or by one that kept driver states in the open.

        Raises:
            TypeError: it is none.
        """
        if "state" in document:
            return cls(**document)
        common = {name: document[name] for name in _COMMON if name in document}
        state = {name: value for name, value in document.items() if name not in _COMMON}
        return cls(**common, state=state)


@dataclass(frozen=True, slots=True)
class Description:
    """The description of a machine for people who look at it on its host."""

    #: How the hypervisor executes its guest, in the driver's words; "": there is one way.
    accelerator: str = ""
    #: The process of this host that is the machine; 0: none is.
    pid: int = 0


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


class Machine(ABC):
    """A running machine, as far as every driver has them; more is asked for by type (machine/abilities.py).

    It outlives this object and this process: only ``kill``, the guest or the host ends it.
    """

    @property
    @abstractmethod
    def record(self) -> MachineRecord:
        """The record to keep, by which the machine is found again."""

    @abstractmethod
    async def connect(self, make: Callable[[], P], /) -> P:
        """The protocol that ``make`` made, at one end of a new stream to the agent. One at a time.

        The stream is the protocol's, which was given its transport (an asyncio.Transport) and closes it. The guest may
        not have booted yet: what is written waits for it. Failed or cancelled: no stream is left.

        Raises:
            MachineError: the machine is gone.
        """

    @abstractmethod
    def reachable(self) -> bool:
        """Whether the way to the machine's agent is there; without it the machine is never reached again."""

    @abstractmethod
    async def wait(self) -> MachineExit:
        """Return once the machine has ended. For several tasks at once and repeatedly; cancelled: nothing changes."""

    @abstractmethod
    async def kill(self) -> None:
        """End the machine at once; it and what it left on its host are gone on return, even if this is cancelled.

        Repeatable, and wanted after the machine's own end, too: that leaves things on the host. Also after ``close``.
        """

    @abstractmethod
    async def pause(self) -> None:
        """Stop the machine's vCPUs; no error when they are. Failed or cancelled: ask ``paused``.

        Raises:
            MachineError: it has ended, or does not answer.
        """

    @abstractmethod
    async def resume(self) -> None:
        """Let the machine's vCPUs go on; no error when they do. Failed or cancelled: ask ``paused``.

        Raises:
            MachineError: it has ended, or does not answer.
        """

    @abstractmethod
    async def paused(self) -> bool:
        """Whether the machine's vCPUs are stopped: asked of the machine itself, whatever stopped them.

        Raises:
            MachineError: it has ended, or does not answer.
        """

    @abstractmethod
    async def limit(self, limits: Limits) -> None:
        """The machine is held to ``limits`` from now on, and to no others, as far as its host can.

        Repeatable. Failed: some of them may hold.

        Raises:
            MachineError: it has ended, or the host refused.
        """

    @abstractmethod
    async def stats(self) -> MachineStats:
        """The resources of its host that the machine uses now.

        Raises:
            MachineError: it has ended, or does not answer.
        """

    @abstractmethod
    def console_tail(self) -> str:
        """The last lines (≤ 8 KiB) of the machine's console seen by this process, printable text only."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of this object's connections and tasks; the machine goes on, ``attach`` finds it. Repeatable."""


class Driver(ABC):
    """A driver: one hypervisor, as far as all have it in common; more is asked for by type (machine/abilities.py).

    A cancelled ``launch``, ``attach``, ``clear`` or ``recover`` leaves nothing half done that doing it again does not
    bring to its end.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """The hypervisor's name as shown to users: ``qemu``. Records of its machines have it."""

    @abstractmethod
    def max_disks(self, *, shared: bool) -> int:
        """The number of disks that a machine can be launched with; ``shared``: one that shares folders."""

    @property
    @abstractmethod
    def unlimited(self) -> tuple[str, ...]:
        """The limits that the machines' host cannot enforce, each with its reason; empty when it can enforce all."""

    @abstractmethod
    async def probe(self) -> list[Verdict]:
        """Verdicts on every accelerator, best first; the first usable one is what ``launch`` takes.

        Found by booting the kernel with a deadline; remembered on disk until kernel, CPU or hypervisor change.
        """

    @abstractmethod
    def verdicts(self) -> dict[str, Verdict | None]:
        """The verdicts known now on every accelerator, best first, without a boot; None: only ``probe`` will tell.

        Raises:
            MachineError: its program or the guest's files are missing.
        """

    @abstractmethod
    async def version(self) -> str:
        """The version of the hypervisor, as it states it; "" if that cannot be found out."""

    @abstractmethod
    async def recover(self, kept: Collection[MachineRecord]) -> None:
        """The driver's machines of an earlier daemon run no more, except ``kept`` ones, wherever their folders are.

        Records of other drivers' machines among ``kept`` are passed over.
        """

    @abstractmethod
    async def launch(self, spec: MachineSpec) -> Machine:
        """Start the machine: it runs and its agent can be connected to.

        What an earlier machine of the same folder has left is gone first, as by ``clear``.

        Raises:
            InvalidRequest: the spec asks for what the hypervisor has not (too many disks; a card or a share where the
                ability is missing).
            MachineError: it did not start.
            In all cases, and if this is cancelled, nothing is left behind.
        """

    @abstractmethod
    def describe(self, record: MachineRecord) -> Description:
        """The description of the machine of ``record``, out of the record alone: it may have ended."""

    @abstractmethod
    def runs(self, record: MachineRecord) -> bool:
        """Whether the machine of ``record`` may still run, whether it answers or not. Never waits."""

    @abstractmethod
    async def attach(self, record: MachineRecord) -> Machine | None:
        """The machine of ``record`` if it still runs, else None: then what it left on its host is gone too.

        Each call makes another object for the machine. One is spoken with at a time: ``close`` it before another is
        asked for anything but ``wait`` and ``kill``.

        Raises:
            MachineError: the machine's host does not say. The machine may run.
        """

    @abstractmethod
    async def clear(self, run_dir: Path) -> None:
        """No machine that this driver launched with ``run_dir`` runs any more, in whichever daemon; nothing is left.

        For a daemon that was killed between a launch and keeping the record. Repeatable; of another driver's machine
        nothing is touched.
        """

"""Containers that come into one machine at the same time: whoever is first brings the disks of all."""

from __future__ import annotations

import asyncio
import struct
from types import SimpleNamespace
from typing import Any, cast

import pytest

from hyper.errors import Conflict, GuestError
from hyper.guest.session import Session
from hyper.machine.abilities import HotplugDisks
from hyper.machine.driver import Machine
from hyper.machine.spec import Disk, FileBlocks
from hyper.proto.message import ContainerCreate, GuestHello, ProcessStart, Reply, ReplyCode
from hyper.sandbox.sandbox import Joining, Sandbox


class Doors(HotplugDisks):
    """The machine: a disk is in it once ``open`` is set; ``brought`` names those that were asked for."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.brought: list[str] = []
        self.asked = asyncio.Event()
        self.record = SimpleNamespace(name="machine")

    async def add_disks(self, *disks: Disk) -> None:
        self.brought += [disk.name for disk in disks]
        self.asked.set()
        await self.open.wait()

    async def remove_disk(self, name: str) -> None:
        self.brought.remove(name)


class Agreeing:
    """The agent: everything asked is done at once."""

    def __init__(self, code: ReplyCode = ReplyCode.OK) -> None:
        self.code = code
        self.asked = 0
        self.closed: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()

        self.done: list[str] = []

    def process(self, number: int, *, tty: bool) -> Any:
        return number

    def drop(self, number: int) -> None:
        self.done.append("drop")

    def post(self, request: Any) -> asyncio.Future[Reply]:
        self.asked += 1
        done: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        done.set_result(Reply(self.code, result=struct.pack("<I", 7)))
        return done

    async def call(self, request: Any, *, timeout_s: float) -> Reply:
        self.done.append(request.op.name)
        return await self.post(request)


def joining(number: int) -> Joining:
    """A container with a disk of its own."""
    return Joining(
        disks=(Disk(f"disk{number}", FileBlocks(cast(Any, None)), read_only=False),),
        container=ContainerCreate(number, hostname="", layers=()),
        program=ProcessStart(number, number, ("true",)),
    )


async def test_who_is_cancelled_leaves_nobody_waiting() -> None:
    """The first one is cancelled while it brings the other's disk: that one goes on at once, and has it."""
    doors, agent = Doors(), Agreeing()
    sandbox = Sandbox(cast(Machine, doors), cast(Session, agent), GuestHello(b"", 0, "agent"))
    first = asyncio.ensure_future(sandbox.join(joining(2), timeout_s=10))
    second = asyncio.ensure_future(sandbox.join(joining(3), timeout_s=10))
    await doors.asked.wait()
    doors.asked.clear()
    doors.open.set()
    doors.open = asyncio.Event()  # the first one's disk is here, the other's is on its way
    await doors.asked.wait()
    first.cancel()
    doors.open.set()
    with pytest.raises(asyncio.CancelledError):
        await first
    started = await second
    assert started.pid == 7
    assert doors.brought == ["disk3"]


async def test_process_of_a_failed_join_is_known_until_the_container_is_removed() -> None:
    """It may have started and written already: output that nobody opened would end the session of all others."""
    doors, agent = Doors(), Agreeing(ReplyCode.SYSTEM)
    doors.open.set()
    parts = cast(Machine, doors), cast(Session, agent), GuestHello(b"", 0, "agent")
    with pytest.raises(GuestError):
        await Sandbox(*parts).join(joining(2), timeout_s=10)
    assert agent.done == ["CONTAINER_REMOVE", "drop"]


@pytest.mark.parametrize("code", [ReplyCode.MALFORMED, ReplyCode.UNKNOWN_OP])
async def test_an_older_agent_is_told_as_such(code: ReplyCode) -> None:
    """In a machine of an earlier daemon a request that is not understood is no mistake of the client's."""
    doors = Doors()
    doors.open.set()
    parts = cast(Machine, doors), cast(Session, Agreeing(code)), GuestHello(b"", 0, "agent")
    with pytest.raises(Conflict, match="an earlier hyperd has started the machine") as caught:
        await Sandbox(*parts, inherited=True).join(joining(2), timeout_s=10)
    assert "stop and start the container, or the pod," in str(caught.value.hint)
    with pytest.raises(GuestError):
        await Sandbox(*parts).join(joining(2), timeout_s=10)
    assert doors.brought == []


async def test_join_where_no_disks_can_be_added_is_a_conflict() -> None:
    """A machine without the ability takes no further container, and says whose fault that is."""
    machine = SimpleNamespace(record=SimpleNamespace(name="machine", driver="plain"))
    agent = Agreeing()
    sandbox = Sandbox(cast(Machine, machine), cast(Session, agent), GuestHello(b"", 0, "agent"))
    with pytest.raises(Conflict, match="hypervisor plain cannot add disks to a running machine"):
        await sandbox.join(joining(2), timeout_s=10)
    assert agent.asked == 0

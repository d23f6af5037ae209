"""The clock of a guest whose agent knows SANDBOX_CLOCK, and of one that an earlier daemon has started."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Container
from contextlib import asynccontextmanager
from typing import cast

import pytest

from hyper.errors import GuestError
from hyper.guest.clock import set_clock
from hyper.guest.session import Session
from hyper.machine.driver import Machine
from hyper.proto.frame import FrameType
from hyper.proto.message import (
    ContainerUpdate,
    Op,
    Reply,
    ReplyCode,
    Request,
    SandboxClock,
    UpdateFlag,
    decode_request,
    encode_reply,
)
from hyper.sandbox.power import Power
from tests.support.agent import Guest, met

CONTAINER = 3


class Machinery:
    """A machine that stands still and goes on; ``log`` says when."""

    def __init__(self, log: list[object]) -> None:
        self._log = log

    async def pause(self) -> None:
        self._log.append("pause")

    async def resume(self) -> None:
        self._log.append("resume")


async def serve(guest: Guest, log: list[object], unknown: Container[int]) -> None:
    """Requests are noted, and answered as HyperStart does: one it does not know with UNKNOWN_OP."""
    while True:
        frame = await guest.next()
        if frame.type is not FrameType.REQUEST:
            continue
        request = decode_request(frame.body)
        log.append(request)
        code = ReplyCode.UNKNOWN_OP if request.op in unknown else ReplyCode.OK
        text = "" if code is ReplyCode.OK else f"unknown request {int(request.op)}"
        await guest.say(encode_reply(frame.stream, Reply(code, text=text)))


@asynccontextmanager
async def agent(*unknown: Op) -> AsyncIterator[tuple[Session, list[object]]]:
    """A session with an agent that does not know some requests, and what happens."""
    log: list[object] = []
    async with met() as (session, guest, _), asyncio.TaskGroup() as group:
        serving = group.create_task(serve(guest, log, unknown))
        yield session, log
        serving.cancel()


def is_now(realtime_ns: int) -> bool:
    return abs(realtime_ns - time.time_ns()) < 3600 * 10**9


async def test_clock_is_set_by_its_own_request() -> None:
    """No container is named: the clock is the sandbox's."""
    async with agent() as (session, log):
        await set_clock(session, CONTAINER)
        (request,) = log
        assert isinstance(request, SandboxClock) and is_now(request.realtime_ns)


async def test_clock_of_an_older_agent_is_set_by_an_update() -> None:
    """It refuses SANDBOX_CLOCK and goes on; the update changes nothing else."""
    async with agent(Op.SANDBOX_CLOCK) as (session, log):
        await set_clock(session, CONTAINER)
        asked, update = log
        assert isinstance(asked, SandboxClock) and isinstance(update, ContainerUpdate)
        assert is_now(update.realtime_ns)
        assert update == ContainerUpdate(CONTAINER, realtime_ns=update.realtime_ns)


async def test_clock_that_neither_request_sets_is_an_error() -> None:
    """Nothing is tried for ever."""
    async with agent(Op.SANDBOX_CLOCK, Op.CONTAINER_UPDATE) as (session, log):
        with pytest.raises(GuestError, match="unknown request 10"):
            await set_clock(session, CONTAINER)
        assert len(log) == 2


@pytest.mark.parametrize(
    ("unknown", "clock"),
    [
        ((), [SandboxClock]),
        ((Op.SANDBOX_CLOCK,), [SandboxClock, ContainerUpdate]),
    ],
)
async def test_unpause_sets_the_clock_before_the_container_is_thawed(
    unknown: tuple[Op, ...], clock: list[type[Request]]
) -> None:
    """The program never sees the time at which it was paused, whatever agent is in the machine."""
    async with agent(*unknown) as (session, log):
        power = Power(cast(Machine, Machinery(log)), session)
        power.enter(CONTAINER)
        await power.pause(CONTAINER)
        assert log == [ContainerUpdate(CONTAINER, UpdateFlag.FREEZE), "pause"]
        log.clear()
        await power.unpause(CONTAINER)
        assert log[0] == "resume"
        assert [type(one) for one in log[1:-1]] == clock
        assert log[-1] == ContainerUpdate(CONTAINER, UpdateFlag.THAW)


async def test_unpause_thaws_when_the_clock_cannot_be_set() -> None:
    """A wrong clock is better than a container that stands still."""
    async with agent(Op.SANDBOX_CLOCK, Op.CONTAINER_UPDATE) as (session, log):
        power = Power(cast(Machine, Machinery(log)), session)
        power.enter(CONTAINER)
        await power.pause(CONTAINER)
        await power.unpause(CONTAINER)
        assert log[-1] == ContainerUpdate(CONTAINER, UpdateFlag.THAW)

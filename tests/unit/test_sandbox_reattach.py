"""Machines that an earlier daemon started, found again by one of another version of the protocol."""

from __future__ import annotations

import asyncio
import socket
from types import SimpleNamespace
from typing import Any, cast

import pytest

from hyper.errors import OutdatedAgent
from hyper.machine.driver import Driver, MachineRecord
from hyper.sandbox.sandbox import Sandbox
from tests.support.agent import DEADLINE_S, Guest, over


class Machine:
    """A machine whose agent answers at the other end of a pair of sockets; ``calls``: what was asked of it."""

    record = SimpleNamespace(name="machine")

    def __init__(self, ours: socket.socket) -> None:
        self.calls: list[str] = []
        self.connect = over(ours)

    def reachable(self) -> bool:
        return True

    async def paused(self) -> bool:
        return False

    def __getattr__(self, name: str) -> Any:
        async def call() -> None:
            self.calls.append(name)

        return call


async def test_reattach_of_an_older_agent_names_the_versions_and_ends_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The error is none of those that recovery ends a machine for; it comes at once, not after a deadline."""
    for module in ("frame", "hello"):
        monkeypatch.setattr(f"hyper.proto.{module}.VERSION", 2)
    ours, theirs = socket.socketpair()
    with theirs:
        for end in (ours, theirs):
            end.setblocking(False)
        machine, guest = Machine(ours), Guest(theirs)

        async def attach(_: MachineRecord) -> Machine:
            return machine

        driver = cast(Driver, SimpleNamespace(attach=attach))
        async with asyncio.timeout(DEADLINE_S):
            found = asyncio.ensure_future(Sandbox.reattach(driver, cast(MachineRecord, None)))
            await guest.hear_hello()
            await guest.say(guest.hello(version=1))
            with pytest.raises(OutdatedAgent, match="it speaks version 1, we speak 2"):
                await found
            await guest.hung_up()
    assert machine.calls == ["close"]

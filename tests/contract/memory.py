"""What a driver owes that is `MemoryGiveBack`."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from hyper.machine.spec import MachineSpec
from tests.contract.core import Launcher, MachineFixtures
from tests.support.machines import ANSWER_S, talk


class MemoryContract(MachineFixtures):
    """The test of memory that is given back."""

    async def test_memory_that_the_guest_freed_returns_to_the_host(
        self, launch: Launcher, spec: MachineSpec
    ) -> None:
        """What the guest took and gave up is the host's again, without anybody asking."""
        machine = await launch(replace(spec, memory_mib=512))
        async with talk(machine) as guest:
            assert await guest.ask("take 300") == "300"
            full = (await machine.stats()).resident_bytes
            assert await guest.ask("give") == "given"
            async with asyncio.timeout(ANSWER_S):
                while (await machine.stats()).resident_bytes > full - (250 << 20):
                    await guest.ask("echo on")

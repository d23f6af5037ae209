"""What a driver owes that is `TapNetworking`."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
from dataclasses import replace

import pytest

from hyper.machine.abilities import TapNetworking
from hyper.machine.driver import Driver
from hyper.machine.spec import MachineSpec, TapNic
from hyper.system import tun
from tests.contract.core import Launcher, MachineFixtures
from tests.support.machines import ANSWER_S, talk

_MAC = "02:42:ac:11:00:02"
_EVERY_PROTOCOL = 3
#: An EtherType for local experiments (IEEE 802, 9.2.3): nobody else sends it.
_OURS = b"\x88\xb5"


class TapNetworkingContract(MachineFixtures):
    """The tests of cards that end in open TAPs of this host."""

    @pytest.mark.root
    async def test_frames_go_both_ways_between_a_card_and_its_tap(
        self, driver: Driver, launch: Launcher, spec: MachineSpec
    ) -> None:
        """A machine sends by its own MAC and hears what the host sends, after the caller has closed the TAP."""
        assert isinstance(driver, TapNetworking)
        name = f"t{spec.name}"
        fd = tun.open_tap(name)
        try:
            subprocess.run(["ip", "link", "set", name, "up"], check=True)
            machine = await launch(replace(spec, nics=(TapNic(_MAC, fd),)))
        finally:
            os.close(fd)
        loop, mac = asyncio.get_running_loop(), bytes.fromhex(_MAC.replace(":", ""))
        with socket.socket(
            socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_EVERY_PROTOCOL)
        ) as wire:
            wire.bind((name, 0))
            wire.setblocking(False)
            async with talk(machine) as guest, asyncio.timeout(ANSWER_S):
                await guest.say("frame out")
                while (frame := await loop.sock_recv(wire, 2048))[12:14] != _OURS:
                    pass
                assert frame[6:12] == mac
                assert frame[14:].rstrip(b"\0") == b"out"
                await loop.sock_sendall(wire, mac + frame[:6] + _OURS + b"in".ljust(46, b"\0"))
                assert await guest.hear() == "in"

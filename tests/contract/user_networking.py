"""What a driver owes that is `UserNetworking`."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from hyper.errors import Conflict
from hyper.machine.driver import Driver
from hyper.machine.spec import Disk, FileBlocks, Forward, MachineSpec
from tests.contract.core import Launcher, Leavings, MachineFixtures
from tests.support.machines import make_nic, talk


class UserNetworkingContract(MachineFixtures):
    """The tests of cards on the hypervisor's own network."""

    async def test_launch_with_a_taken_port_is_a_conflict(
        self, driver: Driver, launch: Launcher, spec: MachineSpec, leavings: Leavings
    ) -> None:
        """A launch with a forwarded port that is in use fails, naming the port."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            wanted = replace(spec, nics=(make_nic(Forward("tcp", "127.0.0.1", port, 80)),))
            with pytest.raises(Conflict) as raised:
                await driver.launch(wanted)
        assert str(raised.value) == (
            "driver failed programming external connectivity: "
            f"Bind for 127.0.0.1:{port} failed: port is already allocated"
        )
        assert leavings() == []
        await launch(wanted)

    async def test_max_disks_beside_a_card_are_read(
        self, driver: Driver, launch: Launcher, spec: MachineSpec, tmp_path: Path
    ) -> None:
        """A card takes the place of no disk."""
        disks = []
        for number in range(driver.max_disks(shared=False)):
            path = tmp_path / f"{number}.img"
            path.write_bytes(f"disk {number}\n".encode().ljust(4096, b"\0"))
            disks.append(Disk(f"disk{number}", FileBlocks(path), read_only=True))
        full = replace(spec, disks=tuple(disks), nics=(make_nic(),))
        async with talk(await launch(full)) as guest:
            for number in range(driver.max_disks(shared=False)):
                assert await guest.ask(f"read disk{number}") == f"disk {number}"

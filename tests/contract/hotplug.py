"""What a driver owes whose machines are `HotplugDisks`."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from typing import cast

import pytest

from hyper.errors import Conflict, MachineError
from hyper.machine.abilities import HotplugDisks
from hyper.machine.driver import Driver, Machine
from hyper.machine.spec import Disk, FileBlocks, MachineSpec
from tests.contract.core import Launcher, MachineFixtures
from tests.support.machines import talk


class PluggedMachine(Machine, HotplugDisks):
    """A machine that is both."""


def plugs(machine: Machine) -> PluggedMachine:
    """The machine ``machine``, which has the ability."""
    assert isinstance(machine, HotplugDisks)
    return cast(PluggedMachine, machine)


class HotplugContract(MachineFixtures):
    """The tests of disks that come to running machines and leave them."""

    async def test_disks_come_and_go(
        self, driver: Driver, launch: Launcher, spec: MachineSpec, tmp_path: Path
    ) -> None:
        """Each is what its last coming made it, and the host's word on writing holds; names are not used twice."""
        content = b"content\n" + bytes(65536 - 8)
        shared, own = tmp_path / "shared.img", tmp_path / "own.img"
        for image in (shared, own):
            image.write_bytes(content)
        machine = plugs(await launch(spec))
        async with talk(machine) as guest:
            assert await guest.ask("read own") == "?"
            await machine.add_disks(Disk("own", FileBlocks(own), read_only=False))
            await machine.add_disks(Disk("shared", FileBlocks(shared), read_only=True))
            with pytest.raises(Conflict, match="own"):
                await machine.add_disks(Disk("own", FileBlocks(shared), read_only=True))
            assert await guest.ask("read own") == "content"
            assert await guest.ask("read shared") == "content"
            assert await guest.ask("write shared") != "0"
            assert await guest.ask("write own") == "0"
            assert await guest.ask("forget") == "forgotten"
            for name in ("own", "own", "shared", "never"):
                await machine.remove_disk(name)
            assert await guest.ask("read own") == "?"
            await machine.add_disks(Disk("own", FileBlocks(shared), read_only=True))
            assert await guest.ask("write own") != "0"
        assert shared.read_bytes() == content
        assert own.read_bytes()[:4096] == b"X" * 4096

    async def test_a_disk_is_taken_from_a_guest_that_uses_it(
        self, driver: Driver, launch: Launcher, spec: MachineSpec, tmp_path: Path
    ) -> None:
        """Nothing it writes arrives afterwards; a machine that is paused has no say either."""
        image = tmp_path / "image"
        image.write_bytes(bytes(65536))
        machine = plugs(await launch(spec))
        async with talk(machine) as guest:
            for paused in (False, True):
                await machine.add_disks(Disk("own", FileBlocks(image), read_only=False))
                assert await guest.ask("write own") == "0"
                if paused:
                    await machine.pause()
                await machine.remove_disk("own")
                image.write_bytes(bytes(65536))
                if paused:
                    await machine.resume()
                assert await guest.ask("write own") != "0"
                assert await guest.ask("forget") == "forgotten"
        assert not any(image.read_bytes())

    async def test_added_disks_are_found_again(
        self, driver: Driver, launch: Launcher, spec: MachineSpec, tmp_path: Path
    ) -> None:
        """Another daemon can take them away, and knows how many there may be."""
        image = tmp_path / "image"
        image.write_bytes(b"content\n".ljust(4096, b"\0"))
        lost = plugs(await launch(spec))
        async with talk(lost):
            await lost.add_disks(Disk("first", FileBlocks(image), read_only=True))
        await lost.close()
        found = await driver.attach(lost.record)
        assert found is not None
        machine = plugs(found)
        try:
            async with talk(machine) as guest:
                with pytest.raises(Conflict, match="first"):
                    await machine.add_disks(Disk("first", FileBlocks(image), read_only=True))
                await machine.remove_disk("first")
                numbers = itertools.count()
                with pytest.raises(Conflict, match="already"):
                    while (number := next(numbers)) < 1000:
                        await machine.add_disks(
                            Disk(f"disk{number}", FileBlocks(image), read_only=True)
                        )
                assert await guest.ask("read disk0") == "content"
                assert await guest.ask(f"read disk{number - 1}") == "content"
        finally:
            await machine.close()

    async def test_disks_of_a_machine_that_ended_are_an_error(
        self, driver: Driver, spec: MachineSpec, tmp_path: Path
    ) -> None:
        """And one that is missing."""
        machine = plugs(await driver.launch(spec))
        with pytest.raises(MachineError, match="cannot open disk"):
            await machine.add_disks(Disk("none", FileBlocks(tmp_path / "none"), read_only=True))
        await machine.kill()
        (tmp_path / "image").write_bytes(bytes(4096))
        with pytest.raises(MachineError):
            await machine.add_disks(Disk("late", FileBlocks(tmp_path / "image"), read_only=True))
        with pytest.raises(MachineError):
            await machine.remove_disk("late")

    async def test_cancelled_coming_of_a_disk_is_put_right_by_a_removal(
        self, launch: Launcher, spec: MachineSpec, tmp_path: Path
    ) -> None:
        """Whenever a coming is cancelled, the name is free after its removal, and the next coming is whole."""
        image = tmp_path / "image"
        image.write_bytes(b"content\n".ljust(4096, b"\0"))
        machine, disk = plugs(await launch(spec)), Disk("own", FileBlocks(image), read_only=True)
        async with talk(machine) as guest:
            for steps in (1, 2, 3, 5, 8, 13):
                coming = asyncio.ensure_future(machine.add_disks(disk))
                for _ in range(steps):
                    await asyncio.sleep(0)
                coming.cancel()
                await asyncio.wait([coming])
                await machine.remove_disk("own")
            await machine.add_disks(disk)
            assert await guest.ask("read own") == "content"

    async def test_failed_coming_leaves_those_before_it(
        self, launch: Launcher, spec: MachineSpec, tmp_path: Path
    ) -> None:
        """Of several disks those before the one that cannot be opened are there, it and those after it are not."""
        for name in ("first", "third"):
            (tmp_path / name).write_bytes(f"{name}\n".encode().ljust(4096, b"\0"))
        names = ("first", "second", "third")
        disks = [Disk(name, FileBlocks(tmp_path / name), read_only=True) for name in names]
        machine = plugs(await launch(spec))
        async with talk(machine) as guest:
            with pytest.raises(MachineError, match="second"):
                await machine.add_disks(*disks)
            assert await guest.ask("read first") == "first"
            assert await guest.ask("read third") == "?"
            for name in names:
                await machine.remove_disk(name)
            (tmp_path / "second").write_bytes(b"second\n".ljust(4096, b"\0"))
            assert await guest.ask("forget") == "forgotten"
            await machine.add_disks(*disks)
            assert await guest.ask("read third") == "third"

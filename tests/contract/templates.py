"""What a driver owes that is `Templates`."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hyper.errors import Conflict, InvalidRequest
from hyper.machine.abilities import OpenMachine, Templates
from hyper.machine.spec import Disk, FileBlocks, Limits, MachineSpec
from hyper.machine.template import Card, Memory, Shape, Slot, Template
from hyper.system import memfd
from tests.contract.core import MachineFixtures
from tests.support.machines import make_spec, talk

OpenLauncher = Callable[[MachineSpec, Memory | None], Awaitable[OpenMachine]]
SLOTS = (Slot("layer", read_only=True), Slot("own", read_only=False))
SHAPE = Shape(vcpus=1, memory_mib=64, card=Card.NONE)


def saved_files(spec: MachineSpec) -> tuple[int, int]:
    """Descriptors of new files for the memory and the state of ``spec``."""
    return memfd.create("memory", spec.memory_mib << 20), memfd.create("state")


class TemplatesContract(MachineFixtures):
    """The tests of templates, and of machines with slots."""

    @pytest.fixture
    async def launch_open(self, driver: Templates) -> AsyncIterator[OpenLauncher]:
        async with contextlib.AsyncExitStack() as stack:

            async def launch_open(spec: MachineSpec, memory: Memory | None) -> OpenMachine:
                machine = await driver.launch_open(spec, slots=SLOTS, memory=memory)
                stack.push_async_callback(machine.kill)
                return machine

            yield launch_open

    async def test_slots_are_filled_and_emptied(
        self, driver: Templates, launch_open: OpenLauncher, spec: MachineSpec, tmp_path: Path
    ) -> None:
        """A disk of a slot's name is there, held to the slot's access; a name without a slot is another disk."""
        content = b"content\n" + bytes(65536 - 8)
        for name in ("layer", "own", "extra"):
            (tmp_path / name).write_bytes(content)
        machine = await launch_open(spec, None)
        disks = [
            Disk(name, FileBlocks(tmp_path / name), name == "layer")
            for name in ("layer", "own", "extra")
        ]
        async with talk(machine) as guest:
            await machine.add_disks(*disks)
            with pytest.raises(Conflict, match="own"):
                await machine.add_disks(disks[1])
            for disk in disks:
                assert await guest.ask(f"read {disk.name}") == "content"
                assert (await guest.ask(f"write {disk.name}") == "0") != disk.read_only
            assert (tmp_path / "layer").read_bytes() == content
            for name in ("layer", "own", "extra", "own"):
                await machine.remove_disk(name)
            (tmp_path / "own").write_bytes(content)
            assert await guest.ask("write own") == "0"  # to nowhere
            assert (tmp_path / "own").read_bytes() == content
            await machine.add_disks(disks[1])
            assert await guest.ask("write own") == "0"
            assert (tmp_path / "own").read_bytes()[:4096] == b"X" * 4096

    async def test_copies_go_on_from_what_was_saved(
        self,
        driver: Templates,
        launch_open: OpenLauncher,
        spec: MachineSpec,
        short_dir: Path,
        tmp_path: Path,
    ) -> None:
        """Each on its own, with its own disks; what they began with does not change, and nobody can change it."""
        memory, state = saved_files(spec)
        template = await launch_open(spec, Memory(memory))
        async with talk(template) as guest:
            assert [await guest.ask("count") for _ in range(3)] == ["1", "2", "3"]
        await template.save(state)
        await template.kill()
        with Template("key", SHAPE, memory, state) as saved:
            before = os.pread(memory, spec.memory_mib << 20, 0)
            for number in (1, 2):
                (tmp_path / f"{number}").write_bytes(f"disk {number}\n".encode().ljust(4096, b"\0"))
                with saved.memory() as given:
                    copy = make_spec(short_dir, kernel=spec.kernel, initrd=spec.initrd)
                    machine = await launch_open(copy, given)
                await machine.add_disks(
                    Disk("layer", FileBlocks(tmp_path / f"{number}"), read_only=True)
                )
                async with talk(machine) as guest:
                    assert await guest.ask("read layer") == f"disk {number}"
                    assert await guest.ask("count") == "4"
                await machine.kill()
            assert os.pread(memory, spec.memory_mib << 20, 0) == before
            for fd in (memory, state):
                with pytest.raises(PermissionError):
                    os.pwrite(fd, b"x", 0)

    async def test_keys_of_templates(self, driver: Templates, spec: MachineSpec) -> None:
        """What a machine is made of makes another key; whose it is does not."""
        key = await driver.template_key(spec, Card.NONE, SLOTS)
        same = replace(spec, name="other", run_dir=Path("/elsewhere"), uid=1, limits=Limits(cpus=1))
        assert await driver.template_key(same, Card.NONE, SLOTS) == key
        assert key.startswith(await driver.template_prefix())
        others = [
            await driver.template_key(spec, Card.USER, SLOTS),
            await driver.template_key(spec, Card.NONE, SLOTS[:1]),
            *[
                await driver.template_key(other, Card.NONE, SLOTS)
                for other in (
                    replace(spec, vcpus=2),
                    replace(spec, memory_mib=65),
                    replace(spec, command_line=("quiet",)),
                )
            ],
        ]
        assert len({key, *others}) == len(others) + 1

    async def test_move_of_a_running_machine_keeps_it_reachable(
        self, driver: Templates, launch_open: OpenLauncher, spec: MachineSpec, short_dir: Path
    ) -> None:
        """Its folder has another name: it is talked to, found again and ended there."""
        machine = await launch_open(spec, None)
        moved = short_dir / "moved"
        machine.move(moved)
        assert not spec.run_dir.exists()
        async with talk(machine) as guest:
            assert await guest.ask("echo here") == "here"
        await machine.close()
        again = await driver.attach(machine.record)
        assert again is not None
        async with talk(again) as guest:
            assert await guest.ask("echo still") == "still"
        await again.kill()
        assert list(moved.iterdir()) == []
        spec.run_dir.mkdir()  # where the fixture looks for it

    async def test_launch_of_an_open_machine_with_disks_is_refused(
        self, driver: Templates, spec: MachineSpec, tmp_path: Path
    ) -> None:
        """An open machine has slots in place of disks."""
        (tmp_path / "own").write_bytes(bytes(4096))
        disk = Disk("own", FileBlocks(tmp_path / "own"), read_only=False)
        with pytest.raises(InvalidRequest, match="open machine"):
            await driver.launch_open(replace(spec, disks=(disk,)), slots=SLOTS, memory=None)

    async def test_cancelled_filling_of_a_slot_is_put_right_by_emptying_it(
        self, launch_open: OpenLauncher, spec: MachineSpec, tmp_path: Path
    ) -> None:
        """Whenever a filling is cancelled, the slot is empty after the removal, and takes the next disk."""
        (tmp_path / "own").write_bytes(b"content\n".ljust(65536, b"\0"))
        disk = Disk("own", FileBlocks(tmp_path / "own"), read_only=False)
        machine = await launch_open(spec, None)
        async with talk(machine) as guest:
            for steps in (1, 2, 3, 5, 8, 13):
                filling = asyncio.ensure_future(machine.add_disks(disk))
                for _ in range(steps):
                    await asyncio.sleep(0)
                filling.cancel()
                await asyncio.wait([filling])
                await machine.remove_disk("own")
            await machine.add_disks(disk)
            assert await guest.ask("read own") == "content"

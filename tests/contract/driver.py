"""What every driver owes, whatever the hypervisor: run a subclass of DriverContract with your own ``driver``.

The guest is tests/contract/guest.c: it answers HELLO like the real agent, and lines of text.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import secrets
import signal
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hyper.errors import Conflict, MachineError
from hyper.machine.driver import Driver, Machine
from hyper.machine.spec import (
    Capability,
    Disk,
    FileBlocks,
    Forward,
    Limits,
    MachineSpec,
    Memory,
    Slot,
    UserNic,
)
from hyper.machine.template import Card, Shape, Template
from hyper.sandbox.probe import meet
from hyper.system import jail, memfd, pidfd
from tests.support.hygiene import Snapshot, snapshot
from tests.support.traces import TRACES

GUEST_SOURCE = Path(__file__).with_name("guest.c")
#: An emulated boot takes one second alone; others may be building kernels beside us.
BOOT_S = 120.0
ANSWER_S = 30.0
FIRST_TEST_UID = jail.FIRST_MACHINE_UID + 60000

Launcher = Callable[[MachineSpec], Awaitable[Machine]]


def build_guest(folder: Path) -> Path:
    """The contract's guest as an initrd in ``folder``."""
    init = folder / "init"
    subprocess.run(
        ["musl-gcc", "-static", "-Os", "-Wall", "-Wextra", "-Werror", "-o", init, GUEST_SOURCE],
        check=True,
    )
    initrd = folder / "initrd"
    files = [("dev", 0o40755, b""), ("sys", 0o40755, b""), ("proc", 0o40755, b"")]
    initrd.write_bytes(make_cpio([*files, ("init", 0o100755, init.read_bytes())]))
    return initrd


def make_cpio(files: list[tuple[str, int, bytes]]) -> bytes:
    """A newc archive of (name, mode, content).

    Source: Linux, Documentation/driver-api/early-userspace/buffer-format.rst.
    """
    archive = bytearray()
    for number, (name, mode, content) in enumerate([*files, ("TRAILER!!!", 0, b"")], 1):
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
        archive += b"070701" + b"".join(b"%08X" % field for field in fields)
        archive += name.encode() + b"\0"
        archive += bytes(-len(archive) % 4) + content
        archive += bytes(-len(archive) % 4)
    return bytes(archive)


def make_spec(folder: Path, *, kernel: Path, initrd: Path) -> MachineSpec:
    """A machine with nothing but a run folder of its own within ``folder``."""
    name = f"t{secrets.token_hex(4)}"
    run_dir = folder / name
    run_dir.mkdir(mode=0o700)
    uid = FIRST_TEST_UID + secrets.randbelow(5000) if os.geteuid() == 0 else None
    return MachineSpec(
        name=name,
        vcpus=1,
        memory_mib=64,
        kernel=kernel,
        initrd=initrd,
        disks=(),
        nics=(),
        run_dir=run_dir,
        uid=uid,
    )


SLOTS = (Slot("layer", read_only=True), Slot("own", read_only=False))
SHAPE = Shape(vcpus=1, memory_mib=64, card=Card.NONE)


def saved_files(spec: MachineSpec) -> tuple[int, int]:
    """Descriptors of new files for the memory and the state of ``spec``."""
    return memfd.create("memory", spec.memory_mib << 20), memfd.create("state")


class Guest(asyncio.Protocol):
    """Talks to tests/contract/guest.c."""

    def __init__(self) -> None:
        self._reader = asyncio.StreamReader()
        self._pending = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._reader.set_transport(transport)

    def data_received(self, data: bytes) -> None:
        self._reader.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._reader.feed_eof()

    async def say(self, line: str) -> None:
        """Send a line."""
        assert self.transport is not None
        self.transport.write(line.encode() + b"\n")

    async def ask(self, line: str) -> str:
        """Send a line, return the line that comes back."""
        await self.say(line)
        return await self.hear()

    async def hear(self) -> str:
        """The next line that comes."""
        async with asyncio.timeout(ANSWER_S):
            while b"\n" not in self._pending:
                self._pending += await self.receive()
        answer, _, self._pending = self._pending.partition(b"\n")
        return answer.decode()

    async def receive(self) -> bytes:
        """Whatever comes next."""
        data = await self._reader.read(65536)
        if not data:
            raise ConnectionError("the guest's stream ended")
        return data


@contextlib.asynccontextmanager
async def talk(machine: Machine) -> AsyncIterator[Guest]:
    """The guest of ``machine``, once it came up."""
    async with asyncio.timeout(BOOT_S):
        await meet(machine)
    guest = await machine.connect(Guest)
    try:
        yield guest
    finally:
        assert guest.transport is not None
        guest.transport.abort()


def require(driver: Driver, capability: Capability) -> None:
    """Drivers that cannot do it are not held to it."""
    if capability not in driver.capabilities:
        pytest.skip(f"{driver.name} cannot {capability.value}")


def left_behind(before: Snapshot, spec: MachineSpec) -> list[str]:
    """What of ``spec``'s machine is on the host now. (Others may work beside us: all else is not looked at.)"""
    marks = (spec.name, f"uid {spec.uid}")
    after = snapshot(folders=[spec.run_dir])
    return [line for line in before.differences(after) if any(mark in line for mark in marks)]


class DriverContract:
    """The tests. A subclass gives the fixtures ``driver`` and ``kernel``."""

    @pytest.fixture(scope="class")
    @classmethod
    def guest(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        return build_guest(tmp_path_factory.mktemp("guest"))

    @pytest.fixture(scope="class")
    @classmethod
    def contract_assets(cls, guest: Path, kernel: Path) -> Path:
        """A folder like an installation's, with the contract's guest in it."""
        (guest.parent / "vmlinux").symlink_to(kernel)
        return guest.parent

    @pytest.fixture(scope="class")
    @classmethod
    def state_dir(cls, short_path: Path) -> Path:
        return short_path / "s"

    @pytest.fixture(scope="class")
    @classmethod
    def short_path(cls) -> Iterator[Path]:
        """For unix sockets: pytest's own folders are too long for their addresses."""
        with tempfile.TemporaryDirectory(prefix="hyper-") as folder, TRACES.watched(Path(folder)):
            yield Path(folder)

    @pytest.fixture
    def short_dir(self, short_path: Path) -> Path:
        return Path(tempfile.mkdtemp(dir=short_path))

    @pytest.fixture
    def spec(self, short_dir: Path, kernel: Path, guest: Path) -> MachineSpec:
        return make_spec(short_dir, kernel=kernel, initrd=guest)

    @pytest.fixture
    async def launch(self, driver: Driver) -> AsyncIterator[Launcher]:
        async with contextlib.AsyncExitStack() as stack:

            async def launch(spec: MachineSpec) -> Machine:
                machine = await driver.launch(spec)
                stack.push_async_callback(machine.kill)
                stack.enter_context(TRACES.told(f"{spec.name}.console", machine.console_tail))
                return machine

            yield launch

    async def test_agent_answers_hello(self, launch: Launcher, spec: MachineSpec) -> None:
        """The agent's stream of a launched machine answers."""
        machine = await launch(spec)
        async with asyncio.timeout(BOOT_S):
            hello = await meet(machine)
        assert hello.agent == "contract"

    async def test_stream_is_duplex_and_whole(self, launch: Launcher, spec: MachineSpec) -> None:
        """The agent's stream carries all bytes both ways at once."""
        count = 3_000_000
        async with talk(await launch(spec)) as guest:
            await guest.say(f"flood {count}")
            line = "echo " + "x" * 1000
            sending = asyncio.ensure_future(guest.say("\n".join([line] * 200)))
            got = b""
            async with asyncio.timeout(BOOT_S):
                while len(got) < count + 200 * 1001:
                    got += await guest.receive()
                await sending
            assert got == b"f" * count + (b"x" * 1000 + b"\n") * 200

    async def test_wait_sees_the_guest_power_off(self, launch: Launcher, spec: MachineSpec) -> None:
        """A wait returns when the guest has turned itself off."""
        machine = await launch(spec)
        waiting = [asyncio.ensure_future(machine.wait()) for _ in range(3)]
        async with talk(machine) as guest:
            await guest.say("off")
            async with asyncio.timeout(ANSWER_S):
                ends = await asyncio.gather(*waiting)
        assert [end.status for end in ends] == [0, 0, 0]
        assert (await machine.wait()).status == 0
        with pytest.raises(MachineError):
            await machine.connect(Guest)

    async def test_kill_is_repeatable_and_leaves_nothing(
        self, driver: Driver, spec: MachineSpec
    ) -> None:
        """A kill leaves no process, socket or control group; a second one has nothing to do."""
        before = snapshot(folders=[spec.run_dir])
        machine = await driver.launch(spec)
        pid = machine.record.pid
        assert left_behind(before, spec) != []
        await machine.kill()
        await machine.kill()
        with pytest.raises(ProcessLookupError):
            pidfd.start_ticks(pid)
        assert left_behind(before, spec) == []

    async def test_kill_after_its_own_end_leaves_nothing(
        self, driver: Driver, spec: MachineSpec
    ) -> None:
        """A kill takes away what a machine that ended by itself has left."""
        before = snapshot(folders=[spec.run_dir])
        machine = await driver.launch(spec)
        async with talk(machine) as guest:
            await guest.say("off")
            await machine.wait()
        await machine.kill()
        assert left_behind(before, spec) == []

    async def test_attach_after_the_object_is_lost(
        self, driver: Driver, launch: Launcher, spec: MachineSpec
    ) -> None:
        """An attach by the record finds the machine that another object launched."""
        machine = await launch(spec)
        async with talk(machine) as guest:
            assert await guest.ask("echo before") == "before"
        await machine.close()

        again = await driver.attach(machine.record)
        assert again is not None
        assert again.record == machine.record
        async with talk(again) as guest:
            assert await guest.ask("echo after") == "after"
            assert not await again.paused()
            await again.pause()
            assert await again.paused()
            await again.resume()
            assert not await again.paused()
            await guest.say("panic")
            async with asyncio.timeout(ANSWER_S):
                end = await again.wait()
        assert end.status is None
        assert "Kernel panic" in end.console
        await again.kill()
        assert list(spec.run_dir.iterdir()) == []

    async def test_attach_to_a_machine_that_ended_is_none(
        self, driver: Driver, spec: MachineSpec
    ) -> None:
        """An attach to a machine that has ended gives nothing."""
        before = snapshot(folders=[spec.run_dir])
        machine = await driver.launch(spec)
        await machine.close()
        os.kill(machine.record.pid, signal.SIGKILL)
        async with asyncio.timeout(ANSWER_S):
            while await driver.attach(machine.record) is not None:
                await asyncio.sleep(0)
        assert await driver.attach(machine.record) is None
        await machine.kill()
        assert left_behind(before, spec) == []

    async def test_attach_is_not_fooled_by_a_reused_pid(
        self, driver: Driver, launch: Launcher, spec: MachineSpec
    ) -> None:
        """An attach tells a process of the same number by its start time."""
        record = (await launch(spec)).record
        assert await driver.attach(replace(record, start_ticks=record.start_ticks + 1)) is None
        assert await driver.attach(replace(record, pid=os.getpid())) is None

    async def test_launch_with_a_missing_disk_fails(
        self, driver: Driver, spec: MachineSpec
    ) -> None:
        """A launch with a disk that is not there fails, naming it."""
        before = snapshot(folders=[spec.run_dir])
        disk = Disk("a", FileBlocks(spec.run_dir / "missing.img"), read_only=True)
        with pytest.raises(MachineError, match=r"missing\.img: No such file"):
            await driver.launch(replace(spec, disks=(disk,)))
        assert left_behind(before, spec) == []

    async def test_launch_with_a_missing_kernel_fails(
        self, driver: Driver, spec: MachineSpec
    ) -> None:
        """A launch with a kernel that is not there fails and leaves nothing."""
        before = snapshot(folders=[spec.run_dir])
        with pytest.raises(MachineError, match="did not start"):
            await driver.launch(replace(spec, kernel=spec.run_dir / "vmlinux"))
        assert left_behind(before, spec) == []

    async def test_read_only_disk_when_the_guest_writes_is_unchanged(
        self, launch: Launcher, spec: MachineSpec, tmp_path: Path
    ) -> None:
        """A disk that is read-only to the host is so to a guest that tries to write."""
        content = b"content\n" + bytes(65536 - 8)
        shared, own = tmp_path / "shared.img", tmp_path / "own.img"
        for image in (shared, own):
            image.write_bytes(content)
        disks = (
            Disk("shared", FileBlocks(shared), read_only=True),
            Disk("own", FileBlocks(own), read_only=False),
        )
        async with talk(await launch(replace(spec, disks=disks))) as guest:
            assert await guest.ask("read shared") == "content"
            assert await guest.ask("read own") == "content"
            assert await guest.ask("write shared") != "0"
            assert await guest.ask("write own") == "0"
        assert shared.read_bytes() == content
        assert own.read_bytes()[:4096] == b"X" * 4096

    async def test_max_disks_when_all_are_used_are_read(
        self, driver: Driver, launch: Launcher, spec: MachineSpec, tmp_path: Path
    ) -> None:
        """A machine with ``max_disks`` disks has them all, each by its name."""
        disks = []
        for number in range(driver.max_disks):
            path = tmp_path / f"{number}.img"
            path.write_bytes(f"disk {number}\n".encode().ljust(4096, b"\0"))
            disks.append(Disk(f"disk{number}", FileBlocks(path), read_only=True))
        full = replace(spec, disks=tuple(disks), nics=(make_nic(),))
        async with talk(await launch(full)) as guest:
            for number in range(driver.max_disks):
                assert await guest.ask(f"read disk{number}") == f"disk {number}"

    async def test_disks_come_and_go(
        self, driver: Driver, launch: Launcher, spec: MachineSpec, tmp_path: Path
    ) -> None:
        """Each is what its last coming made it, and the host's word on writing holds; names are not used twice."""
        require(driver, Capability.ADD_DISK)
        content = b"content\n" + bytes(65536 - 8)
        shared, own = tmp_path / "shared.img", tmp_path / "own.img"
        for image in (shared, own):
            image.write_bytes(content)
        machine = await launch(spec)
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
        require(driver, Capability.ADD_DISK)
        image = tmp_path / "image"
        image.write_bytes(bytes(65536))
        machine = await launch(spec)
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
        require(driver, Capability.ADD_DISK)
        image = tmp_path / "image"
        image.write_bytes(b"content\n".ljust(4096, b"\0"))
        lost = await launch(spec)
        async with talk(lost):
            await lost.add_disks(Disk("first", FileBlocks(image), read_only=True))
        await lost.close()
        machine = await driver.attach(lost.record)
        assert machine is not None
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
        require(driver, Capability.ADD_DISK)
        machine = await driver.launch(spec)
        with pytest.raises(MachineError, match="cannot open disk"):
            await machine.add_disks(Disk("none", FileBlocks(tmp_path / "none"), read_only=True))
        await machine.kill()
        (tmp_path / "image").write_bytes(bytes(4096))
        with pytest.raises(MachineError):
            await machine.add_disks(Disk("late", FileBlocks(tmp_path / "image"), read_only=True))
        with pytest.raises(MachineError):
            await machine.remove_disk("late")

    async def test_slots_are_filled_and_emptied(
        self, driver: Driver, launch: Launcher, spec: MachineSpec, tmp_path: Path
    ) -> None:
        """A disk of a slot's name is there, held to the slot's access; a name without a slot is another disk."""
        require(driver, Capability.TEMPLATE)
        content = b"content\n" + bytes(65536 - 8)
        for name in ("layer", "own", "extra"):
            (tmp_path / name).write_bytes(content)
        machine = await launch(replace(spec, empty_slots=SLOTS))
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
        driver: Driver,
        launch: Launcher,
        spec: MachineSpec,
        short_dir: Path,
        tmp_path: Path,
    ) -> None:
        """Each on its own, with its own disks; what they began with does not change, and nobody can change it."""
        require(driver, Capability.TEMPLATE)
        memory, state = saved_files(spec)
        template = await launch(replace(spec, empty_slots=SLOTS, memory=Memory(memory)))
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
                    machine = await launch(replace(copy, empty_slots=SLOTS, memory=given))
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

    async def test_keys_of_templates(self, driver: Driver, spec: MachineSpec) -> None:
        """What a machine is made of makes another key; whose it is does not."""
        require(driver, Capability.TEMPLATE)
        key = await driver.template_key(spec, Card.NONE)
        same = replace(spec, name="other", run_dir=Path("/elsewhere"), uid=1, limits=Limits(cpus=1))
        assert await driver.template_key(same, Card.NONE) == key
        assert key.startswith(await driver.template_prefix())
        others = [
            await driver.template_key(spec, Card.USER),
            *[
                await driver.template_key(other, Card.NONE)
                for other in (
                    replace(spec, vcpus=2),
                    replace(spec, memory_mib=65),
                    replace(spec, empty_slots=SLOTS),
                    replace(spec, command_line=("quiet",)),
                )
            ],
        ]
        assert len({key, *others}) == len(others) + 1

    async def test_move_of_a_running_machine_keeps_it_reachable(
        self, driver: Driver, launch: Launcher, spec: MachineSpec, short_dir: Path
    ) -> None:
        """Its folder has another name: it is talked to, found again and ended there."""
        machine = await launch(spec)
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

    async def test_memory_that_the_guest_freed_returns_to_the_host(
        self, driver: Driver, launch: Launcher, spec: MachineSpec
    ) -> None:
        """What the guest took and gave up is the host's again, without anybody asking."""
        require(driver, Capability.MEMORY_RETURN)
        machine = await launch(replace(spec, memory_mib=512))
        async with talk(machine) as guest:
            assert await guest.ask("take 300") == "300"
            full = (await machine.stats()).resident_bytes
            assert await guest.ask("give") == "given"
            async with asyncio.timeout(ANSWER_S):
                while (await machine.stats()).resident_bytes > full - (250 << 20):
                    await guest.ask("echo on")

    async def test_pause_stops_the_guest(self, launch: Launcher, spec: MachineSpec) -> None:
        """A paused machine answers nothing until it is resumed."""
        machine = await launch(spec)
        async with talk(machine) as guest:
            await machine.pause()
            await guest.say("echo frozen")
            used = (await machine.stats()).cpu_ns
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await guest.receive()
            assert (await machine.stats()).cpu_ns - used < 200_000_000
            await machine.resume()
            assert await guest.hear() == "frozen"

    async def test_stats_of_a_running_machine_have_vcpus_time_and_memory(
        self, launch: Launcher, spec: MachineSpec
    ) -> None:
        """A machine has the vCPUs it was asked for, and figures of its time and memory."""
        machine = await launch(replace(spec, vcpus=2, limits=Limits(cpus=1.5)))
        async with talk(machine) as guest:
            assert await guest.ask("cpus") == "2"
        stats = await machine.stats()
        assert stats.vcpus == 2
        assert stats.cpu_ns > 0
        assert stats.resident_bytes > 10_000_000

    async def test_limits_change_while_it_runs(self, launch: Launcher, spec: MachineSpec) -> None:
        """The host's CPUs it may use, at its start and later; no set is all of them."""
        one, *others = sorted(os.sched_getaffinity(0))
        machine = await launch(replace(spec, limits=Limits(cpu_set=frozenset({one}))))
        assert os.sched_getaffinity(machine.record.pid) == {one}
        last = {others[-1] if others else one}
        await machine.limit(Limits(cpus=0.5, cpu_shares=512, cpu_set=frozenset(last)))
        assert os.sched_getaffinity(machine.record.pid) == last
        await machine.limit(Limits())
        assert os.sched_getaffinity(machine.record.pid) == {one, *others}

    async def test_stats_of_a_machine_that_ended_are_an_error(
        self, driver: Driver, spec: MachineSpec
    ) -> None:
        """The figures of a machine that has ended are an error."""
        machine = await driver.launch(spec)
        await machine.kill()
        with pytest.raises(MachineError):
            await machine.stats()

    async def test_console_holds_a_panic(
        self, launch: Launcher, spec: MachineSpec, tmp_path: Path
    ) -> None:
        """The console's tail has the last words of a kernel that panicked."""
        garbage = tmp_path / "garbage"
        garbage.write_bytes(b"no archive at all" * 100)
        machine = await launch(replace(spec, initrd=garbage))
        async with asyncio.timeout(BOOT_S):
            end = await machine.wait()
        assert "Kernel panic" in end.console
        assert "Kernel panic" in machine.console_tail()
        assert len(end.console) <= 8192
        with pytest.raises(MachineError) as raised:
            await meet(machine)
        assert "Kernel panic" in str(raised.value) or "no agent stream" in str(raised.value)

    async def test_launch_with_a_taken_port_is_a_conflict(
        self, driver: Driver, launch: Launcher, spec: MachineSpec
    ) -> None:
        """A launch with a forwarded port that is in use fails, naming the port."""
        before = snapshot(folders=[spec.run_dir])
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            wanted = replace(spec, nics=(make_nic(Forward("tcp", "127.0.0.1", port, 80)),))
            with pytest.raises(Conflict) as raised:
                await driver.launch(wanted)
        assert str(raised.value) == (
            "driver failed programming external connectivity: "
            f"Bind for 127.0.0.1:{port} failed: port is already allocated"
        )
        assert left_behind(before, spec) == []
        await launch(wanted)

    async def test_clear_of_a_folder_ends_the_machine_nobody_kept(
        self, driver: Driver, launch: Launcher, spec: MachineSpec
    ) -> None:
        """A machine whose record nobody kept is ended by clearing its run folder, twice without harm."""
        lost = await driver.launch(spec)
        await lost.close()
        found = await launch(spec)
        assert await driver.attach(lost.record) is None
        await found.close()
        before = snapshot(folders=[spec.run_dir])
        await driver.clear(spec.run_dir)
        await driver.clear(spec.run_dir)
        assert await driver.attach(found.record) is None
        assert list(spec.run_dir.iterdir()) == []
        assert left_behind(before, spec) == []

    async def test_two_machines_are_independent(
        self, driver: Driver, launch: Launcher, spec: MachineSpec, short_dir: Path
    ) -> None:
        """The end of one machine leaves the other running."""
        other = make_spec(short_dir, kernel=spec.kernel, initrd=spec.initrd)
        first, second = await asyncio.gather(launch(spec), launch(other))
        async with talk(first) as one, talk(second) as two:
            assert await one.ask("echo one") == "one"
            assert await two.ask("echo two") == "two"
            await first.kill()
            assert await two.ask("echo still here") == "still here"
        assert (await second.stats()).cpu_ns > 0

    @pytest.mark.parametrize("delay_ms", [0, 2, 5, 10, 20, 40])
    def test_a_loop_that_is_shut_down_leaves_nothing(
        self, driver: Driver, spec: MachineSpec, delay_ms: int
    ) -> None:
        """asyncio.run cancels every task there is at its end, those that clean up included."""

        launched = []

        async def launch() -> None:
            launched.append(await driver.launch(spec))

        async def main() -> None:
            launching = asyncio.ensure_future(launch())
            await asyncio.sleep(delay_ms / 1000)
            assert not launching.done() or launched

        before = snapshot(folders=[spec.run_dir])
        asyncio.run(main())
        if launched:  # it was faster
            asyncio.run(driver.clear(spec.run_dir))
        assert left_behind(before, spec) == []

    async def test_a_cancelled_launch_leaves_nothing(
        self, driver: Driver, spec: MachineSpec
    ) -> None:
        """A launch that is cancelled leaves no process, socket or control group, whenever that is."""
        before = snapshot(folders=[spec.run_dir])
        for steps in (1, 2, 3, 5, 8):
            launching = asyncio.ensure_future(driver.launch(spec))
            for _ in range(steps):
                await asyncio.sleep(0)
            launching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await (await launching).kill()
            assert left_behind(before, spec) == []


def make_nic(*forwards: Forward) -> UserNic:
    """A card on a user network."""
    return UserNic(mac="52:54:00:12:34:56", network="10.0.2.0/24", forwards=forwards)

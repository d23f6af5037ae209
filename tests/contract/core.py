"""What every driver owes, whatever the hypervisor: run a subclass of CoreContract with your own ``driver``.

Suites of abilities are beside this one, and `process` is for drivers whose machines are processes of this host.
The guest is tests/contract/guest.c: it answers HELLO like the real agent, and lines of text.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hyper.errors import InvalidRequest, MachineError
from hyper.machine.driver import Driver, Machine
from hyper.machine.spec import Disk, FileBlocks, Limits, MachineSpec
from hyper.sandbox.probe import meet
from tests.support.machines import ANSWER_S, BOOT_S, Guest, build_guest, make_spec, talk
from tests.support.traces import TRACES

Launcher = Callable[[MachineSpec], Awaitable[Machine]]
#: What of a machine is left on this host.
Leavings = Callable[[], list[str]]


class MachineFixtures:
    """The fixtures of every suite. A subclass gives ``driver`` and ``kernel``."""

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


class CoreContract(MachineFixtures):
    """The tests of the core."""

    @pytest.fixture
    def leavings(self, spec: MachineSpec) -> Leavings:
        """What is in the machine's folder, which is all that a driver may use of this host by itself."""
        return lambda: sorted(path.name for path in spec.run_dir.iterdir())

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
        assert ends == [await machine.wait()] * 3
        assert ends[0].cause == ""
        with pytest.raises(MachineError):
            await machine.connect(Guest)

    async def test_kill_is_repeatable_and_leaves_nothing(
        self, driver: Driver, spec: MachineSpec, leavings: Leavings
    ) -> None:
        """A kill leaves no machine and nothing of it; a second one has nothing to do."""
        machine = await driver.launch(spec)
        assert driver.runs(machine.record)
        await machine.kill()
        await machine.kill()
        assert await driver.attach(machine.record) is None
        assert not driver.runs(machine.record)
        assert leavings() == []

    async def test_kill_after_its_own_end_leaves_nothing(
        self, driver: Driver, spec: MachineSpec, leavings: Leavings
    ) -> None:
        """A kill takes away what a machine that ended by itself has left."""
        machine = await driver.launch(spec)
        async with talk(machine) as guest:
            await guest.say("off")
            await machine.wait()
        await machine.kill()
        assert leavings() == []

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
        self, driver: Driver, spec: MachineSpec, leavings: Leavings
    ) -> None:
        """An attach to a machine that has ended gives nothing."""
        machine = await driver.launch(spec)
        async with talk(machine) as guest:
            await guest.say("off")
            await machine.wait()
        await machine.close()
        async with asyncio.timeout(ANSWER_S):
            while await driver.attach(machine.record) is not None:
                await asyncio.sleep(0)
        assert await driver.attach(machine.record) is None
        await machine.kill()
        assert leavings() == []

    async def test_launch_with_a_missing_disk_fails(
        self, driver: Driver, spec: MachineSpec, leavings: Leavings
    ) -> None:
        """A launch with a disk that is not there fails, naming it."""
        disk = Disk("a", FileBlocks(spec.run_dir / "missing.img"), read_only=True)
        with pytest.raises(MachineError, match=r"missing\.img: No such file"):
            await driver.launch(replace(spec, disks=(disk,)))
        assert leavings() == []

    async def test_launch_with_a_missing_kernel_fails(
        self, driver: Driver, spec: MachineSpec, leavings: Leavings
    ) -> None:
        """A launch with a kernel that is not there fails and leaves nothing."""
        with pytest.raises(MachineError, match="did not start"):
            await driver.launch(replace(spec, kernel=spec.run_dir / "vmlinux"))
        assert leavings() == []

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
        self,
        driver: Driver,
        launch: Launcher,
        spec: MachineSpec,
        short_dir: Path,
        tmp_path: Path,
    ) -> None:
        """A machine with ``max_disks`` disks has them all, each by its name; with one more there is none."""
        disks = []
        for number in range(driver.max_disks(shared=False)):
            path = tmp_path / f"{number}.img"
            path.write_bytes(f"disk {number}\n".encode().ljust(4096, b"\0"))
            disks.append(Disk(f"disk{number}", FileBlocks(path), read_only=True))
        full = replace(spec, disks=tuple(disks))
        async with talk(await launch(full)) as guest:
            for number in range(driver.max_disks(shared=False)):
                assert await guest.ask(f"read disk{number}") == f"disk {number}"
        other = make_spec(short_dir, kernel=spec.kernel, initrd=spec.initrd)
        one_more = replace(disks[0], name="more")
        with pytest.raises(InvalidRequest, match="disks"):
            await driver.launch(replace(other, disks=(*disks, one_more)))

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

    async def test_clear_of_a_folder_ends_the_machine_nobody_kept(
        self, driver: Driver, launch: Launcher, spec: MachineSpec
    ) -> None:
        """A machine whose record nobody kept is ended by clearing its run folder, twice without harm."""
        lost = await driver.launch(spec)
        await lost.close()
        found = await launch(spec)
        assert await driver.attach(lost.record) is None
        await found.close()
        await driver.clear(spec.run_dir)
        await driver.clear(spec.run_dir)
        assert await driver.attach(found.record) is None
        assert list(spec.run_dir.iterdir()) == []

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
        self, driver: Driver, spec: MachineSpec, delay_ms: int, leavings: Leavings
    ) -> None:
        """asyncio.run cancels every task there is at its end, those that clean up included."""

        launched = []

        async def launch() -> None:
            launched.append(await driver.launch(spec))

        async def main() -> None:
            launching = asyncio.ensure_future(launch())
            await asyncio.sleep(delay_ms / 1000)
            assert not launching.done() or launched

        asyncio.run(main())
        if launched:  # it was faster
            asyncio.run(driver.clear(spec.run_dir))
        assert leavings() == []

    async def test_a_cancelled_launch_leaves_nothing(
        self, driver: Driver, spec: MachineSpec, leavings: Leavings
    ) -> None:
        """A launch that is cancelled leaves nothing, whenever that is."""
        for steps in (1, 2, 3, 5, 8):
            launching = asyncio.ensure_future(driver.launch(spec))
            for _ in range(steps):
                await asyncio.sleep(0)
            launching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await (await launching).kill()
            assert leavings() == []

    async def test_limits_when_they_change_leave_the_machine_running(
        self, launch: Launcher, spec: MachineSpec
    ) -> None:
        """A machine that is given limits, others, and none answers all the while."""
        machine = await launch(replace(spec, limits=Limits(cpus=0.9)))
        async with talk(machine) as guest:
            for limits in (Limits(cpus=0.5, cpu_shares=512), Limits(cpu_shares=256), Limits()):
                await machine.limit(limits)
                assert await guest.ask("echo on") == "on"

    async def test_clear_of_a_folder_without_a_machine_does_nothing(
        self, driver: Driver, spec: MachineSpec, leavings: Leavings
    ) -> None:
        """A folder in which no machine ever was, and one that is not there, are cleared without an error."""
        await driver.clear(spec.run_dir)
        await driver.clear(spec.run_dir / "none")
        assert leavings() == []

    async def test_recover_ends_machines_that_no_record_names(
        self, driver: Driver, launch: Launcher, spec: MachineSpec, short_dir: Path
    ) -> None:
        """A machine whose record is kept goes on; one that no record names is gone, though its folder was wiped."""
        kept, stray = (
            await launch(spec),
            make_spec(short_dir, kernel=spec.kernel, initrd=spec.initrd),
        )
        lost = await launch(stray)
        await lost.close()
        shutil.rmtree(stray.run_dir)
        stray.run_dir.mkdir(mode=0o700)
        await driver.recover([kept.record])
        assert await driver.attach(lost.record) is None
        async with talk(kept) as guest:
            assert await guest.ask("echo here") == "here"

    def test_name_of_the_driver_is_in_records_and_verdicts(self, driver: Driver) -> None:
        """Verdicts name the driver; its names for accelerators are theirs."""
        for accelerator, verdict in driver.verdicts().items():
            if verdict is not None:
                assert (verdict.driver, verdict.accelerator) == (driver.name, accelerator)

"""What a driver owes whose machines are processes of this host."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import replace

import pytest

from hyper.machine.driver import Driver
from hyper.machine.process.state import ProcessState
from hyper.machine.spec import Limits, MachineSpec
from hyper.system import pidfd
from tests.contract.core import Launcher, Leavings, MachineFixtures
from tests.support.hygiene import Snapshot, snapshot
from tests.support.machines import ANSWER_S, talk


def left_behind(before: Snapshot, spec: MachineSpec) -> list[str]:
    """What of ``spec``'s machine is on the host now. (Others may work beside us: all else is not looked at.)"""
    marks = (spec.name, f"uid {spec.uid}")
    after = snapshot(folders=[spec.run_dir])
    return [line for line in before.differences(after) if any(mark in line for mark in marks)]


class ProcessContract(MachineFixtures):
    """The tests of machines that are processes.

    Before CoreContract among the bases: its ``leavings`` are all that is left of a machine on the host.
    """

    @pytest.fixture
    def leavings(self, spec: MachineSpec) -> Leavings:
        """What of the machine is on the host: processes, sockets, control groups. (Others may work beside us.)"""
        before = snapshot(folders=[spec.run_dir])
        return lambda: left_behind(before, spec)

    async def test_kill_leaves_no_process(
        self, driver: Driver, spec: MachineSpec, leavings: Leavings
    ) -> None:
        """A kill leaves no process, socket or control group; a second one has nothing to do."""
        machine = await driver.launch(spec)
        pid = ProcessState.of(machine.record).pid
        assert leavings() != []
        await machine.kill()
        await machine.kill()
        with pytest.raises(ProcessLookupError):
            pidfd.start_ticks(pid)
        assert leavings() == []

    async def test_attach_to_a_machine_whose_process_was_killed_is_none(
        self, driver: Driver, spec: MachineSpec, leavings: Leavings
    ) -> None:
        """An attach to a machine whose process somebody has killed gives nothing."""
        machine = await driver.launch(spec)
        pid = ProcessState.of(machine.record).pid
        await machine.close()
        os.kill(pid, signal.SIGKILL)
        async with asyncio.timeout(ANSWER_S):
            while await driver.attach(machine.record) is not None:
                await asyncio.sleep(0)
        assert await driver.attach(machine.record) is None
        await machine.kill()
        assert leavings() == []

    async def test_attach_is_not_fooled_by_a_reused_pid(
        self, driver: Driver, launch: Launcher, spec: MachineSpec
    ) -> None:
        """An attach tells a process of the same number by its start time."""
        record = (await launch(spec)).record
        state = ProcessState.of(record)
        later = record.state | {"start_ticks": state.start_ticks + 1}
        assert await driver.attach(replace(record, state=later)) is None
        assert (
            await driver.attach(replace(record, state=record.state | {"pid": os.getpid()})) is None
        )

    async def test_limits_change_while_it_runs(self, launch: Launcher, spec: MachineSpec) -> None:
        """The host's CPUs it may use, at its start and later; no set is all of them."""
        one, *others = sorted(os.sched_getaffinity(0))
        machine = await launch(replace(spec, limits=Limits(cpu_set=frozenset({one}))))
        assert os.sched_getaffinity(ProcessState.of(machine.record).pid) == {one}
        last = {others[-1] if others else one}
        await machine.limit(Limits(cpus=0.5, cpu_shares=512, cpu_set=frozenset(last)))
        assert os.sched_getaffinity(ProcessState.of(machine.record).pid) == last
        await machine.limit(Limits())
        assert os.sched_getaffinity(ProcessState.of(machine.record).pid) == {one, *others}

    async def test_exit_status_of_a_machine_is_its_process(
        self, driver: Driver, launch: Launcher, spec: MachineSpec
    ) -> None:
        """A child's status is known; that of a process found again is not."""
        machine = await launch(spec)
        again = await driver.attach(machine.record)
        assert again is not None
        async with talk(machine) as guest:
            await guest.say("off")
            async with asyncio.timeout(ANSWER_S):
                assert (await machine.wait()).status == 0
                assert (await again.wait()).status is None
        await again.close()

    async def test_clear_of_a_folder_leaves_nothing_of_its_machine(
        self, driver: Driver, launch: Launcher, spec: MachineSpec
    ) -> None:
        """A machine found by its folder alone leaves no process, socket or control group, and clearing makes none."""
        await (await launch(spec)).close()
        before = snapshot(folders=[spec.run_dir])
        await driver.clear(spec.run_dir)
        await driver.clear(spec.run_dir)
        assert list(spec.run_dir.iterdir()) == []
        assert left_behind(before, spec) == []

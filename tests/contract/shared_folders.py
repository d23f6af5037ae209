"""What a driver owes that is `SharedFolders`, and its machines that are `SharingMachine`."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path

import pytest

from hyper.errors import MachineError
from hyper.machine.abilities import SharedFolders, SharingMachine
from hyper.machine.driver import Driver
from hyper.machine.spec import MachineSpec, SharedPath
from tests.contract.core import Launcher, Leavings, MachineFixtures
from tests.support.machines import talk


class SharedFoldersContract(MachineFixtures):
    """The tests of folders and files of the host that a machine sees."""

    async def test_shared_folders_are_seen_by_their_numbers(
        self, driver: Driver, launch: Launcher, spec: MachineSpec, tmp_path: Path
    ) -> None:
        """What the host writes the guest reads, and the other way where it may; a file can be shared alone."""
        assert isinstance(driver, SharedFolders)
        tmp_path.chmod(0o755)
        for name in ("own", "others"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "file").write_text(f"{name}\n")
        (tmp_path / "alone").write_text("alone\n")
        shared = (
            SharedPath(tmp_path / "own", read_only=False),
            SharedPath(tmp_path / "others", read_only=True),
            SharedPath(tmp_path / "alone", read_only=True),
        )
        machine = await launch(replace(spec, shared=shared))
        assert isinstance(machine, SharingMachine)
        async with talk(machine) as guest:
            assert await guest.ask("share 0/file") == "own"
            assert await guest.ask("share 1/file") == "others"
            assert await guest.ask("share 2") == "alone"
            assert await guest.ask("shade 0/new") == "0"
            assert await guest.ask("shade 1/new") == str(errno.EROFS)
            assert await guest.ask("share 3") == str(errno.ENOENT)
        assert (tmp_path / "own/new").read_text() == "X\n"
        assert not (tmp_path / "others/new").exists()

    async def test_launch_with_a_missing_shared_folder_fails(
        self, driver: Driver, spec: MachineSpec, tmp_path: Path, leavings: Leavings
    ) -> None:
        """A launch that shares what is not there fails and leaves nothing."""
        missing = (SharedPath(tmp_path / "missing", read_only=True),)
        with pytest.raises(MachineError, match="share files"):
            await driver.launch(replace(spec, shared=missing))
        assert leavings() == []

    async def test_fail_of_a_machine_tells_its_cause(
        self, launch: Launcher, spec: MachineSpec, tmp_path: Path
    ) -> None:
        """The exit of a machine that is ended for its share has the reason; a second one changes nothing."""
        machine = await launch(replace(spec, shared=(SharedPath(tmp_path, read_only=True),)))
        assert isinstance(machine, SharingMachine)
        machine.fail("first")
        ended = await machine.wait()
        machine.fail("second")
        assert ended.cause == "first"
        assert await machine.wait() == ended

"""A driver of another host's machines through the contract: the core, and no ability."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hyper.errors import InvalidRequest
from hyper.machine import abilities
from hyper.machine.driver import Driver
from hyper.machine.spec import MachineSpec, SharedPath
from tests.contract.core import CoreContract, Launcher, Leavings
from tests.support.assets import find_asset
from tests.support.machines import make_nic
from tests.support.remote.driver import RemoteDriver
from tests.support.remote.other_host import OtherHost, other_host

pytestmark = [pytest.mark.vm, pytest.mark.root]


@pytest.fixture(scope="module")
def kernel() -> Path:
    return find_asset("vmlinux")


class TestRemote(CoreContract):
    """Machines that are no processes here."""

    @pytest.fixture(scope="class")
    @classmethod
    def host(cls, contract_assets: Path) -> Iterator[OtherHost]:
        with other_host(contract_assets) as host:
            yield host

    @pytest.fixture
    def driver(self, host: OtherHost, state_dir: Path) -> Driver:
        return RemoteDriver(host.address, state_dir)

    @pytest.fixture
    def leavings(self, host: OtherHost, spec: MachineSpec) -> Leavings:
        """What is in the machine's folder, and machines of its name on the other host."""

        def left() -> list[str]:
            machines = [id for id in host.left() if f"-{spec.name}-" in id]
            return [*machines, *sorted(path.name for path in spec.run_dir.iterdir())]

        return left

    async def test_abilities_are_none_and_what_needs_them_is_refused(
        self, driver: Driver, launch: Launcher, spec: MachineSpec, leavings: Leavings
    ) -> None:
        """Neither the driver nor its machines claim one; cards and shares are refused before anything is made."""
        assert not any(isinstance(driver, kind) for kind in abilities.OF_DRIVERS.values())
        for more in ({"nics": (make_nic(),)}, {"shared": (SharedPath(Path("/"), True),)}):
            with pytest.raises(InvalidRequest):
                await driver.launch(replace(spec, **more))
        assert leavings() == []
        machine = await launch(spec)
        assert not isinstance(machine, abilities.HotplugDisks | abilities.SharingMachine)
        assert driver.describe(machine.record).pid == 0

"""QEMU through the driver's contract, on every accelerator that works here."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hyper.machine.qemu.driver import QemuDriver
from hyper.sandbox.probe import meet
from hyper.system import cgroup
from hyper.system.cgroup import GroupLimits
from tests.contract.core import CoreContract
from tests.contract.hotplug import HotplugContract
from tests.contract.memory import MemoryContract
from tests.contract.process import ProcessContract
from tests.contract.shared_folders import SharedFoldersContract
from tests.contract.tap_networking import TapNetworkingContract
from tests.contract.templates import TemplatesContract
from tests.contract.user_networking import UserNetworkingContract
from tests.support.assets import find_asset

pytestmark = pytest.mark.vm


@pytest.fixture(scope="module")
def kernel() -> Path:
    return find_asset("vmlinux")


@pytest.mark.root
async def test_a_group_without_a_machine_is_cleared_away(tmp_path: Path, kernel: Path) -> None:
    """A daemon that died between making a machine's control group and its record: the folder's name is enough."""
    driver = QemuDriver(
        assets=kernel.parent, state_dir=tmp_path / "s", meet=meet, accelerator="tcg"
    )
    folder = tmp_path / f"early-{os.getpid()}"
    folder.mkdir()
    group = cgroup.discover().create(folder.name, GroupLimits(pids=10))
    assert group.places
    assert all(place.exists() for _, place in group.places)
    await driver.clear(folder)
    assert not any(place.exists() for _, place in group.places)
    await driver.clear(folder)


class QemuContract(
    ProcessContract,
    CoreContract,
    HotplugContract,
    TemplatesContract,
    SharedFoldersContract,
    UserNetworkingContract,
    TapNetworkingContract,
    MemoryContract,
):
    """All that QEMU owes."""


class TestTcg(QemuContract):
    """Emulation."""

    @pytest.fixture
    def driver(self, state_dir: Path, kernel: Path) -> QemuDriver:
        return QemuDriver(assets=kernel.parent, state_dir=state_dir, meet=meet, accelerator="tcg")


class TestKvm(QemuContract):
    """Hardware. Skipped, with the probe's reason, where a guest does not come up on it."""

    @pytest.fixture
    async def driver(self, state_dir: Path, kernel: Path, contract_assets: Path) -> QemuDriver:
        probing = QemuDriver(
            assets=contract_assets, state_dir=state_dir, meet=meet, accelerator="kvm"
        )
        [verdict] = await probing.probe()
        if not verdict.usable:
            pytest.skip(verdict.reason)
        return QemuDriver(assets=kernel.parent, state_dir=state_dir, meet=meet, accelerator="kvm")

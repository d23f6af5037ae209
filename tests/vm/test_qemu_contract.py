"""QEMU through the driver's contract, on every accelerator that works here."""

from __future__ import annotations

from pathlib import Path

import pytest

from hyper.machine.driver import Driver
from hyper.machine.qemu.driver import QemuDriver
from tests.contract.driver import DriverContract
from tests.support.assets import find_asset

pytestmark = pytest.mark.vm


@pytest.fixture(scope="module")
def kernel() -> Path:
    return find_asset("vmlinux")


class TestTcg(DriverContract):
    """Emulation."""

    @pytest.fixture
    def driver(self, state_dir: Path, kernel: Path) -> Driver:
        return QemuDriver(assets=kernel.parent, state_dir=state_dir, accelerator="tcg")


class TestKvm(DriverContract):
    """Hardware. Skipped, with the probe's reason, where a guest does not come up on it."""

    @pytest.fixture
    async def driver(self, state_dir: Path, kernel: Path, contract_assets: Path) -> Driver:
        probing = QemuDriver(assets=contract_assets, state_dir=state_dir, accelerator="kvm")
        [verdict] = await probing.probe()
        if not verdict.usable:
            pytest.skip(verdict.reason)
        return QemuDriver(assets=kernel.parent, state_dir=state_dir, accelerator="kvm")

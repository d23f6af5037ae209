"""The real kernel and the real agent on the driver: what the contract's own guest cannot show."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hyper.machine.probe import FILE
from hyper.machine.qemu.driver import QemuDriver
from hyper.sandbox.probe import meet
from hyper.system import tsc
from hyper.system.tsc import TscMeter
from tests.support.assets import find_asset
from tests.support.machines import BOOT_S, make_spec
from tests.support.traces import TRACES

pytestmark = pytest.mark.vm


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="hyper-") as name, TRACES.watched(Path(name)):
        yield Path(name)


@pytest.fixture
def assets() -> Path:
    find_asset("initrd")
    return find_asset("vmlinux").parent


async def test_hyperstart_answers_and_answers_again(folder: Path, assets: Path) -> None:
    """The agent meets a second session of the same boot after the first has hung up."""
    driver = QemuDriver(assets=assets, state_dir=folder / "s", meet=meet, accelerator="tcg")
    spec = make_spec(folder, kernel=assets / "vmlinux", initrd=assets / "initrd")
    machine = await driver.launch(spec)
    try:
        async with asyncio.timeout(BOOT_S):
            first = await meet(machine)
            second = await meet(machine)
        assert first.agent.lower().startswith("hyperstart")
        assert second.boot_ns == first.boot_ns
        assert first.processes == ()
    finally:
        await machine.kill()


@pytest.mark.parametrize("vcpus", [1, 2])
@pytest.mark.parametrize("invariant", [True, False])
async def test_guests_boot_whether_they_are_told_the_speed_of_their_clock_or_not(
    folder: Path, assets: Path, monkeypatch: pytest.MonkeyPatch, invariant: bool, vcpus: int
) -> None:
    """With an invariant counter a machine has no PIT and no PIC; without, its kernel counts against them."""
    if not invariant:
        monkeypatch.setattr(tsc, "_is_invariant", lambda: False)
    driver = QemuDriver(assets=assets, state_dir=folder / "s", meet=meet, accelerator="tcg")
    plain = make_spec(folder, kernel=assets / "vmlinux", initrd=assets / "initrd")
    spec = replace(plain, vcpus=vcpus)
    machine = await driver.launch(spec)
    try:
        command = Path(f"/proc/{driver.describe(machine.record).pid}/cmdline").read_text()
        assert ("pit=off,pic=off" in command) == (await TscMeter().khz() is not None)
        async with asyncio.timeout(BOOT_S):
            hello = await meet(machine)
        assert hello.processes == ()
    finally:
        await machine.kill()


async def test_probe_finds_an_accelerator_and_remembers(folder: Path, assets: Path) -> None:
    """The verdicts of a probe are kept in a file, from which another driver has the same."""
    driver = QemuDriver(assets=assets, state_dir=folder / "s", meet=meet)
    verdicts = await driver.probe()
    assert [verdict.accelerator for verdict in verdicts] == ["kvm", "tcg"]
    tcg = verdicts[1]
    assert tcg.usable, tcg.reason
    kept = json.loads((folder / "s" / FILE).read_text())
    assert kept["verdicts"][-1]["boot_ms"] == tcg.boot_ms
    again = QemuDriver(assets=assets, state_dir=folder / "s", meet=meet)
    assert await again.probe() == verdicts
    assert {path.name for path in (folder / "s").iterdir()} <= {FILE, "kvm", "machines"}

"""What is told of hypervisors: at once, and by themselves."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import cast

import msgspec
import pytest

from hyper.engine.hypervisors import Hypervisors
from hyper.engine.tasks import Tasks
from hyper.errors import InvalidRequest, MachineError
from hyper.machine import abilities
from hyper.machine.driver import Description, Driver, MachineRecord, Verdict
from hyper.machine.drivers import AUTO, Drivers
from hyper.machine.qemu.version import BinaryVersion, from_greeting

GREETING = (
    b'{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "Debian 1:7.2"}, '
    b'"capabilities": ["oob"]}}'
)


class SilentDriver:
    """A driver whose guest says nothing until it is told to."""

    def __init__(self, name: str = "fake", verdict: Verdict | None = None) -> None:
        self.name = name
        self.kept: dict[str, Verdict | None] = {"tcg": verdict}
        self.probes = 0
        self.speaks = asyncio.Event()
        self.missing = False

    def verdicts(self) -> dict[str, Verdict | None]:
        if self.missing:
            raise MachineError("no such program")
        return dict(self.kept)

    async def probe(self) -> list[Verdict]:
        self.probes += 1
        await self.speaks.wait()
        self.kept["tcg"] = Verdict(self.name, "tcg", usable=True, reason="up")
        return []


def drivers_of(*drivers: SilentDriver, default: str = AUTO) -> Drivers:
    return Drivers(cast("list[Driver]", drivers), default=default)


def works(name: str, *, usable: bool) -> SilentDriver:
    """A driver that was tried."""
    return SilentDriver(name, Verdict(name, "tcg", usable=usable, reason="tried"))


async def test_a_silent_guest_keeps_nobody_waiting() -> None:
    """Answers come while one probe runs; its verdict is in the first answer after it."""
    driver, tasks = SilentDriver(), Tasks()
    told = Hypervisors(drivers_of(driver), tasks)
    for _ in range(3):
        assert [found.verdict for found in told.findings()] == [None]
        await asyncio.sleep(0)
    assert driver.probes == 1
    driver.speaks.set()
    while driver.kept["tcg"] is None:
        await asyncio.sleep(0)
    [found] = told.findings()
    assert found.verdict is not None
    assert found.verdict.usable
    assert driver.probes == 1
    await tasks.close()


async def test_findings_of_several_drivers_are_told_in_their_order() -> None:
    """A driver whose program is missing is told of as not usable, with the reason, and hides no other."""
    gone, here = SilentDriver("gone"), works("here", usable=True)
    gone.missing = True
    found = Hypervisors(drivers_of(gone, here), Tasks()).findings()
    told = [(item.driver, item.verdict and item.verdict.reason) for item in found]
    assert told == [("gone", "no such program"), ("here", "tried")]


class Able(SilentDriver, abilities.UserNetworking, abilities.MemoryGiveBack):
    """A driver with two abilities, and a host that cannot hold machines to all limits."""

    unlimited = ("no controller of CPUs", "no controller of memory")

    async def version(self) -> str:
        return "1.2"


async def test_abilities_and_shortcomings_of_a_driver_are_told() -> None:
    """Abilities by their names, versions by the drivers', and a sentence of the limits that are missing."""
    driver = Able("able", Verdict("able", "tcg", usable=True, reason="tried"))
    told = Hypervisors(drivers_of(driver), Tasks())
    assert [found.abilities for found in told.findings()] == [
        ("user-networking", "memory-give-back")
    ]
    assert (told.names, told.default) == (["able"], "able")
    assert await told.versions() == {"able": "1.2"}
    assert told.shortcomings() == [
        "limits are incomplete: no controller of CPUs; no controller of memory"
    ]


@pytest.mark.parametrize(
    ("first", "second", "chosen"),
    [
        (works("a", usable=True), works("b", usable=True), "a"),
        (works("a", usable=False), works("b", usable=True), "b"),
        (SilentDriver("a"), works("b", usable=True), "a"),
        (works("a", usable=False), SilentDriver("b"), "b"),
        (works("a", usable=False), works("b", usable=False), "a"),
    ],
)
def test_default_driver_is_the_first_that_works(
    first: SilentDriver, second: SilentDriver, chosen: str
) -> None:
    """One that was not tried yet counts as one that works; where none does, the first says why."""
    assert drivers_of(first, second).default.name == chosen
    assert drivers_of(first, second, default="b").default.name == "b"


def test_driver_of_an_unknown_name_is_an_error_that_names_those_there_are() -> None:
    """For a daemon's option, for a container, and for a machine whose daemon had another driver."""
    drivers = drivers_of(SilentDriver("a"), SilentDriver("b"))
    assert drivers.names == ["a", "b"]
    with pytest.raises(InvalidRequest, match="unknown hypervisor: c") as caught:
        drivers.get("c")
    assert caught.value.hint == "hypervisors here: a, b"
    with pytest.raises(InvalidRequest, match="unknown hypervisor: c"):
        drivers_of(SilentDriver("a"), default="c")
    with pytest.raises(MachineError, match="hypervisor c, which this daemon does not have"):
        drivers.of(MachineRecord("c", "machine"))


async def test_machine_of_a_driver_that_is_not_here_may_run() -> None:
    """It is not taken for ended: whoever has its driver finds it again."""
    drivers, record = drivers_of(SilentDriver()), MachineRecord("c", "machine")
    assert drivers.runs(record)
    assert drivers.describe(record) == Description()
    with pytest.raises(MachineError):
        await drivers.attach(record)


class Failing(SilentDriver):
    """A driver whose host does not answer, or does; ``cleared`` and ``kept``: what was asked of it."""

    def __init__(self, name: str, *, fails: bool) -> None:
        super().__init__(name)
        self.fails = fails
        self.asked: list[object] = []

    async def recover(self, kept: object) -> None:
        self.asked.append(kept)
        if self.fails:
            raise MachineError("no answer")

    async def clear(self, run_dir: Path) -> None:
        await self.recover(run_dir)


async def test_driver_that_fails_keeps_no_other_from_its_work(tmp_path: Path) -> None:
    """Strays of all drivers are ended as far as they can be; a folder is not clear until all have said so."""
    bad, good = Failing("bad", fails=True), Failing("good", fails=False)
    drivers = drivers_of(bad, good)
    await drivers.recover([])
    with pytest.raises(MachineError, match="no answer"):
        await drivers.clear(tmp_path)
    assert good.asked == [[], tmp_path]


def test_the_version_is_the_greetings() -> None:
    """Number and package as QEMU says them; without a package the number alone; nothing else is taken for one."""
    assert from_greeting(GREETING) == "7.2.22 (Debian 1:7.2)"
    assert from_greeting(GREETING.replace(b"Debian 1:7.2", b"")) == "7.2.22"
    for damage in (b"", b"QEMU emulator version 7.2.22", b'{"QMP": {}}'):
        with pytest.raises(msgspec.DecodeError):
            from_greeting(damage)


async def test_a_binary_is_asked_once_and_again_when_it_changed(tmp_path: Path) -> None:
    """A stand-in that counts its runs by what it says."""
    binary = tmp_path / "qemu"
    binary.write_text(f"#!/bin/sh\necho run >>{tmp_path}/runs\necho '{GREETING.decode()}'\n")
    binary.chmod(0o755)
    version = BinaryVersion(binary)
    assert [await version.read() for _ in range(2)] == ["7.2.22 (Debian 1:7.2)"] * 2
    assert (tmp_path / "runs").read_text() == "run\n"
    binary.write_text("#!/bin/sh\necho no greeting\n")
    assert await version.read() == ""


async def test_no_binary_has_no_version(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, not raised: the daemon answers all the same."""
    with caplog.at_level(logging.WARNING):
        assert await BinaryVersion(tmp_path / "none").read() == ""
    assert "is not known" in caplog.text

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
from hyper.machine.driver import Driver, Verdict
from hyper.machine.qemu.version import BinaryVersion, from_greeting

GREETING = (
    b'{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "Debian 1:7.2"}, '
    b'"capabilities": ["oob"]}}'
)


class SilentDriver:
    """Its guest says nothing until it is told to."""

    def __init__(self) -> None:
        self.kept: dict[str, Verdict | None] = {"tcg": None}
        self.probes = 0
        self.speaks = asyncio.Event()

    def verdicts(self) -> dict[str, Verdict | None]:
        return dict(self.kept)

    async def probe(self) -> list[Verdict]:
        self.probes += 1
        await self.speaks.wait()
        self.kept["tcg"] = Verdict("fake", "tcg", usable=True, reason="up")
        return []


async def test_a_silent_guest_keeps_nobody_waiting() -> None:
    """Answers come while one probe runs; its verdict is in the first answer after it."""
    driver, tasks = SilentDriver(), Tasks()
    told = Hypervisors(cast("Driver", driver), tasks)
    for _ in range(3):
        assert told.verdicts() == {"tcg": None}
        await asyncio.sleep(0)
    assert driver.probes == 1
    driver.speaks.set()
    while driver.kept["tcg"] is None:
        await asyncio.sleep(0)
    verdict = told.verdicts()["tcg"]
    assert verdict is not None
    assert verdict.usable
    assert driver.probes == 1
    await tasks.close()


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

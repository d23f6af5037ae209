"""Entering the jail: however it goes, nobody is left in it or before it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shutil
from pathlib import Path

import pytest

from hyper.system import jail, launch
from hyper.system.cgroup import Group
from hyper.system.jail import JailSpec, View
from tests.support.hygiene import snapshot

pytestmark = pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")

TRUE, SLEEP = Path("/usr/bin/true"), Path("/usr/bin/sleep")
UID = jail.FIRST_MACHINE_UID + 65000 if os.geteuid() == 0 else None
SPEC = JailSpec(views=(*jail.library_views(), View(TRUE), View(SLEEP)), uid=UID)


def ours() -> frozenset[str]:
    return snapshot().processes


async def test_its_status_comes_through() -> None:
    # Many: a program this short may be gone before we look at it.
    for _ in range(20):
        jailed = await launch.start(SPEC, [str(TRUE)])
        assert await jailed.outer.wait() == 0
        jailed.inner.close()


async def test_kill_reaps_both() -> None:
    before = ours()
    jailed = await launch.start(SPEC, [str(SLEEP), "1000"])
    assert ours() != before
    await jailed.kill()
    jailed.inner.close()
    assert ours() == before
    assert jailed.outer.status == 128 + 9


async def test_a_jail_that_cannot_be_built_says_why() -> None:
    before = ours()
    broken = JailSpec(views=(View(Path("/nonexistent")),), uid=UID)
    # bubblewrap reports its child before it looks at the views: the program "starts", and ends.
    with contextlib.suppress(launch.LaunchFailed):
        jailed = await launch.start(broken, [str(TRUE)])
        assert await jailed.outer.wait() != 0
        assert "/nonexistent" in jailed.outer.stderr_tail()
        jailed.inner.close()
    assert ours() == before


async def test_without_its_limits_it_does_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(group: Group, pid: int) -> None:
        raise OSError(errno.EBUSY, "busy")

    monkeypatch.setattr(Group, "add", refuse)
    before = ours()
    with pytest.raises(OSError, match="busy"):
        await launch.start(SPEC, [str(SLEEP), "1000"], group=Group(()))
    assert ours() == before


@pytest.mark.parametrize("steps", range(1, 7))
async def test_cancelling_leaves_nobody(steps: int) -> None:
    before = ours()
    starting = asyncio.ensure_future(launch.start(SPEC, [str(SLEEP), "1000"]))
    for _ in range(steps):
        await asyncio.sleep(0)
    starting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        jailed = await starting
        await jailed.kill()
        jailed.inner.close()
    assert ours() == before

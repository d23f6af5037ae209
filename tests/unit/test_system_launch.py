"""Entering the jail: however it goes, nobody is left in it or before it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hyper.system import jail, launch, pipe
from hyper.system.cgroup import Group
from hyper.system.jail import JailSpec, View
from hyper.system.pidfd import Pidfd
from tests.support.hygiene import snapshot

pytestmark = pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")

TRUE, SLEEP = Path("/usr/bin/true"), Path("/usr/bin/sleep")
UID = jail.FIRST_MACHINE_UID + 65000 if os.geteuid() == 0 else None
SPEC = JailSpec(views=(*jail.library_views(), View(TRUE), View(SLEEP)), uid=UID)


#: A duration nobody else sleeps for, to know our own by.
FOREVER = str(10_000_000 + os.getpid())


def ours() -> list[str]:
    """Processes of these tests' jails."""
    marks = (f"{SLEEP} {FOREVER}", "/nonexistent")
    return [line for line in snapshot().processes if any(mark in line for mark in marks)]


async def test_its_status_comes_through() -> None:
    # Many: a program this short may be gone before we look at it.
    for _ in range(20):
        jailed = await launch.start(SPEC, [str(TRUE)])
        assert await jailed.outer.wait() == 0
        jailed.inner.close()


async def test_kill_reaps_both() -> None:
    jailed = await launch.start(SPEC, [str(SLEEP), FOREVER])
    running = ours()
    await jailed.kill()
    jailed.inner.close()
    # (Not how many: a process in the middle of execve has no arguments to know it by.)
    assert running != []
    assert ours() == []
    assert jailed.outer.status == 128 + 9


async def test_a_jail_that_cannot_be_built_says_why() -> None:
    broken = JailSpec(views=(View(Path("/nonexistent")),), uid=UID)
    # bubblewrap reports its child before it looks at the views: the program "starts", and ends.
    with contextlib.suppress(launch.LaunchFailed):
        jailed = await launch.start(broken, [str(TRUE)])
        assert await jailed.outer.wait() != 0
        assert "/nonexistent" in jailed.outer.stderr_tail()
        jailed.inner.close()
    assert ours() == []


async def test_without_its_limits_it_does_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(group: Group, pid: int) -> None:
        raise OSError(errno.EBUSY, "busy")

    monkeypatch.setattr(Group, "add", refuse)
    with pytest.raises(OSError, match="busy"):
        await launch.start(SPEC, [str(SLEEP), FOREVER], group=Group(()))
    assert ours() == []


DAEMON = """
import asyncio, os, signal, sys
from hyper.system import launch
from tests.unit.test_system_launch import SPEC, SLEEP

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

async def main():
    held, when, forever = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    if when == "spawned":
        launch._child_pid = die
    jailed = await launch.start(
        SPEC, [str(SLEEP), forever], pass_fds=(held,), note=die if when == "noted" else None
    )
    print(jailed.inner.pid, jailed.start_ticks, flush=True)
    die()

asyncio.run(main())
"""


def start_and_die(when: str) -> tuple[int, list[int]]:
    """A daemon killed at one moment of a launch: (a pipe that ends with its last process, pid and ticks)."""
    reader, writer = os.pipe()
    done = subprocess.run(
        [sys.executable, "-c", DAEMON, str(writer), when, FOREVER],
        pass_fds=(writer,),
        capture_output=True,
        text=True,
        check=False,
    )
    os.close(writer)
    assert done.returncode == -signal.SIGKILL, done.stderr
    return reader, [int(word) for word in done.stdout.split()]


async def ended(reader: int) -> None:
    async with asyncio.timeout(20):
        assert await pipe.read_all(reader, limit=1) == b""
    os.close(reader)


@pytest.mark.parametrize("when", ["spawned", "noted"])
async def test_it_ends_by_itself_if_the_daemon_is_killed_before(when: str) -> None:
    reader, printed = start_and_die(when)
    assert printed == []
    await ended(reader)


async def test_it_goes_on_if_the_daemon_is_killed_after() -> None:
    reader, (pid, ticks) = start_and_die("never")
    held = Pidfd.open_same(pid, ticks)
    assert held is not None
    held.send(signal.SIGKILL)
    held.close()
    await ended(reader)


@pytest.mark.parametrize("delay_ms", [0, 1, 2, 3, 5, 8])
def test_a_loop_that_is_shut_down_leaves_nobody(delay_ms: int) -> None:
    """asyncio.run cancels every task there is at its end, those that clean up included."""

    started = []

    async def start() -> None:
        started.append(await launch.start(SPEC, [str(SLEEP), FOREVER]))

    async def main() -> None:
        starting = asyncio.ensure_future(start())
        await asyncio.sleep(delay_ms / 1000)
        assert not starting.done() or started

    asyncio.run(main())
    for jailed in started:  # it was faster
        os.kill(jailed.inner.pid, signal.SIGKILL)
        os.waitpid(jailed.outer.pid, 0)
    assert ours() == []


@pytest.mark.parametrize("steps", range(1, 7))
async def test_cancelling_leaves_nobody(steps: int) -> None:
    starting = asyncio.ensure_future(launch.start(SPEC, [str(SLEEP), FOREVER]))
    for _ in range(steps):
        await asyncio.sleep(0)
    starting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        jailed = await starting
        await jailed.kill()
        jailed.inner.close()
    assert ours() == []

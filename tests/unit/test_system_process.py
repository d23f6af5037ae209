"""The spawner with real programs: owned, bounded, clean."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hyper.system import pipe
from hyper.system.pidfd import Pidfd, start_ticks, usage
from hyper.system.process import PIPE, ProcessFailed, run, spawn


async def test_output_and_status() -> None:
    done = await run(["sh", "-c", "echo out; echo err >&2; exit 3"], timeout_s=10, ok=(0, 3))
    assert (done.stdout, done.stderr, done.status) == (b"out\n", "err\n", 3)


async def test_failure_says_what_and_why() -> None:
    with pytest.raises(ProcessFailed) as raised:
        await run(["sh", "-c", "echo first >&2; echo last >&2; exit 3"], timeout_s=10)
    assert str(raised.value) == "sh failed with status 3: last"
    assert raised.value.status == 3
    assert raised.value.stderr == "first\nlast\n"


async def test_killed_by_a_signal() -> None:
    with pytest.raises(ProcessFailed, match="was killed by SIGABRT"):
        await run(["sh", "-c", "kill -ABRT $$"], timeout_s=10)


async def test_no_such_program() -> None:
    with pytest.raises(ProcessFailed, match="cannot be started: No such file"):
        await run(["/nonexistent/program"], timeout_s=10)


async def test_deadline() -> None:
    with pytest.raises(ProcessFailed, match=r"did not end within 0\.1 s"):
        await run(["sleep", "1000"], timeout_s=0.1)


async def test_input_larger_than_any_pipe() -> None:
    data = os.urandom(1 << 20) * 4
    assert (await run(["cat"], input=data, timeout_s=30)).stdout == data


async def test_input_nobody_reads() -> None:
    assert (await run(["true"], input=b"x" * (1 << 20), timeout_s=30)).stdout == b""


async def test_environment_and_stdin_are_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "s")
    done = await run(["env"], env={"EXTRA": "1"}, timeout_s=10)
    names = {line.partition(b"=")[0] for line in done.stdout.splitlines()}
    assert names == {b"PATH", b"LANG", b"EXTRA"}
    assert (await run(["cat"], timeout_s=10)).stdout == b""


async def test_only_named_descriptors_are_inherited() -> None:
    reader, writer = os.pipe()
    other, _ = os.pipe()
    try:
        os.set_inheritable(other, True)
        listing = await run(["ls", "/proc/self/fd"], pass_fds=(reader,), timeout_s=10)
    finally:
        for fd in (reader, writer, other, _):
            os.close(fd)
    inherited = {int(word) for word in listing.stdout.split()}
    assert reader in inherited
    assert other not in inherited
    assert writer not in inherited


async def test_streams_by_descriptor(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as file:
        async with spawn(["cat"], stdin=PIPE, stdout=file.fileno()) as child:
            fd = child.take_stdin()
            await pipe.write_all(fd, b"through a pipe")
            os.close(fd)
            await child.check()
    assert (tmp_path / "out").read_bytes() == b"through a pipe"


async def test_the_block_ends_the_program() -> None:
    async with spawn(["sleep", "1000"]) as child:
        assert child.status is None
    assert child.status == -signal.SIGTERM


async def test_an_unwilling_program_is_killed() -> None:
    script = "trap '' TERM; echo ready; while :; do sleep 1; done"
    child = spawn(["sh", "-c", script], stdout=PIPE)
    fd = child.take_stdout()
    os.set_blocking(fd, False)
    await pipe.readable(fd)
    os.close(fd)
    assert await child.stop(grace_s=0.05) == -signal.SIGKILL


async def test_cancelling_ends_the_program() -> None:
    task = asyncio.ensure_future(run(["sleep", "1000"], timeout_s=100))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_messages_are_bounded() -> None:
    done = await run(["sh", "-c", "seq 1 100000 >&2"], timeout_s=30)
    assert len(done.stderr) <= 8192
    assert done.stderr.endswith("\n100000\n")


async def test_pidfd_waits_for_any_process_and_knows_it_again() -> None:
    child = spawn(["sleep", "1000"])
    ticks = start_ticks(child.pid)
    held = Pidfd.open_same(child.pid, ticks)
    assert held is not None
    assert Pidfd.open_same(child.pid, ticks + 1) is None
    assert usage(child.pid).resident_bytes > 0
    waits = [asyncio.ensure_future(held.wait()) for _ in range(2)]
    await asyncio.sleep(0)
    held.send(signal.SIGKILL)
    await asyncio.gather(*waits)
    await child.wait()
    assert Pidfd.open_same(child.pid, ticks) is None
    with pytest.raises(ProcessLookupError):
        start_ticks(child.pid)
    held.send(signal.SIGKILL)
    held.close()
    held.close()


#: Its first thread ends; the other one says so, and goes on until its input ends.
_WITHOUT_FIRST_THREAD = """
import ctypes, os, sys, threading
def rest():
    while open(f"/proc/{os.getpid()}/stat").read().rpartition(")")[2].split()[0] != "Z":
        os.sched_yield()
    print("alone", flush=True)
    sys.stdin.read()
    os._exit(0)
threading.Thread(target=rest).start()
ctypes.CDLL(None).syscall(60, 0)
"""


def test_a_process_without_its_first_thread_has_not_ended() -> None:
    """/proc calls it a zombie, but it still holds files, ports and its control group: QEMU ends like that."""
    argv = [sys.executable, "-c", _WITHOUT_FIRST_THREAD]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == b"alone\n"
        held = Pidfd.open_same(child.pid, start_ticks(child.pid))
        assert held is not None
        child.stdin.close()
        child.wait()
        assert held.has_exited()
        held.close()

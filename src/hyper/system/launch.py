"""Start a program within a jail and its limits, so that it never runs a moment without them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import signal
from collections.abc import Sequence
from dataclasses import dataclass

from hyper.errors import HyperError
from hyper.system import jail, pipe, seccomp
from hyper.system.cgroup import Group
from hyper.system.jail import JailFds, JailSpec
from hyper.system.pidfd import Pidfd, start_ticks
from hyper.system.process import Process, spawn

_INFO_LIMIT = 4096


class LaunchFailed(HyperError):
    """The jail could not be built; ``stderr`` is what bubblewrap said."""

    def __init__(self, stderr: str) -> None:
        super().__init__(f"cannot build the jail: {stderr.strip() or 'bubblewrap ended'}")
        self.stderr = stderr


@dataclass(frozen=True, slots=True)
class Jailed:
    """A program running in its jail.

    ``outer`` is bubblewrap's own process, our child, which waits for the program and ends with its status (128 + n
    for signal n). ``inner`` is the program (or, until it got there, bubblewrap and setpriv on the way to it).
    """

    outer: Process
    inner: Pidfd
    start_ticks: int

    async def kill(self) -> None:
        """End it at once; gone and reaped on return."""
        self.inner.send(signal.SIGKILL)
        await self.outer.wait()


async def start(
    spec: JailSpec,
    command: Sequence[str],
    *,
    pass_fds: Sequence[int] = (),
    group: Group | None = None,
) -> Jailed:
    """Start ``command`` in the jail ``spec`` and in ``group``, with ``pass_fds`` and nothing else open.

    Raises:
        LaunchFailed: the jail could not be built. Nothing is left running.
        ProcessFailed: there is no bubblewrap.
    """
    with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
        info, info_writer = _pipe(ours, theirs)
        block_writer, block = reversed(_pipe(theirs, ours))
        fds = JailFds(seccomp=_filter(theirs), info=info_writer, block=block)
        outer = spawn(
            jail.argv(spec, command, fds), pass_fds=(fds.seccomp, fds.info, fds.block, *pass_fds)
        )
        theirs.close()
        return await _admit(outer, info, block_writer, group)


def _pipe(reading: contextlib.ExitStack, writing: contextlib.ExitStack) -> tuple[int, int]:
    """A pipe whose ends belong to ``reading`` and ``writing``."""
    reader, writer = os.pipe()
    reading.callback(os.close, reader)
    writing.callback(os.close, writer)
    return reader, writer


def _filter(owner: contextlib.ExitStack) -> int:
    reader, writer = os.pipe()
    owner.callback(os.close, reader)
    # Far below a pipe's capacity: cannot block.
    os.write(writer, seccomp.program())
    os.close(writer)
    return reader


async def _admit(outer: Process, info: int, block: int, group: Group | None) -> Jailed:
    # Whatever happens to us, the child's number must be learnt: bubblewrap's own death would leave it waiting for ever.
    learning = asyncio.ensure_future(_child_pid(info, outer))
    try:
        pid = await asyncio.shield(learning)
        with contextlib.ExitStack() as undo:
            inner = Pidfd.open(pid)
            undo.callback(inner.close)
            jailed = Jailed(outer=outer, inner=inner, start_ticks=start_ticks(pid))
            _restrict(pid, group)
            # Last: from here on it may end at any moment.
            os.write(block, b"x")
            undo.pop_all()
        return jailed
    except ProcessLookupError:
        await outer.wait()
        raise LaunchFailed(outer.stderr_tail()) from None
    except BaseException:
        with contextlib.suppress(LaunchFailed, ProcessLookupError):
            os.kill(await learning, signal.SIGKILL)
        await outer.wait()
        raise


async def _child_pid(info: int, outer: Process) -> int:
    text = await pipe.read_all(info, limit=_INFO_LIMIT)
    if not text:
        await outer.wait()
        raise LaunchFailed(outer.stderr_tail())
    return int(json.loads(text)["child-pid"])


def _restrict(pid: int, group: Group | None) -> None:
    # A core dump would write a guest's memory, secrets included, to the host's disk.
    resource.prlimit(pid, resource.RLIMIT_CORE, (0, 0))
    if group is not None:
        group.add(pid)

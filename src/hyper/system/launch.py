"""Launches of programs within a jail and its limits, never a moment without them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hyper.errors import HyperError
from hyper.system import jail, pipe, seccomp
from hyper.system.cgroup import Group
from hyper.system.jail import JailFds, JailSpec
from hyper.system.pidfd import Pidfd, start_ticks
from hyper.system.process import Process, spawn
from hyper.system.uninterrupted import uninterrupted

_INFO_LIMIT = 4096


class LaunchFailed(HyperError):
    """The failure to build a jail; ``stderr`` is what bubblewrap said."""

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
        """End the program at once; it is gone and reaped on return."""
        self.inner.send(signal.SIGKILL)
        await self.outer.wait()


async def start(
    spec: JailSpec,
    command: Sequence[str],
    *,
    pass_fds: Sequence[int] = (),
    group: Group | None = None,
    note: Callable[[int, int], None] | None = None,
) -> Jailed:
    """Start ``command`` in the jail ``spec`` and in ``group``, with ``pass_fds`` and nothing else open.

    ``note(pid, start_ticks)`` is called when the process exists and before ``command`` runs in it. Should we be killed
    up to then, the process ends by itself; afterwards it goes on without us.

    Raises:
        LaunchFailed: the jail could not be built.
        ProcessFailed: there is no bubblewrap.
        OSError: a limit was refused, or what ``note`` raised. In every case nothing is left running.
    """
    with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
        info, info_writer = _pipe(ours, theirs)
        gate, gate_writer = _pipe(theirs, ours)
        fds = JailFds(seccomp=_filter(spec, theirs), info=_both_ends(info_writer, theirs))
        outer = spawn(
            jail.argv(spec, command, fds), stdin=gate, pass_fds=(fds.seccomp, fds.info, *pass_fds)
        )
        theirs.close()
        try:
            return await _admit(outer, info, gate_writer, group, note)
        except BaseException as error:
            # The gate, shut for good, ends the program; that ends bubblewrap.
            ours.close()
            await outer.wait()
            if isinstance(error, ProcessLookupError | BrokenPipeError):
                raise LaunchFailed(outer.stderr_tail()) from None
            raise


def _pipe(reading: contextlib.ExitStack, writing: contextlib.ExitStack) -> tuple[int, int]:
    """A pipe whose ends belong to ``reading`` and ``writing``."""
    reader, writer = os.pipe()
    reading.callback(os.close, reader)
    writing.callback(os.close, writer)
    return reader, writer


def _both_ends(writer: int, owner: contextlib.ExitStack) -> int:
    """The descriptor of ``writer``'s pipe, open for reading too: writing to it never fails.

    If we were killed and the pipe had no reader, bubblewrap would die of writing its news, before it lets its child
    go on, or end.
    """
    fd = os.open(f"/proc/self/fd/{writer}", os.O_RDWR)
    owner.callback(os.close, fd)
    return fd


def _filter(spec: JailSpec, owner: contextlib.ExitStack) -> int:
    reader, writer = os.pipe()
    owner.callback(os.close, reader)
    # Far below a pipe's capacity: cannot block.
    os.write(writer, seccomp.program(allowed=spec.allowed))
    os.close(writer)
    return reader


async def _admit(
    outer: Process,
    info: int,
    gate: int,
    group: Group | None,
    note: Callable[[int, int], None] | None,
) -> Jailed:
    pid = await _child_pid(info, outer)
    with contextlib.ExitStack() as undo:
        inner = Pidfd.open(pid)
        undo.callback(inner.close)
        jailed = Jailed(outer=outer, inner=inner, start_ticks=start_ticks(pid))
        # Moving a process waits for all CPUs, which others need not: 10 ms. It is not left half-way.
        await uninterrupted(asyncio.to_thread(_restrict, pid, group))
        if note is not None:
            note(pid, jailed.start_ticks)
        # Last: from here on it may end at any moment.
        os.write(gate, jail.OPEN_GATE)
        undo.pop_all()
    return jailed


async def _child_pid(info: int, outer: Process) -> int:
    text = await pipe.read_all(info, limit=_INFO_LIMIT)
    if not text:
        raise ProcessLookupError("bubblewrap has no child")
    return int(json.loads(text)["child-pid"])


def _restrict(pid: int, group: Group | None) -> None:
    # A core dump would write a guest's memory, secrets included, to the host's disk.
    resource.prlimit(pid, resource.RLIMIT_CORE, (0, 0))
    if group is not None:
        group.add(pid)

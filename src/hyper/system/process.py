"""The one spawner. Argument lists only, a clean environment, and an owner for every process.

completed = await run(["skopeo", "inspect", url], timeout_s=60)

async with spawn(["tar2sqfs", path], stdin=PIPE) as child:      # TERM, 5 s, KILL on the way out
    await pipe.write_all(child.take_stdin(), data)
    await child.check()
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shlex
import signal
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from hyper.errors import HyperError
from hyper.system import pipe
from hyper.system.pidfd import Pidfd

log = logging.getLogger(__name__)

#: As stdin or stdout of ``spawn``: make a pipe, our end is taken with take_stdin/take_stdout.
PIPE = -1
DEVNULL = -3
#: How long a process may take to obey SIGTERM.
GRACE_S = 5.0
STDERR_TAIL_BYTES = 8192
_OUTPUT_LIMIT = 256 * 1024 * 1024
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class ProcessFailed(HyperError):
    """A program could not be started or ended with a status that means failure.

    ``status`` is its exit status, −n for signal n, None if it never ran or did not end in time.
    """

    def __init__(self, argv: Sequence[str], status: int | None, stderr: str, why: str) -> None:
        last = stderr.strip().rpartition("\n")[2]
        super().__init__(f"{Path(argv[0]).name} {why}" + (f": {last}" if last else ""))
        self.argv = list(argv)
        self.status = status
        self.stderr = stderr


@dataclass(frozen=True, slots=True)
class Completed:
    """The result of a program: its output, the tail of its messages, its exit status."""

    stdout: bytes
    stderr: str
    status: int


class _Child(subprocess.Popen[bytes]):
    """A child process whose object may be dropped while the program runs: ours may outlive us on purpose."""

    def __del__(self) -> None:
        """No warning is given: reaping is Process's, which knows."""


class Process:
    """A running child process. As context manager it is ended on the way out; otherwise it goes on by itself."""

    def __init__(
        self, argv: Sequence[str], child: _Child, *, stdin: int, stdout: int, stderr: int
    ) -> None:
        self.argv = list(argv)
        self.pid = child.pid
        self._child = child
        self._stdin = stdin
        self._stdout = stdout
        self._stderr = pipe.Tail(stderr, limit=STDERR_TAIL_BYTES)
        self._pidfd = Pidfd.open(child.pid)
        self._status: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._pidfd.on_exit(self._reap)

    def _reap(self) -> None:
        self._pidfd.close()
        status = self._child.wait()
        self._stderr.drain()
        log.debug("[%d] ended with %d", self.pid, status)
        if not self._status.done():
            self._status.set_result(status)

    @property
    def status(self) -> int | None:
        """The exit status, −n for signal n, None while the process runs."""
        return self._status.result() if self._status.done() else None

    def on_exit(self, callback: Callable[[int], None]) -> None:
        """Call ``callback(status)`` from the loop once the process has ended."""
        self._status.add_done_callback(lambda done: callback(done.result()))

    def take_stdin(self) -> int:
        """The write end of the process's standard input (spawned with PIPE); the caller closes it."""
        fd, self._stdin = self._stdin, -1
        return fd

    def take_stdout(self) -> int:
        """The read end of the process's standard output (spawned with PIPE); the caller closes it."""
        fd, self._stdout = self._stdout, -1
        return fd

    def stderr_tail(self) -> str:
        """The last 8 KiB that the process wrote to standard error."""
        return self._stderr.data.decode(errors="replace")

    async def wait(self) -> int:
        """The exit status (−n for signal n), once the process ended. May be awaited by several tasks."""
        return await asyncio.shield(self._status)

    async def check(self, *, ok: Sequence[int] = (0,)) -> None:
        """Wait for the process's end.

        Raises:
            ProcessFailed: its status is not in ``ok``.
        """
        status = await self.wait()
        if status not in ok:
            raise ProcessFailed(self.argv, status, self.stderr_tail(), _how_it_ended(status))

    def send(self, number: signal.Signals) -> None:
        """Send the process a signal; no error when it already ended."""
        if self.status is None:
            self._pidfd.send(number)

    async def stop(self, *, grace_s: float = GRACE_S) -> int:
        """End the process: TERM, ``grace_s`` later KILL. Its status; reaped on return, even if cancelled soon after."""
        self.send(signal.SIGTERM)
        try:
            async with asyncio.timeout(grace_s):
                return await self.wait()
        except TimeoutError:
            log.warning("%s ignored SIGTERM for %g s", self.argv[0], grace_s)
        finally:
            self.send(signal.SIGKILL)
        return await self.wait()

    async def __aenter__(self) -> Process:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        for fd in (self.take_stdin(), self.take_stdout()):
            if fd >= 0:
                os.close(fd)
        await self.stop()
        self._stderr.close()


def _how_it_ended(status: int) -> str:
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"failed with status {status}"


def environment(extra: dict[str, str] | None = None) -> dict[str, str]:
    """The environment of children: a fixed PATH, LANG=C and ``extra``; nothing of ours."""
    return {"PATH": _PATH, "LANG": "C", **(extra or {})}


def spawn(
    argv: Sequence[str],
    *,
    stdin: int = DEVNULL,
    stdout: int = DEVNULL,
    pass_fds: Sequence[int] = (),
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
) -> Process:
    """Start a program in a session of its own. Must be called in a running loop.

    ``stdin``/``stdout``: DEVNULL, PIPE, or a descriptor (stays the caller's). ``pass_fds`` keep their
    numbers; nothing else is inherited. Standard error is kept as a bounded tail.

    Raises:
        ProcessFailed: it cannot be started (no such program…).
    """
    log.debug("run %s", shlex.join(argv))
    with contextlib.ExitStack() as theirs, contextlib.ExitStack() as ours:
        stdin, our_stdin = _end(stdin, theirs, ours, write=True)
        stdout, our_stdout = _end(stdout, theirs, ours, write=False)
        stderr, our_stderr = _end(PIPE, theirs, ours, write=False)
        try:
            child = _Child(
                list(argv),
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                pass_fds=tuple(pass_fds),
                env=environment(env),
                cwd=cwd,
                start_new_session=True,
            )
        except OSError as error:
            why = f"cannot be started: {error.strerror}"
            raise ProcessFailed(argv, None, "", why) from error
        ours.pop_all()
    log.debug("[%d] is %s", child.pid, argv[0])
    return Process(argv, child, stdin=our_stdin, stdout=our_stdout, stderr=our_stderr)


def _end(
    wish: int, theirs: contextlib.ExitStack, ours: contextlib.ExitStack, *, write: bool
) -> tuple[int, int]:
    """The two ends of one standard stream, the child's and ours (or −1); ``write``: we are the writer."""
    if wish != PIPE:
        return (subprocess.DEVNULL if wish == DEVNULL else wish), -1
    reader, writer = os.pipe()
    their_end, our_end = (reader, writer) if write else (writer, reader)
    theirs.callback(os.close, their_end)
    ours.callback(os.close, our_end)
    return their_end, our_end


async def run(
    argv: Sequence[str],
    *,
    input: bytes | None = None,
    timeout_s: float,
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
    pass_fds: Sequence[int] = (),
    ok: Sequence[int] = (0,),
    output_limit: int = _OUTPUT_LIMIT,
) -> Completed:
    """Run a program to its end and collect its output (≤ ``output_limit`` bytes).

    Raises:
        ProcessFailed: it cannot be started, took longer than ``timeout_s``, or its status is not in ``ok``.
    """
    child = spawn(
        argv,
        stdin=DEVNULL if input is None else PIPE,
        stdout=PIPE,
        env=env,
        cwd=cwd,
        pass_fds=pass_fds,
    )
    async with child:
        try:
            async with asyncio.timeout(timeout_s):
                stdout = await _exchange(child, input, output_limit)
                await child.check(ok=ok)
        except TimeoutError:
            why = f"did not end within {timeout_s:g} s"
            raise ProcessFailed(argv, None, child.stderr_tail(), why) from None
    return Completed(stdout=stdout, stderr=child.stderr_tail(), status=await child.wait())


async def _exchange(child: Process, data: bytes | None, limit: int) -> bytes:
    output = child.take_stdout()
    try:
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(pipe.read_all(output, limit=limit))
            if data is not None:
                await _feed(child.take_stdin(), data)
        return reading.result()
    finally:
        os.close(output)


async def _feed(fd: int, data: bytes) -> None:
    try:
        await pipe.write_all(fd, data)
    finally:
        os.close(fd)

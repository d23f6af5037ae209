"""How fast bytes go through `run` in each direction, from the moment the program runs."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator

from bench.measure import TIMEOUT_S, Failed, by_turns
from bench.row import Goal, Row
from bench.stage import Client, Stage

_MEGABYTES = 64
_BYTES = _MEGABYTES * 1_000_000
#: Text, since Docker's log writes each zero byte as six; made first, since that is slow under emulation.
_WRITER = (
    "dd if=/dev/zero bs=64000 count=125 2>/dev/null | tr '\\0' x >/dev/shm/x; cd /dev/shm; "
    "cat x x x x x x x x"
)
_CHUNK = bytes(1 << 20)


def rows(stage: Stage, runs: int) -> Iterator[Row]:
    """MB/s through an attached `run`, in each direction, beside docker's."""
    how = "`run -i … 'echo; cat >/dev/null; echo'`, between the two lines"
    yield _row("host → guest", stage, runs, _into, how)
    how = "`run … cat` of text in the guest's memory, first byte to last (both keep it as log)"
    yield _row("guest → host", stage, runs, _out_of, how)


def _row(name: str, stage: Stage, runs: int, stream: Callable[[Client], float], how: str) -> Row:
    ours, theirs = by_turns(runs, lambda: stream(stage.hyper), lambda: stream(stage.docker))
    name = f"Attach, {name}, {_MEGABYTES} MB"
    goal = Goal(150, least=True)
    return Row(name, "MB/s", ours, goal, theirs, accelerator=stage.accelerator, note=how)


def _into(client: Client) -> float:
    script = "echo ready; cat >/dev/null; echo done"
    argv = client.argv("run", "--rm", "-i", client.image, "sh", "-c", script)
    with _Process(argv, client) as process:
        process.expect(b"ready\n")
        began = time.perf_counter()
        process.feed(_BYTES)
        process.expect(b"done\n")
        return _MEGABYTES / (time.perf_counter() - began)


def _out_of(client: Client) -> float:
    argv = client.argv("run", "--rm", client.image, "sh", "-c", _WRITER)
    with _Process(argv, client) as process:
        left = _BYTES - len(process.read())
        began = time.perf_counter()
        while left > 0:
            left -= len(process.read())
        return _MEGABYTES / (time.perf_counter() - began)


class _Process:
    """A client with its ends of the pipes. Leaving waits for its success."""

    def __init__(self, argv: list[str], client: Client) -> None:
        pipe = subprocess.PIPE
        self._child = subprocess.Popen(
            argv, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, env=client.environ
        )

    def __enter__(self) -> _Process:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        assert self._child.stdin and self._child.stdout
        with self._child.stdout:
            if kind is not None:
                self._child.kill()
            elif not self._child.stdin.closed:
                self._child.stdin.close()
            status = self._child.wait(TIMEOUT_S)
        if kind is None and status != 0:
            raise Failed(f"{self._child.args!r} ended with {status}")

    def read(self) -> bytes:
        """What comes next. Raises: Failed when nothing does."""
        assert self._child.stdout
        data = os.read(self._child.stdout.fileno(), len(_CHUNK))
        if not data:
            raise Failed(f"{self._child.args!r} ended early")
        return data

    def expect(self, text: bytes) -> None:
        """Read exactly ``text``."""
        seen = b""
        while len(seen) < len(text):
            seen += self.read()
        if seen != text:
            raise Failed(f"{seen!r} instead of {text!r}")

    def feed(self, count: int) -> None:
        """Write ``count`` bytes to its input and close it."""
        assert self._child.stdin
        with self._child.stdin as stdin:
            for start in range(0, count, len(_CHUNK)):
                stdin.write(_CHUNK[: count - start])

"""A program in a pseudo-terminal."""

from __future__ import annotations

import fcntl
import os
import re
import select
import struct
import subprocess
import termios
import time

from tests.support.command import HYPER
from tests.support.dockerd import Engine

DEADLINE_S = 30


class Terminal:
    """A pseudo-terminal with a program in it, and what the program has written."""

    def __init__(
        self,
        engine: Engine,
        words: list[str],
        *,
        rows: int = 24,
        columns: int = 80,
        program: list[str] = HYPER,
        environ: dict[str, str] | None = None,
    ) -> None:
        self.ours, theirs = os.openpty()
        self.resize(rows, columns)
        self.before = termios.tcgetattr(theirs)
        self._theirs = theirs
        self.seen = b""
        # A session of its own with this as its terminal, so that a resize reaches it as SIGWINCH.
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *program, *words],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=(environ or engine.environ()) | {"TERM": "xterm"},
        )

    def resize(self, rows: int, columns: int) -> None:
        """The terminal's new size; its program is told."""
        fcntl.ioctl(self.ours, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))

    def type(self, keys: bytes) -> None:
        """Keys pressed."""
        os.write(self.ours, keys)

    def until(self, wanted: bytes) -> bytes:
        """What was written up to and including ``wanted`` (a regular expression); it counts as read."""
        deadline = time.monotonic() + DEADLINE_S
        while (match := re.search(wanted, self.seen)) is None:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.ours], [], [], left)[0]:
                raise AssertionError(f"{wanted!r} did not come, but {self.seen!r}")
            self.seen += os.read(self.ours, 65536)
        text, self.seen = self.seen[: match.end()], self.seen[match.end() :]
        return text

    def end(self) -> int:
        """The exit code; the terminal must be as it was."""
        code = self.process.wait(timeout=DEADLINE_S)
        assert termios.tcgetattr(self._theirs) == self.before
        return code

    def close(self) -> None:
        """The end of the program and of the terminal."""
        self.process.kill()
        self.process.wait()
        os.close(self.ours)
        os.close(self._theirs)

    def is_raw(self) -> bool:
        """Whether keys reach the program one by one."""
        return not termios.tcgetattr(self._theirs)[3] & termios.ICANON

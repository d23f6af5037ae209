"""A container's log on disk: appended by its output hub, read by ``logs``.

The file is the durable half of the agent's flow control: bytes are acknowledged to the guest once they stand here.
(Page cache is enough: what must be survived is the daemon's death, not the host's.)
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hyper.engine.output import log_segment
from hyper.engine.record.container_spec import LogLimits
from hyper.proto import log_record
from hyper.proto.log_record import LogRecord


@dataclass(frozen=True, slots=True)
class LogQuery:
    """The part of a log that is asked for. Times in ns since the epoch; ``tail`` counts lines, None is all."""

    stdout: bool = True
    stderr: bool = True
    since_ns: int = 0
    until_ns: int | None = None
    tail: int | None = None

    def wants(self, record: LogRecord) -> bool:
        """Whether ``record`` is of the asked-for streams and times."""
        if not ((record.stream == 1 and self.stdout) or (record.stream == 2 and self.stderr)):
            return False
        return record.time_ns >= self.since_ns and (
            self.until_ns is None or record.time_ns <= self.until_ns
        )


class LogFile:
    """The log at ``path``, and its later files ``path.1``, ``path.2``…; made when missing.

    Positions count from the beginning of the oldest file there was when the log was opened; readers skip files that
    were removed since. A torn last record is cut off on opening.
    """

    def __init__(self, path: Path, limits: LogLimits = LogLimits()) -> None:  # noqa: B008 (frozen)
        self.path = path
        self.limits = limits
        self._files = log_segment.found(path) or [log_segment.Segment(path, 0)]
        self._fd = self._files[-1].open()
        last = None
        for file in reversed(self._files):
            if (last := file.last_record()) is not None:
                break
        self._size = log_segment.number(self._files)
        os.ftruncate(self._fd, self._files[-1].size)
        self.stdout = last.stdout if last else 0
        self.stderr = last.stderr if last else 0
        self._throw_away()

    @property
    def size(self) -> int:
        """The position at which the last whole record ends."""
        return self._size

    def begin_run(self, time_ns: int) -> None:
        """The offsets of both streams start again at 0: a new machine runs the container."""
        self.stdout = self.stderr = 0
        self._append(LogRecord(log_record.MARKER, time_ns, 0, 0))

    def append(self, fd: int, payload: bytes, *, time_ns: int, partial: bool = False) -> None:
        """The bytes ``payload`` of stream ``fd`` (1 or 2) are in the file and the stream's offset is advanced.

        Raises:
            OSError: the file cannot take them (disk full); none was kept.
        """
        stdout = self.stdout + (len(payload) if fd == 1 else 0)
        stderr = self.stderr + (len(payload) if fd == 2 else 0)
        flags = log_record.LogFlag(int(partial))
        kept = payload if self.limits.content else b""
        self._append(LogRecord(fd, time_ns, stdout, stderr, kept, flags))
        self.stdout, self.stderr = stdout, stderr

    def skip(self, fd: int, length: int) -> None:
        """The offset of a stream is advanced past bytes that could not be kept."""
        if fd == 1:
            self.stdout += length
        else:
            self.stderr += length

    def offset(self, fd: int) -> int:
        """The offset of stream ``fd``: the end of what is kept of it."""
        return self.stdout if fd == 1 else self.stderr

    def _append(self, record: LogRecord) -> None:
        data = record.encode()
        most, current = self.limits.max_bytes, self._files[-1]
        if most is not None and current.size and current.size + len(data) > most:
            self._rotate()
        self._write(data)

    def _write(self, data: bytes) -> None:
        current = self._files[-1]
        written = os.pwrite(self._fd, data, current.size)
        if written != len(data):
            os.ftruncate(self._fd, current.size)
            raise OSError(28, f"short write to {self.path}")
        current.size += written
        self._size += written

    def _rotate(self) -> None:
        """A new file is written to. Its first record has the streams' offsets: it needs nothing of older files."""
        following = self._files[-1].following(self.path)
        fd = following.open()
        os.close(self._fd)
        self._fd = fd
        self._files.append(following)
        self._throw_away()
        marker = LogRecord(log_record.MARKER, time.time_ns(), self.stdout, self.stderr)
        self._write(marker.encode())

    def _throw_away(self) -> None:
        """The oldest files are removed: no more are there than the limits say."""
        while len(self._files) > self.limits.max_files:
            self._files.pop(0).path.unlink(missing_ok=True)

    def records(self, start: int, end: int) -> Iterator[LogRecord]:
        """The records between two positions that are record boundaries; not those of files removed meanwhile."""
        for file in list(self._files):
            if self._fd < 0:
                return
            if file.end > start and file.start < end:
                yield from file.records(
                    max(start - file.start, 0), min(end - file.start, file.size)
                )

    def tail_start(self, query: LogQuery, end: int) -> tuple[int, int]:
        """The start of the last ``query.tail`` lines: (position to read from, lines to skip there)."""
        if query.tail is None:
            return 0, 0
        lines = 0
        if query.tail <= 0:
            return end, 0
        for file in reversed(self._files):
            for record, position in file.backwards(min(end - file.start, file.size)):
                if query.wants(record):
                    lines += count_lines(record)
                if lines >= query.tail:
                    return file.start + position, lines - query.tail
        return 0, 0

    def close(self) -> None:
        """The file is closed; a reader finds its end."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd, self._size = -1, 0


def count_lines(record: LogRecord) -> int:
    """The number of lines in ``record``; a rest without its newline counts as one."""
    return record.payload.count(b"\n") + (0 if record.payload.endswith(b"\n") else 1)

"""A container's log on disk: appended by its output hub, read by ``logs``.

The file is the durable half of the agent's flow control: bytes are acknowledged to the guest once they stand here.
(Page cache is enough: what must be survived is the daemon's death, not the host's.)
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hyper.proto import log_record
from hyper.proto.log_record import LogCorrupt, LogRecord

_CHUNK = 256 * 1024


@dataclass(frozen=True, slots=True)
class LogQuery:
    """What of a log is wanted. Times in ns since the epoch; ``tail`` counts lines, None is all."""

    stdout: bool = True
    stderr: bool = True
    since_ns: int = 0
    until_ns: int | None = None
    tail: int | None = None

    def wants(self, record: LogRecord) -> bool:
        """Whether ``record`` is one of the asked-for streams and times."""
        if not ((record.stream == 1 and self.stdout) or (record.stream == 2 and self.stderr)):
            return False
        return record.time_ns >= self.since_ns and (
            self.until_ns is None or record.time_ns <= self.until_ns
        )


class LogFile:
    """The log at ``path``; made when missing. A torn last record is cut off on opening."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        last, self._size = _last_whole_record(self._fd)
        os.ftruncate(self._fd, self._size)
        self.stdout = last.stdout if last else 0
        self.stderr = last.stderr if last else 0

    @property
    def size(self) -> int:
        """Bytes of whole records."""
        return self._size

    def begin_run(self, time_ns: int) -> None:
        """Both streams start again at offset 0: a new machine runs the container."""
        self.stdout = self.stderr = 0
        self._append(LogRecord(log_record.MARKER, time_ns, 0, 0))

    def append(self, fd: int, payload: bytes, *, time_ns: int, partial: bool = False) -> None:
        """``payload`` of stream ``fd`` (1 or 2) stands in the file and its offset is advanced.

        Raises:
            OSError: the file cannot take it (disk full); nothing of it was kept.
        """
        stdout = self.stdout + (len(payload) if fd == 1 else 0)
        stderr = self.stderr + (len(payload) if fd == 2 else 0)
        flags = log_record.LogFlag(int(partial))
        self._append(LogRecord(fd, time_ns, stdout, stderr, payload, flags))
        self.stdout, self.stderr = stdout, stderr

    def skip(self, fd: int, length: int) -> None:
        """Advance a stream past bytes that could not be kept."""
        if fd == 1:
            self.stdout += length
        else:
            self.stderr += length

    def offset(self, fd: int) -> int:
        """The end of what is kept of stream ``fd``."""
        return self.stdout if fd == 1 else self.stderr

    def _append(self, record: LogRecord) -> None:
        data = record.encode()
        written = os.pwrite(self._fd, data, self._size)
        if written != len(data):
            os.ftruncate(self._fd, self._size)
            raise OSError(28, f"short write to {self.path}")
        self._size += written

    def records(self, start: int, end: int) -> Iterator[LogRecord]:
        """The records between two positions that are record boundaries."""
        buffer, at, position = b"", 0, start
        while self._fd >= 0 and (position < end or at < len(buffer)):
            record = log_record.decode(buffer, at) if at < len(buffer) else None
            if record is None:
                data = os.pread(self._fd, min(_CHUNK, end - position), position)
                if not data:
                    return
                buffer, at, position = buffer[at:] + data, 0, position + len(data)
                continue
            at += record.size
            yield record

    def tail_start(self, query: LogQuery, end: int) -> tuple[int, int]:
        """Where to begin reading for the last ``query.tail`` lines: (position, lines to skip there)."""
        if query.tail is None:
            return 0, 0
        position, lines = end, 0
        if query.tail <= 0:
            return end, 0
        while position > 0:
            record, position = self._record_before(position)
            if not query.wants(record):
                continue
            lines += count_lines(record)
            if lines >= query.tail:
                return position, lines - query.tail
        return 0, 0

    def _record_before(self, end: int) -> tuple[LogRecord, int]:
        trailer = os.pread(self._fd, log_record.TRAILER_SIZE, end - log_record.TRAILER_SIZE)
        size = log_record.OVERHEAD + log_record.payload_length(trailer)
        record = log_record.decode(os.pread(self._fd, size, end - size))
        if record is None:
            raise LogCorrupt(f"{self.path}: no whole record before byte {end}")
        return record, end - size

    def close(self) -> None:
        """Let go of the file; whoever still reads finds its end."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd, self._size = -1, 0


def count_lines(record: LogRecord) -> int:
    """How many lines end in ``record`` (a partial one counts when it is not continued: as none)."""
    return record.payload.count(b"\n") + (0 if record.payload.endswith(b"\n") else 1)


def _last_whole_record(fd: int) -> tuple[LogRecord | None, int]:
    """The last whole record of the file and where it ends.

    The end of the file is tried first, which is the usual case and costs one read; a torn end makes
    it walk from the start.
    """
    size = os.fstat(fd).st_size
    if size == 0:
        return None, 0
    record = _record_ending_at(fd, size)
    return (record, size) if record is not None else _walk(fd, size)


def _record_ending_at(fd: int, end: int) -> LogRecord | None:
    if end < log_record.OVERHEAD:
        return None
    try:
        trailer = os.pread(fd, log_record.TRAILER_SIZE, end - log_record.TRAILER_SIZE)
        length = log_record.OVERHEAD + log_record.payload_length(trailer)
        return log_record.decode(os.pread(fd, length, end - length)) if length <= end else None
    except LogCorrupt:
        return None


def _walk(fd: int, size: int) -> tuple[LogRecord | None, int]:
    last: LogRecord | None = None
    position = 0
    while position < size:
        window = os.pread(fd, log_record.OVERHEAD + log_record.MAX_PAYLOAD, position)
        try:
            record = log_record.decode(window)
        except LogCorrupt:
            break
        if record is None:
            break
        last, position = record, position + record.size
    return last, position

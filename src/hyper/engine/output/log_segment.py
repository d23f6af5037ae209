"""Files that a container's log consists of: whole records each, read in both directions."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hyper.proto import log_record
from hyper.proto.log_record import LogCorrupt, LogRecord

_CHUNK = 256 * 1024


@dataclass(slots=True)
class Segment:
    """The file at ``path``, the ``index``-th of its log: ``size`` bytes of whole records from position ``start``."""

    path: Path
    index: int
    start: int = 0
    size: int = 0

    @property
    def end(self) -> int:
        """The position after the file's last record."""
        return self.start + self.size

    def open(self) -> int:
        """A descriptor to write to the file, made when missing; ``size`` becomes the length of its whole records."""
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        _, self.size = _last_whole_record(fd)
        return fd

    def following(self, log: Path) -> Segment:
        """The segment after this one, not made yet."""
        index = self.index + 1
        return Segment(log.with_name(f"{log.name}.{index}"), index, self.end)

    def last_record(self) -> LogRecord | None:
        """The last whole record; None if there is none."""
        with self.path.open("rb") as file:
            return _last_whole_record(file.fileno())[0]

    def records(self, start: int, end: int) -> Iterator[LogRecord]:
        """The records between two positions within this file. None of them when the file is gone."""
        try:
            file = self.path.open("rb", buffering=0)
        except FileNotFoundError:
            return
        with file:
            buffer, at, position = b"", 0, start
            while position < end or at < len(buffer):
                record = log_record.decode(buffer, at) if at < len(buffer) else None
                if record is None:
                    data = os.pread(file.fileno(), min(_CHUNK, end - position), position)
                    if not data:
                        return
                    buffer, at, position = buffer[at:] + data, 0, position + len(data)
                    continue
                at += record.size
                yield record

    def backwards(self, end: int) -> Iterator[tuple[LogRecord, int]]:
        """The records before position ``end`` of this file, the last one first, each with the position where it begins.

        Raises:
            LogCorrupt: there is something else than records.
        """
        with self.path.open("rb", buffering=0) as file:
            while end > 0:
                record = _record_ending_at(file.fileno(), end)
                if record is None:
                    raise LogCorrupt(f"{self.path}: no whole record before byte {end}")
                end -= record.size
                yield record, end


def found(log: Path) -> list[Segment]:
    """The files of ``log`` that are there, oldest first; without sizes, see ``number``."""
    indexes = [
        int(path.name.removeprefix(f"{log.name}."))
        for path in log.parent.glob(f"{log.name}.*")
        if path.name.removeprefix(f"{log.name}.").isdecimal()
    ]
    later = [Segment(log.with_name(f"{log.name}.{index}"), index) for index in sorted(indexes)]
    return [Segment(log, 0), *later] if log.exists() else later


def number(segments: list[Segment]) -> int:
    """The segments have their sizes and starts: the first one begins at 0. Returns where the last one ends."""
    position = 0
    for segment in segments:
        with segment.path.open("rb") as file:
            _, segment.size = _last_whole_record(file.fileno())
        segment.start = position
        position = segment.end
    return position


def _last_whole_record(fd: int) -> tuple[LogRecord | None, int]:
    """The last whole record of the file and where it ends.

    The end of the file is tried first, which is the usual case and costs one read; if that is torn, the file is read
    from its start.
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

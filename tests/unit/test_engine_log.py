"""The log: exact bytes, exact offsets, torn ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from hyper.engine.output.log_file import LogFile, LogQuery
from hyper.proto import log_record
from hyper.proto.log_record import LogCorrupt, LogRecord


def filled(path: Path) -> LogFile:
    """Three lines on stdout, one on stderr, at times 10, 20, 30, 40."""
    log = LogFile(path)
    log.begin_run(5)
    log.append(1, b"one\n", time_ns=10)
    log.append(2, b"err\n", time_ns=20)
    log.append(1, b"two\nthree\n", time_ns=30)
    return log


def payloads(log: LogFile, query: LogQuery, start: int = 0) -> list[bytes]:
    """What a query finds from ``start`` on."""
    return [item.payload for item in log.records(start, log.size) if query.wants(item)]


def test_what_was_appended_is_read_back_with_its_offsets(tmp_path: Path) -> None:
    """A daemon that opens the file again knows how far each stream had got."""
    log = filled(tmp_path / "log")
    log.close()
    again = LogFile(tmp_path / "log")
    assert payloads(again, LogQuery()) == [b"one\n", b"err\n", b"two\nthree\n"]
    assert (again.stdout, again.stderr) == (14, 4)
    again.close()


@pytest.mark.parametrize("cut", range(1, 45))
def test_a_torn_last_record_is_cut_off(tmp_path: Path, cut: int) -> None:
    """Wherever the write was torn, the records before it stand and appending goes on."""
    path = tmp_path / "log"
    filled(path).close()
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - cut)
    log = LogFile(path)
    assert payloads(log, LogQuery()) == [b"one\n", b"err\n"]
    assert (log.stdout, log.stderr) == (4, 4)
    log.append(1, b"new\n", time_ns=50)
    assert payloads(log, LogQuery())[-1] == b"new\n"
    log.close()


def test_a_new_run_counts_from_zero_again(tmp_path: Path) -> None:
    """The guest's streams start at 0; the old lines stay."""
    log = filled(tmp_path / "log")
    log.begin_run(60)
    assert (log.stdout, log.stderr) == (0, 0)
    assert len(payloads(log, LogQuery())) == 3
    log.close()


def test_since_until_and_streams_choose_records(tmp_path: Path) -> None:
    """All three at once."""
    log = filled(tmp_path / "log")
    assert payloads(log, LogQuery(stderr=False, since_ns=20)) == [b"two\nthree\n"]
    assert payloads(log, LogQuery(stdout=False)) == [b"err\n"]
    assert payloads(log, LogQuery(until_ns=20)) == [b"one\n", b"err\n"]
    log.close()


@pytest.mark.parametrize(
    ("tail", "expected"),
    [
        (0, []),
        (1, [b"three\n"]),
        (2, [b"two\n", b"three\n"]),
        (3, [b"err\n", b"two\n", b"three\n"]),
    ],
)
def test_tail_counts_lines_across_records(tmp_path: Path, tail: int, expected: list[bytes]) -> None:
    """A record may hold many lines; the first may be taken in part."""
    log = filled(tmp_path / "log")
    query = LogQuery(tail=tail)
    start, skip = log.tail_start(query, log.size)
    lines = b"".join(payloads(log, query, start)).splitlines(keepends=True)[skip:]
    assert lines == expected
    log.close()


def test_records_bigger_than_the_read_size_come_whole(tmp_path: Path) -> None:
    """Reading is by chunks, records are not."""
    log = LogFile(tmp_path / "log")
    big = bytes(range(256)) * 3000
    log.append(1, big, time_ns=1)
    log.append(1, b"end\n", time_ns=2)
    assert payloads(log, LogQuery()) == [big, b"end\n"]
    log.close()


def test_a_record_survives_its_encoding() -> None:
    """All fields, and the walk backwards by its trailer."""
    record = LogRecord(2, 123, 4, 5, b"\x00\xff", log_record.LogFlag.PARTIAL)
    data = record.encode()
    assert len(data) == record.size
    assert log_record.decode(b"xx" + data, 2) == record
    assert log_record.payload_length(data[-4:]) == 2
    assert log_record.decode(data[:-1]) is None


@pytest.mark.parametrize("bad", [b"\xff" * 64, b"\x00" * 4 + b"\x07" + b"\x00" * 60])
def test_garbage_is_no_record(bad: bytes) -> None:
    """Lengths and streams out of range are found before anything is read by them."""
    with pytest.raises(LogCorrupt):
        log_record.decode(bad)

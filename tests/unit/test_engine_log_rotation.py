"""A log of several files: bounded, read across them in both directions, and found again by the next daemon."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hyper.engine.output.log_file import LogFile, LogQuery
from hyper.engine.record.container_spec import LogLimits
from hyper.engine.spec import log_options
from hyper.errors import InvalidRequest
from hyper.types.container import LogConfig

#: Three records of eight bytes and their headers.
SMALL = LogLimits(max_bytes=150, max_files=3)


def line(number: int) -> bytes:
    """Seven digits and the end of the line."""
    return b"%07d\n" % number


def filled(folder: Path, count: int, limits: LogLimits = SMALL) -> LogFile:
    """A log to which ``count`` lines were written."""
    log = LogFile(folder / "log", limits)
    for number in range(count):
        log.append(1, line(number), time_ns=number)
    return log


def lines(log: LogFile, start: int = 0) -> list[bytes]:
    """What it still holds from ``start`` on."""
    records = log.records(start, log.size)
    return [record.payload for record in records if LogQuery().wants(record)]


@pytest.mark.parametrize("count", range(12))
def test_only_the_oldest_is_thrown_away(tmp_path: Path, count: int) -> None:
    """What is there is the end of what was written, without a gap, in no more files and bytes than asked for."""
    log = filled(tmp_path, count)
    kept = lines(log)
    assert kept == [line(number) for number in range(count - len(kept), count)]
    assert len(kept) >= min(count, 5)
    files = list(tmp_path.iterdir())
    assert len(files) <= 3
    assert all(path.stat().st_size <= 150 for path in files)
    log.close()


@pytest.mark.parametrize("count", range(1, 12))
def test_the_next_daemon_goes_on(tmp_path: Path, count: int) -> None:
    """It finds the same lines, and how far the stream has got; also when the newest file holds nothing yet."""
    log = filled(tmp_path, count)
    before = lines(log)
    log.close()
    (tmp_path / "log.99").touch()
    again = LogFile(tmp_path / "log", LogLimits(max_bytes=150, max_files=4))
    assert lines(again) == before
    assert (again.stdout, again.stderr) == (8 * count, 0)
    again.append(1, b"new\n", time_ns=1)
    assert lines(again) == [*before, b"new\n"]
    again.close()


@pytest.mark.parametrize("tail", range(9))
def test_tail_crosses_files(tmp_path: Path, tail: int) -> None:
    """And takes what there is if there is less."""
    log = filled(tmp_path, 10)
    kept = lines(log)
    start, skip = log.tail_start(LogQuery(tail=tail), log.size)
    assert skip == 0
    assert lines(log, start) == (kept[-tail:] if tail else [])
    log.close()


def test_a_reader_who_is_too_slow_misses_what_was_thrown_away(tmp_path: Path) -> None:
    """It goes on with the oldest that is left."""
    log = filled(tmp_path, 2)
    position = log.size
    for number in range(2, 30):
        log.append(1, line(number), time_ns=number)
    assert lines(log, position) == lines(log)
    assert lines(log)[-1] == line(29)
    log.close()


def test_without_content_only_the_offsets_are_kept(tmp_path: Path) -> None:
    """Of the driver ``none``: bounded, and the next daemon knows how far the streams have got."""
    limits = log_options.limits(LogConfig("none"))
    log = LogFile(tmp_path / "log", limits)
    for _ in range(5000):
        log.append(2, b"secret", time_ns=1)
    log.close()
    data = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"secret" not in data
    assert len(data) <= 64 * 1024
    again = LogFile(tmp_path / "log", limits)
    assert (again.stdout, again.stderr) == (0, 30000)
    again.close()


@pytest.mark.parametrize(
    ("config", "limits"),
    [
        (LogConfig(), LogLimits()),
        (LogConfig("json-file", {"max-size": "10k", "max-file": "3"}), LogLimits(10_000, 3)),
        (LogConfig("json-file", {"max-file": "3"}), LogLimits()),
        (LogConfig("json-file", {"max-size": "-1"}), LogLimits()),
        (LogConfig("local"), LogLimits(20_000_000, 5)),
        (LogConfig("local", {"max-file": "2"}), LogLimits(20_000_000, 2)),
    ],
)
def test_limits(config: LogConfig, limits: LogLimits) -> None:
    """Decimal multiples, as dockerd's; a number of files without a size limits nothing."""
    assert log_options.check(config) == []
    assert log_options.limits(config) == limits


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("max-size", "abc", "failed to initialize logging driver: invalid size: 'abc'"),
        ("max-size", "0", "max-size must be a positive number"),
        ("max-file", "0", "max-file cannot be less than 1"),
        ("max-file", "x", "max-file 'x' is not a number"),
        ("max-file", "1001", "max-file cannot be more than 1000"),
        ("bogus", "1", "unknown log opt 'bogus' for json-file log driver"),
        ("mode", "x", "logger: logging mode not supported: x"),
    ],
)
def test_options_refused(name: str, value: str, words: str) -> None:
    """In dockerd's words where it has some."""
    with pytest.raises(InvalidRequest, match=words):
        log_options.check(LogConfig("json-file", {"max-size": "1k", name: value}))


def test_details_are_what_is_named_and_there() -> None:
    """Of json-file, sorted; the others keep none, and are warned about it."""
    options = {"labels": "b,none,a", "env": "E,EMPTY,NONE"}
    has: dict[str, Any] = {"labels": {"a": "1", "b": "2"}, "env": ["E=x=y", "EMPTY=", "NONE"]}
    found = log_options.details(LogConfig("json-file", options), **has)
    assert found == [("E", "x=y"), ("EMPTY", ""), ("a", "1"), ("b", "2")]
    assert log_options.check(LogConfig("json-file", options)) == []
    for driver in ("local", "none"):
        assert log_options.details(LogConfig(driver, options), **has) == []
    assert log_options.check(LogConfig("local", options)) == [
        "HostConfig.LogConfig option env has no effect.",
        "HostConfig.LogConfig option labels has no effect.",
    ]


def test_options_without_effect_are_said_to_have_none() -> None:
    """One sentence each."""
    assert log_options.check(LogConfig("json-file", {"tag": "x", "compress": "true"})) == [
        "HostConfig.LogConfig option compress has no effect.",
        "HostConfig.LogConfig option tag has no effect.",
    ]

"""Log records as clients read them."""

from __future__ import annotations

import pytest

from hyper.api.docker.logs import Formatter
from hyper.proto.log_record import LogFlag, LogRecord

STAMP = b"1970-01-01T00:00:01.000000002Z "


def record(payload: bytes, *, stream: int = 1, partial: bool = False) -> LogRecord:
    """A record of the first second."""
    return LogRecord(stream, 1_000_000_002, 0, 0, payload, LogFlag(int(partial)))


def test_every_line_has_its_time_and_a_progress_bar_is_one_line() -> None:
    """Lines end in a newline and in nothing else."""
    plain = Formatter(multiplexed=False, timestamps=True)
    assert plain.format(record(b"a\nb\n")) == STAMP + b"a\n" + STAMP + b"b\n"
    assert plain.format(record(b"10%\r20%\r\n")) == STAMP + b"10%\r20%\r\n"
    assert plain.format(record(b"\x0b\x0c\x85\n")) == STAMP + b"\x0b\x0c\x85\n"


def test_a_line_in_pieces_has_one_time() -> None:
    """And the other stream's lines between the pieces have theirs."""
    plain = Formatter(multiplexed=False, timestamps=True)
    pieces = [
        record(b"long ", partial=True),
        record(b"err\n", stream=2),
        record(b"line\n"),
        record(b"next\n"),
    ]
    assert [plain.format(piece) for piece in pieces] == [
        STAMP + b"long ",
        STAMP + b"err\n",
        b"line\n",
        STAMP + b"next\n",
    ]


@pytest.mark.parametrize("stream", [1, 2])
def test_multiplexed_records_are_framed(stream: int) -> None:
    """One header a line, as dockerd's (clients take a frame for a line); none for nothing."""
    framed = Formatter(multiplexed=True, timestamps=False)
    data = framed.format(record(b"a\nbb\nc", stream=stream, partial=True))
    head = bytes([stream, 0, 0, 0, 0, 0, 0])
    assert data == head + b"\x02a\n" + head + b"\x03bb\n" + head + b"\x01c"
    assert framed.format(record(b"a\n"), skip_lines=1) == b""


def test_a_terminals_records_are_bytes() -> None:
    """What has no headers is not taken apart."""
    plain = Formatter(multiplexed=False, timestamps=False)
    assert plain.format(record(b"a\r\nb")) == b"a\r\nb"


def test_lines_are_skipped_for_tail() -> None:
    """The first of a record of several."""
    plain = Formatter(multiplexed=False, timestamps=False)
    assert plain.format(record(b"a\nb\nc\n"), skip_lines=2) == b"c\n"

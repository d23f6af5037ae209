"""The columns of docker top, and a guest's /proc that is not to be trusted."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyper.engine.inspect.ps import Scene, columns, parse, users
from hyper.errors import InvalidRequest, ProtocolError
from hyper.proto.message import ProcessLine

STAT = (
    b"42 (a (b) c) S 1 42 42 34816 42 4194560 100 0 0 0 150 50 0 0 20 0 1 0 500 "
    b"2097152 256 18446744073709551615 1 1 0 0 0\n"
)
LINE = ProcessLine(42, 1000, STAT, b"sleep\x0010\x00")
NOON = time.mktime((2026, 11, 23, 12, 0, 0, 0, 0, -1))
SCENE = Scene(now_s=NOON, up_s=105.0, memory_bytes=128 * 1024 * 1024, users={1000: "app"})

TABLES = {
    "-ef": [
        ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"],
        ["app", "42", "1", "2", "11:58", "pts/0", "00:00:02", "sleep 10"],
    ],
    "aux": [
        "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND".split(),
        [*"app 42 2.0 0.8 2048 1024 pts/0 Ss+ 11:58 0:02".split(), "sleep 10"],
    ],
    "-o pid,comm,etime -o uid,pcpu": [
        ["PID", "COMMAND", "ELAPSED", "UID", "%CPU"],
        ["42", "a (b) c", "01:40", "1000", "2.0"],
    ],
    "-eopid,args": [["PID", "COMMAND"], ["42", "sleep 10"]],
    "-e": [["PID", "TTY", "TIME", "CMD"], ["42", "pts/0", "00:00:02", "a (b) c"]],
    "ax": [["PID", "TTY", "STAT", "TIME", "COMMAND"], ["42", "pts/0", "Ss+", "0:02", "sleep 10"]],
}


@pytest.mark.parametrize("args", TABLES)
def test_tables(args: str) -> None:
    """Titles and one process, for the ways people call ps."""
    chosen = columns(args)
    row = [show(parse(LINE), SCENE) for _, show in chosen]
    assert [[title for title, _ in chosen], row] == TABLES[args]


@pytest.mark.parametrize("args", ["waux", "-aux", "-eo user,pid", "-A -f", "-wwef"])
def test_spellings(args: str) -> None:
    """What docker-py's users and scripts send too."""
    assert "PID" in [title for title, _ in columns(args)]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ("-Z", "unsupported option '-Z'"),
        ("-o", "must follow -o"),
        ("-o pid,nosuch", 'unknown user-defined format specifier "nosuch"'),
        ("-o comm", "Couldn't find PID field in ps output"),
        ("-o pid=ID", "is not allowed"),
        ("-p 1", "unsupported option"),
    ],
)
def test_refusals(args: str, words: str) -> None:
    """Said in one sentence, as a client's mistake."""
    with pytest.raises(InvalidRequest, match=words):
        columns(args)


def test_users_are_of_whole_lines() -> None:
    """A cut last line, a foreign one and a second name of a uid do not count."""
    text = b"root:x:0:0:root:/root:/bin/sh\nroot2:x:0:0::/:\n\xff\xfe:x:3:\napp:x:1000:1000::/:\ncut:x:7"
    assert users(text) == {0: "root", 1000: "app"}


@given(st.binary(max_size=400), st.binary(max_size=100), st.integers(0, 2**32 - 1))
def test_any_bytes(stat: bytes, cmdline: bytes, uid: int) -> None:
    """A process, or a protocol error; what is shown is printable."""
    for text in (stat, STAT[:20] + stat, STAT.replace(b"500", stat[:30])):
        try:
            process = parse(ProcessLine(1, uid, text, cmdline))
        except ProtocolError:
            continue
        for args in TABLES:
            assert all(show(process, SCENE).isprintable() for _, show in columns(args))

"""What a guest prints must not drive the terminal of who reads it."""

from __future__ import annotations

import asyncio
import os
import socket

import pytest

from hyper.machine.process.console import Console, printable


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"plain\r\nlines\n", "plain\nlines\n"),
        (b"\x1b[31mred\x1b[0m", "red"),
        (b"\x1b]0;title\x07after", "after"),
        (b"\x1b]52;c;ZXZpbA==\x1b\\after", "after"),
        (b"\x1bcreset", "�creset"),
        (b"a\x00b\x07c\x7fd", "a�b�c�d"),
        (b"\xff\xfe", "��"),
        ("héllo".encode(), "héllo"),
        ("a\u202eb".encode(), "a�b"),
        (b"\x1b[", ""),
    ],
)
def test_printable(data: bytes, text: str) -> None:
    assert printable(data) == text


async def test_only_the_tail_is_kept() -> None:
    ours, theirs = socket.socketpair()
    console = Console(ours)
    with theirs:
        for _ in range(100):
            await asyncio.get_running_loop().sock_sendall(theirs, b"x" * 1000)
            await asyncio.sleep(0)
        theirs.send(b"the end")
    assert console.drain().endswith("the end")
    assert len(console.text()) == 8192
    console.close()
    console.close()


async def test_text_survives_the_end() -> None:
    ours, theirs = socket.socketpair()
    fd = ours.fileno()
    console = Console(ours)
    theirs.send(b"last words")
    theirs.close()
    assert console.drain() == "last words"
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(fd)

"""Numbers that daemons of one host share out: never the same twice, kept, given back, and a book that is damaged."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from pathlib import Path

import pytest

from hyper.errors import HyperError
from hyper.system import lock, numbers
from tests.support.numbers import number_of

CLAIM = """
import sys
from pathlib import Path
from hyper.system import numbers
for owner in sys.argv[2:]:
    numbers.claim(Path(sys.argv[1]), owner, preferred=7, count=64)
"""


@pytest.fixture
def book(tmp_path: Path) -> Path:
    """Where they are written down."""
    return tmp_path / "book.json"


def test_the_preferred_one_or_the_next_that_is_free(book: Path) -> None:
    """After the last comes the first; who has one keeps it, whatever it would like now; then all are taken."""
    assert numbers.claim(book, "a", preferred=2, count=4) == 2
    assert numbers.claim(book, "b", preferred=2, count=4) == 3
    assert numbers.claim(book, "c", preferred=2, count=4) == 0
    assert numbers.claim(book, "b", preferred=1, count=4) == 3
    assert numbers.claim(book, "d", preferred=2, count=4) == 1
    with pytest.raises(HyperError, match=r"all 4 numbers in .*book\.json are taken"):
        numbers.claim(book, "e", preferred=2, count=4)
    assert [number_of(book, owner) for owner in "abcde"] == [2, 3, 0, 1, None]


def test_what_is_given_back_is_free_and_the_last_leaves_no_book(book: Path) -> None:
    """Also for who had none."""
    for owner in "ab":
        numbers.claim(book, owner, preferred=0, count=4)
    numbers.give_back(book, "a")
    numbers.give_back(book, "stranger")
    assert numbers.claim(book, "c", preferred=0, count=4) == 0
    numbers.give_back(book, "b")
    numbers.give_back(book, "c")
    assert not book.exists()


def test_processes_that_claim_at_once_get_different_ones(book: Path) -> None:
    """Each reads what the others have written: none is lost, none is given twice."""
    owners = [f"{process}.{n}" for process in range(4) for n in range(8)]
    running = [
        subprocess.Popen([sys.executable, "-c", CLAIM, book, *owners[start : start + 8]])
        for start in range(0, len(owners), 8)
    ]
    assert [process.wait() for process in running] == [0, 0, 0, 0]
    assert {number_of(book, owner) for owner in owners} == set(range(7, 39))


@pytest.mark.parametrize("content", [b"", b"[]", b'{"x": "a"}', b"\xff"])
def test_a_damaged_book_is_named_and_left_alone(book: Path, content: bytes) -> None:
    """Guessing would give two daemons the same."""
    book.write_bytes(content)
    with pytest.raises(HyperError, match=r"cannot read .*book\.json") as raised:
        numbers.claim(book, "a", preferred=0, count=4)
    assert raised.value.hint is not None
    assert str(book) in raised.value.hint
    assert book.read_bytes() == content


def test_turns_are_waited_for(tmp_path: Path) -> None:
    """Another process comes in once the first is out, and the file stays."""
    path = tmp_path / "lock"
    code = (
        "import sys; from pathlib import Path; from hyper.system import lock\n"
        "print('asks', flush=True)\n"
        "with lock.exclusively(Path(sys.argv[1])): print('in', flush=True)"
    )
    with lock.exclusively(path):
        other = subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE)
        assert other.stdout is not None
        assert other.stdout.readline() == b"asks\n"
        assert other.poll() is None
        with path.open("rb") as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with other:
        assert other.stdout.read() == b"in\n"
    assert path.exists()

"""``hyper`` as a program: what it leaves when it ends, also where its output cannot go."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.support.command import HYPER


def test_all_output_is_there_when_it_ends() -> None:
    """It ends without the interpreter's own end, which would write what is buffered: a pipe is buffered."""
    done = subprocess.run([*HYPER, "run", "--help"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == Path("tests/golden/help/run.txt").read_text()


def test_a_full_disk_is_said_in_one_line() -> None:
    """It fails, and no trace of calls is shown."""
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([*HYPER, "--help"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (1, "hyper: No space left on device\n")


def test_a_reader_that_is_gone_is_no_error() -> None:
    """As if by SIGPIPE."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([*HYPER, "--help"], stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (done.returncode, done.stderr) == (128 + 13, b"")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """And no trace of calls is shown."""
    argv = [*HYPER, "import", str(tmp_path / "none.tar")]
    done = subprocess.run(argv, capture_output=True, text=True, env={"HYPER_HOST": "unix:///no"})
    assert done.returncode != 0
    assert "none.tar" in done.stderr
    assert "Traceback" not in done.stderr

"""A file that tells others our process id, as service units want it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hyper.errors import Conflict, HyperError
from hyper.system import files


@contextmanager
def written(path: Path) -> Iterator[None]:
    """The file ``path`` holds our process id; it is gone in the end, unless it then holds another's.

    Raises:
        Conflict: the file names a process that runs.
        HyperError: the file cannot be written.
    """
    ours = f"{os.getpid()}\n".encode()
    try:
        if _runs(path):
            raise Conflict(
                f"process with PID {path.read_text().strip()} is still running",
                hint=f"it is named in {path}",
            )
        files.write_atomically(path, ours, mode=0o644, durable=False)
    except OSError as error:
        raise HyperError(f"cannot write the PID file {path}: {error.strerror}") from None
    try:
        yield
    finally:
        if path.exists() and path.read_bytes() == ours:
            path.unlink()


def _runs(path: Path) -> bool:
    """Whether a process other than ours has the id that is in the file."""
    try:
        text = path.read_text(errors="replace").strip()
    except FileNotFoundError:
        return False
    is_pid = text.isascii() and text.isdecimal() and len(text) < 10
    return is_pid and int(text) not in (0, os.getpid()) and Path("/proc", str(int(text))).exists()

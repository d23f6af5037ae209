"""Archives between the daemon and files of this host: written whole or not at all, read in pieces."""

from __future__ import annotations

import os
from contextlib import suppress

from hyper.cli.flags import LocalError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_PIECE = 256 * 1024


def receive(pieces: Iterable[bytes], path: str | None) -> None:
    """``pieces`` are in the file ``path``, which is replaced as a whole; on standard output where ``path`` is None.

    Raises:
        LocalError: the file cannot be written; nothing of it is left.
    """
    if path is None:
        write_all(1, pieces)
        return
    try:
        # A device or a pipe is written to, not replaced.
        if os.path.exists(path) and not os.path.isfile(path):  # noqa: PTH110, PTH113 (pathlib costs 3 ms)
            with open(path, "wb") as file:  # noqa: PTH123
                write_all(file.fileno(), pieces)
        else:
            _replace(path, pieces)
    except OSError as error:
        raise LocalError(f"cannot write {path}: {error.strerror}") from error


def refuse_terminal() -> None:
    """Raise LocalError where standard output is a terminal: an archive would wreck it."""
    if os.isatty(1):
        raise LocalError("cowardly refusing to save to a terminal", hint="use -o FILE, or redirect")


def _replace(path: str, pieces: Iterable[bytes]) -> None:
    folder, name = os.path.split(path)
    partial = os.path.join(folder, f".tmp-{name}.{os.getpid()}")  # noqa: PTH118
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        try:
            write_all(descriptor, pieces)
        finally:
            os.close(descriptor)
        os.replace(partial, path)  # noqa: PTH105
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(partial)  # noqa: PTH108
        raise


def write_all(descriptor: int, pieces: Iterable[bytes]) -> None:
    """Every byte of ``pieces`` is written to ``descriptor``."""
    for piece in pieces:
        view = memoryview(piece)
        while view:
            view = view[os.write(descriptor, view) :]


def pieces_of(path: str | None) -> Iterator[bytes]:
    """The content of the file ``path``, of standard input where it is None.

    Raises:
        LocalError: it cannot be read.
    """
    try:
        if path is None:
            yield from _read(0)
            return
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield from _read(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if isinstance(error, BrokenPipeError | ConnectionResetError):
            raise
        where = path or "standard input"
        raise LocalError(
            f"cannot read {where}: {(error.strerror or str(error)).lower()}"
        ) from error


def _read(descriptor: int) -> Iterator[bytes]:
    while piece := os.read(descriptor, _PIECE):
        yield piece

"""The user's terminal: its size, and raw mode that is always undone."""

from __future__ import annotations

import os
import signal
import termios
import tty
from contextlib import contextmanager

from hyper.cli.signals import ENDING, end_as

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


def size(descriptor: int = 1) -> tuple[int, int] | None:
    """Rows and columns of the terminal at ``descriptor``; None if it is none or does not know."""
    try:
        columns, rows = os.get_terminal_size(descriptor)
    except OSError:
        return None
    return (rows, columns) if rows and columns else None


@contextmanager
def raw(descriptor: int) -> Iterator[None]:
    """Within, the terminal at ``descriptor`` passes every key on and echoes nothing; afterwards it is as before.

    TERM, HUP and QUIT unwind (SystemExit) instead of ending us with the terminal raw.
    """
    before = termios.tcgetattr(descriptor)
    former = [(number, signal.signal(number, end_as)) for number in ENDING]
    try:
        # NOW and not FLUSH: what was typed while the machine booted belongs to its shell.
        tty.setraw(descriptor, termios.TCSANOW)
        yield
    finally:
        _restore(descriptor, before)
        for number, handler in former:
            signal.signal(number, handler)


def _restore(descriptor: int, before: list[object]) -> None:
    # A background job that sets the terminal gets TTOU and would stop here for ever.
    former = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    try:
        termios.tcsetattr(descriptor, termios.TCSANOW, before)  # type: ignore[arg-type]  # as tcgetattr gave it
    except termios.error:
        pass  # The terminal is gone (its window was closed): nothing is left to restore.
    finally:
        signal.signal(signal.SIGTTOU, former)

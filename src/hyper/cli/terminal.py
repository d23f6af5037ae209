"""The user's terminal: its size, and raw mode that is always undone."""

from __future__ import annotations

import os

from hyper.cli.signals import ENDING, end_as


def size(descriptor: int = 1) -> tuple[int, int] | None:
    """The size, rows and columns, of the terminal at ``descriptor``; None if it is no terminal or does not know."""
    try:
        columns, rows = os.get_terminal_size(descriptor)
    except OSError:
        return None
    return (rows, columns) if rows and columns else None


class Raw:
    """Raw mode of the terminal at ``descriptor``: while entered, every key is passed on, none echoed; it is as before
    afterwards.

    TERM, HUP and QUIT unwind (SystemExit) instead of ending the process with the terminal raw.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __enter__(self) -> None:
        import signal  # this and the next two are of no use where there is no terminal
        import termios
        import tty

        self._before = termios.tcgetattr(self._descriptor)
        self._former = [(number, signal.signal(number, end_as)) for number in ENDING]
        try:
            # NOW and not FLUSH: what was typed while the machine booted belongs to its shell.
            tty.setraw(self._descriptor, termios.TCSANOW)
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        import signal

        _restore(self._descriptor, self._before)
        for number, handler in self._former:
            signal.signal(number, handler)


def _restore(descriptor: int, before: list[object]) -> None:
    import signal
    import termios

    # A background job that sets the terminal gets TTOU and would stop here for ever.
    former = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    try:
        termios.tcsetattr(descriptor, termios.TCSANOW, before)  # type: ignore[arg-type]  # as tcgetattr gave it
    except termios.error:
        pass  # The terminal is gone (its window was closed): nothing is left to restore.
    finally:
        signal.signal(signal.SIGTTOU, former)

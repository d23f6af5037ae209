"""Signals as bytes to poll for, and their names."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Iterable
    from types import FrameType
else:
    try:
        import _signal as signal  # numbers and calls alone: their names as enumerations cost 8 ms
    except ImportError:
        import signal

SIGINT, SIGTERM, SIGWINCH = signal.SIGINT, signal.SIGTERM, signal.SIGWINCH

#: What an attached command passes on to its container (those a shell or a supervisor sends).
PROXIED = (
    signal.SIGHUP,
    SIGINT,
    signal.SIGQUIT,
    SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGTSTP,
    signal.SIGCONT,
    signal.SIGALRM,
)
#: What would end us with the terminal still raw.
ENDING = (signal.SIGHUP, SIGTERM, signal.SIGQUIT)


class Signals:
    """Signals caught while the object is entered: those ``wanted`` do nothing but show up at :meth:`fileno`.

    A pipe is used and no handler that acts: the request that passes a signal on must not run inside another request.
    """

    def __init__(self, wanted: Iterable[int]) -> None:
        self._wanted = tuple(wanted)
        self._former: list[tuple[int, object]] = []

    def __enter__(self) -> Signals:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        self._former_fd = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        self._former = [(s, signal.signal(s, _ignore)) for s in self._wanted]
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._former:
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal() gave us
        signal.set_wakeup_fd(self._former_fd)
        os.close(self._read)
        os.close(self._write)

    def fileno(self) -> int:
        """The descriptor that is readable when a signal came."""
        return self._read

    def take(self) -> list[int]:
        """The signals that came since the last call, in order."""
        try:
            numbers = os.read(self._read, 512)
        except BlockingIOError:
            return []
        return [number for number in numbers if number in self._wanted]


def name_of(number: int) -> str:
    """The name of a signal, as ``SIGTERM``."""
    import signal

    return signal.Signals(number).name


def _ignore(number: int, frame: FrameType | None) -> None:
    """A handler that does nothing: the wake-up descriptor has the signal's number."""


def end_as(number: int, frame: FrameType | None) -> None:
    """A handler that unwinds (so that every owner cleans up) and ends with 128 + the signal's number."""
    raise SystemExit(128 + number)

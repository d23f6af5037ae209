"""An attached container or exec: terminal, signals and streams together, until it ends or the user leaves."""

from __future__ import annotations

import os
import select
import sys

from hyper.cli import terminal
from hyper.cli.context import say
from hyper.cli.flags import LocalError, UsageError
from hyper.cli.pump import Pump
from hyper.cli.safe import paint
from hyper.cli.signals import PROXIED, SIGINT, SIGTERM, SIGWINCH, Signals, name_of
from hyper.client.errors import ApiError, ConnectionLost
from hyper.client.light import loads
from hyper.proto.detach import DEFAULT_KEYS, DetachKeys, parse_keys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from hyper.client.engine import Engine
    from hyper.client.http import Response

#: A process that has just been started may not have its terminal yet: try again this often.
_RESIZE_RETRY_S = 0.02
_RESIZE_TRIES = 25
#: The user insists: this many INT or TERM end us, whatever the container does with them.
_INSISTING = 3


class NotATerminal(LocalError):
    """``-it`` without a terminal to read from."""


class Session:
    """The session of one attached command with its program.

    ``resource`` is the API path that is resized (a container or an exec) and, with ``proxy``, killed.
    """

    def __init__(
        self,
        engine: Engine,
        resource: str,
        *,
        tty: bool,
        interactive: bool,
        proxy: bool,
        keys: str | None = None,
    ) -> None:
        """A session that is not connected yet. Raises UsageError: ``keys`` is no key sequence; NotATerminal."""
        try:
            self._keys = parse_keys(DEFAULT_KEYS if keys is None else keys)
        except ValueError as error:
            raise UsageError(f"invalid --detach-keys: {error}") from error
        self._engine = engine
        self.resource = resource
        self.tty = tty
        self._interactive = interactive
        self._proxy = proxy
        self._held: list[int] | None = []
        self._insisted = 0
        #: When the first output came, CLOCK_MONOTONIC; 0: none has.
        self.first_output_ns = 0

    def terminal(self) -> _Caught:
        """A context in which the terminal is raw (if there is a tty to talk to) and signals are caught.

        Signals wait until :meth:`release`, when there is a process to send them to.
        """
        caught = (*(PROXIED if self._proxy else ()), *((SIGWINCH,) if self.tty else ()))
        self._signals = Signals(caught)
        is_raw = self.tty and self._interactive and os.isatty(0)
        return _Caught(terminal.Raw(0) if is_raw else None, self._signals)

    def await_answer(self, connection: socket.socket) -> Response:
        """The answer to a request under way; signals that come meanwhile are seen."""
        self._await(connection)
        return self._engine.receive(connection)

    def release(self) -> None:
        """Signals are passed on from now on, when there is a process, beginning with those that waited."""
        held, self._held = self._held or [], None
        for number in held:
            self._pass_on(number)

    def converse(self, wire: socket.socket, early: bytes, *, redraw: bool = False) -> bool:
        """Move bytes until the stream ends (True) or the user detaches (False); closes ``wire``.

        ``redraw``: the program ran before the session, make it paint its screen again.
        """
        with wire:
            pump = Pump(
                wire,
                early,
                stdin=0 if self._interactive else None,
                tty=self.tty,
                signals=self._signals,
                on_signal=self._on_signal,
                keys=DetachKeys(self._keys) if self.tty and self._interactive else None,
            )
            if self.tty and not self._resize(taller=redraw):
                pump.repeat(_RESIZE_RETRY_S, self._resize_again())
            elif redraw:
                self._resize()
            has_ended = pump.run()
            self.first_output_ns = pump.first_output_ns
        if not has_ended:
            # The terminal is still raw: a line of its own needs the carriage return, too.
            paint(sys.stderr, "\r\nhyper: detached; it goes on running\r\n")
            sys.stderr.flush()
        return has_ended

    def exit_code(self, waiting: Response) -> int:
        """The exit code that ``/wait`` answers in the end; closes ``waiting``.

        Raises:
            HyperError: the daemon was lost, or reports an error of its own.
        """
        self._await(waiting)
        try:
            answer = loads(waiting.read())
            status = int(answer["StatusCode"])
        except (ValueError, KeyError, TypeError) as error:
            raise ConnectionLost("the daemon ended while the container ran") from error
        message = (answer.get("Error") or {}).get("Message")
        if message:
            say(f"hyper: {message}")
        return status

    def _await(self, source: socket.socket | Response) -> None:
        poller = select.poll()
        poller.register(source.fileno(), select.POLLIN)
        poller.register(self._signals.fileno(), select.POLLIN)
        while True:
            ready = [descriptor for descriptor, _ in poller.poll()]
            if source.fileno() in ready:
                return
            for number in self._signals.take():
                self._on_signal(number)

    def _on_signal(self, number: int) -> None:
        if number == SIGWINCH:
            self._resize()
            return
        if number in (SIGINT, SIGTERM):
            self._insisted += 1
            if self._insisted >= _INSISTING:
                say("hyper: leaving after three signals; the container may still run")
                raise SystemExit(128 + number)
        if self._held is not None:
            self._held.append(number)
        else:
            self._pass_on(number)

    def _pass_on(self, number: int) -> None:
        try:
            self._engine.post(f"{self.resource}/kill", signal=name_of(number))
        except ApiError:
            return  # It has ended meanwhile: its exit code is on the way.

    def _resize(self, *, taller: bool = False) -> bool:
        """Tell the daemon the terminal's size; False if the program has no terminal (yet)."""
        ours = terminal.size(1) or terminal.size(0)
        if ours is None:
            return True
        extra = 1 if taller else 0
        try:
            self._engine.post(f"{self.resource}/resize", h=ours[0] + extra, w=ours[1] + extra)
        except ApiError:
            return False
        return True

    def _resize_again(self) -> Callable[[], bool]:
        left = iter(range(_RESIZE_TRIES))
        return lambda: self._resize() or next(left, None) is None


class _Caught:
    """A terminal that is ``raw`` and ``signals`` that are caught, in this order; undone in reverse."""

    def __init__(self, raw: terminal.Raw | None, signals: Signals) -> None:
        self._raw = raw
        self._signals = signals

    def __enter__(self) -> None:
        if self._raw is not None:
            self._raw.__enter__()
        try:
            self._signals.__enter__()
        except BaseException:
            if self._raw is not None:
                self._raw.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        try:
            self._signals.__exit__()
        finally:
            if self._raw is not None:
                self._raw.__exit__()


def require_terminal(*, tty: bool, interactive: bool) -> None:
    """Raise NotATerminal where ``-t`` and ``-i`` meet an input that is no terminal."""
    if tty and interactive and not os.isatty(0):
        raise NotATerminal(
            "the input device is not a TTY", hint="use -i without -t for a pipe or a file"
        )

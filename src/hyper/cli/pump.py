"""Pump of bytes between the standard streams and a hijacked connection, both ways at once, without deadlock.

One poll loop: nothing is read before there is room for it, nothing is written before poll says that it fits. So a
full pipe on one side never stops the other.
"""

from __future__ import annotations

import os
import select
import stat
import time

from hyper.client.light import MSG_NOSIGNAL, SHUT_WR
from hyper.proto.docker_stream import STDERR, DockerStreamDecoder

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from hyper.cli.signals import Signals
    from hyper.proto.detach import DetachKeys

#: Held at most in either direction.
ROOM = 1024 * 1024
READ_SIZE = 256 * 1024
#: poll promises this much room in a pipe, and no more.
PIPE_WRITE = select.PIPE_BUF
_READABLE = select.POLLIN | select.POLLHUP | select.POLLERR
_GONE = select.POLLHUP | select.POLLERR | select.POLLNVAL


class Pump:
    """A pump of one attached stream.

    ``wire`` and ``early``: the connection and what was already read from it; the caller closes it.
    ``stdin``: descriptor to read input from, None for none; its end half-closes the connection.
    ``tty``: the connection carries one raw stream; otherwise Docker's multiplexed one.
    ``on_signal`` is called between reads for each signal that ``signals`` caught.
    """

    def __init__(
        self,
        wire: socket.socket,
        early: bytes,
        *,
        stdin: int | None,
        tty: bool,
        signals: Signals,
        on_signal: Callable[[int], None],
        keys: DetachKeys | None = None,
    ) -> None:
        self._wire = wire
        self._stdin = stdin
        self._signals = signals
        self._on_signal = on_signal
        self._keys = keys
        self._decoder = None if tty else DockerStreamDecoder()
        self._input = bytearray()
        self._outputs = (Output(1), Output(2))
        self._output_ended = False
        self._detached = False
        self._half_close = False
        self.first_output_ns = 0
        self._timer: Timer | None = None
        self._poll = select.poll()
        self._watched: dict[int, int] = {}
        if early:
            self._deliver(early)

    def repeat(self, seconds: float, action: Callable[[], bool]) -> None:
        """Call ``action`` every ``seconds`` from inside :meth:`run`, until it returns True."""
        self._timer = Timer(seconds, action)

    def run(self) -> bool:
        """Return True when the stream ended and all of it is written, False when the user detached.

        Raises:
            BrokenPipeError: the reader of the output has gone.
            ProtocolError: the daemon sent bytes that are no stream.
        """
        self._wire.setblocking(False)
        try:
            while not self._detached:
                if self._output_ended and not any(out.pending for out in self._outputs):
                    return True
                self._turn()
            self._send_rest()
        finally:
            for out in self._outputs:
                out.close()
        return False

    def _send_rest(self) -> None:
        """The input typed before the detach keys is sent: it still belongs to the program."""
        self._wire.setblocking(True)
        try:
            self._wire.sendall(self._input, MSG_NOSIGNAL)
        except OSError:
            return  # it has ended at the same moment

    def _turn(self) -> None:
        self._watch()
        for descriptor, event in self._wait():
            if descriptor == self._signals.fileno():
                for number in self._signals.take():
                    self._on_signal(number)
            elif descriptor == self._wire.fileno():
                self._serve_wire(event)
            elif descriptor == self._stdin:
                self._read_stdin()
            else:  # of an input that has ended in this very turn nothing is wanted
                for out in self._outputs:
                    if out.descriptor == descriptor:
                        out.write()

    def _wait(self) -> list[tuple[int, int]]:
        if self._timer is None:
            return self._poll.poll()
        events = self._poll.poll(self._timer.left_ms())
        if self._timer.is_done():
            self._timer = None
        return events

    def _watch(self) -> None:
        """The poll's descriptors, those with something to do: another one is taken out (POLLHUP would spin)."""
        wanted = {self._signals.fileno(): select.POLLIN}
        has_room = sum(len(out.pending) for out in self._outputs) < ROOM
        wire = 0 if self._output_ended or not has_room else select.POLLIN
        wire |= select.POLLOUT if self._input or self._half_close else 0
        wanted[self._wire.fileno()] = wire
        if self._stdin is not None and len(self._input) < ROOM:
            wanted[self._stdin] = select.POLLIN
        wanted |= {out.descriptor: select.POLLOUT for out in self._outputs if out.pending}
        wanted = {descriptor: mask for descriptor, mask in wanted.items() if mask}
        for descriptor in self._watched.keys() - wanted.keys():
            self._poll.unregister(descriptor)
        for descriptor, mask in wanted.items():
            if self._watched.get(descriptor) != mask:
                self._poll.register(descriptor, mask)
        self._watched = wanted

    def _serve_wire(self, event: int) -> None:
        wanted = self._watched[self._wire.fileno()]
        if wanted & select.POLLIN and event & _READABLE:
            self._read_wire()
        if wanted & select.POLLOUT and event & (select.POLLOUT | _GONE):
            self._write_wire()

    def _read_wire(self) -> None:
        try:
            data = self._wire.recv(READ_SIZE)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        if data:
            self._deliver(data)
        else:
            self._output_ended = True
            self._end_input()

    def _deliver(self, data: bytes) -> None:
        self.first_output_ns = self.first_output_ns or time.monotonic_ns()
        if self._decoder is None:
            self._outputs[0].pending += data
            return
        for stream, piece in self._decoder.feed(data):
            self._outputs[stream == STDERR].pending += piece

    def _read_stdin(self) -> None:
        assert self._stdin is not None
        try:
            data = os.read(self._stdin, READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""  # The terminal hung up, or the descriptor was never open.
        if not data:
            self._stdin = None
            self._half_close = True
            return
        if self._keys is not None:
            data, self._detached = self._keys.feed(data)
        self._input += data

    def _write_wire(self) -> None:
        try:
            if self._input:
                sent = self._wire.send(memoryview(self._input)[:READ_SIZE], MSG_NOSIGNAL)
                del self._input[:sent]
            if self._half_close and not self._input:
                self._half_close = False
                self._wire.shutdown(SHUT_WR)
        except BlockingIOError:
            return
        except OSError:
            # The container takes no more input (it ended, or closed its own): its output still counts.
            self._end_input()

    def _end_input(self) -> None:
        self._stdin = None
        self._half_close = False
        self._input.clear()


class Output:
    """An output descriptor of this process and the bytes still to be written to it."""

    def __init__(self, number: int) -> None:
        """The output ``number``, 1 or 2. Where it could block, writes go to a private opening of the same file."""
        own = _reopened(number)
        self.descriptor = number if own is None else own
        self.pending = bytearray()
        self._is_own = own is not None
        self._most = READ_SIZE if own is not None or _is_file(number) else PIPE_WRITE

    def close(self) -> None:
        """Close the private opening, if there is one; 1 and 2 themselves stay open."""
        if self._is_own:
            os.close(self.descriptor)
            self._is_own = False

    def write(self) -> None:
        """Write as many bytes as fit without blocking; poll has just said that some do.

        Raises:
            BrokenPipeError: the descriptor's reader has gone.
        """
        view = memoryview(self.pending)
        try:
            written = os.write(self.descriptor, view[: self._most])
        except BlockingIOError:
            written = 0  # Somebody else made it non-blocking; poll tells when to go on.
        finally:
            view.release()
        del self.pending[:written]


def _reopened(number: int) -> int | None:
    """A private, non-blocking opening of the pipe or terminal ``number``; None where there can be none.

    O_NONBLOCK is not set on the descriptor itself: processes that share it (the user's shell) would get it, too.
    """
    mode = os.fstat(number).st_mode
    if not (stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)):
        return None
    flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        return os.open(f"/proc/self/fd/{number}", flags)
    except OSError:
        return None  # no /proc, the reader has gone, or another user's terminal (su)


def _is_file(number: int) -> bool:
    return stat.S_ISREG(os.fstat(number).st_mode)


class Timer:
    """An action repeated every ``seconds`` until it returns True."""

    def __init__(self, seconds: float, action: Callable[[], bool]) -> None:
        self._seconds = seconds
        self._action = action
        self._due = time.monotonic() + seconds

    def left_ms(self) -> float:
        """Milliseconds until the action is due."""
        return max(0.0, self._due - time.monotonic()) * 1000

    def is_done(self) -> bool:
        """Run the action if it is due; whether it has returned True."""
        if time.monotonic() < self._due:
            return False
        self._due = time.monotonic() + self._seconds
        return self._action()

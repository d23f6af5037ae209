"""A pod that is run attached: the output of its containers, until all have ended.

A thread for each stream: most are asleep, and the daemon ends each stream. Ctrl-C stops the pod.
"""

from __future__ import annotations

import select
import signal
import socket
import threading
from contextlib import suppress

from hyper.cli.context import say
from hyper.cli.labelled import Labelled
from hyper.cli.pods import find_pod, pod_path
from hyper.cli.signals import Signals
from hyper.client.engine import container_path, messages
from hyper.client.errors import ApiError, ConnectionLost
from hyper.errors import HyperError
from hyper.proto.docker_stream import STDERR, DockerStreamDecoder
from hyper.types.pod import CONTAINER_LABEL, POD_LABEL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

    from hyper.cli.context import Context
    from hyper.client.http import Response

_READ_SIZE = 64 * 1024
_NANO = 1_000_000_000
#: How long news of a restart may take after the end of all.
_LAST_NEWS_S = 2.0
#: The user insists: the second signal kills the pod, the third ends us.
_KILL, _LEAVE = 2, 3


class PodSession:
    """A session with the pod ``name``, created and not yet started. ``ttys``: container, whether it has a terminal."""

    def __init__(self, context: Context, name: str, ttys: Mapping[str, bool]) -> None:
        self._context = context
        self._name = name
        self._ttys = dict(ttys)
        self._output = Labelled(list(ttys))
        self._wires: dict[str, socket.socket] = {}
        self._threads: list[threading.Thread] = []
        #: Those that a thread reads from, and closes in the end.
        self._connections: list[socket.socket] = []
        self._status = 0
        self._failure: HyperError | None = None
        self._signals_seen = 0
        self._reader_gone = False
        #: How many later runs of each container are known.
        self._runs: dict[str, int] = {}
        self._news = threading.Condition()
        #: A byte in ``_done`` ends the waiting.
        self._done, self._tell_done = socket.socketpair()

    def run(self) -> int:
        """Start the pod; returns the highest exit code of its containers once all have ended and all is written.

        Raises:
            HyperError: the pod did not start, or the daemon was lost.
            BrokenPipeError: the reader of the output has gone; the pod goes on.
        """
        interrupts = Signals((signal.SIGINT, signal.SIGTERM))
        with self._done, self._tell_done, interrupts as signals:
            try:
                for box in self._ttys:
                    self._attach(box)
                self._watch_restarts()
                self._spawn(self._live, keep=False)
                self._wait(signals)
                if self._reader_gone:
                    raise BrokenPipeError
                self._drain()
            finally:
                for connection in self._connections:
                    _hang_up(connection)
        if self._failure is not None:
            raise self._failure
        return self._status

    def _spawn(self, action: Any, *arguments: object, keep: bool = True) -> None:
        # Daemons: nothing that has nothing to say may keep us.
        thread = threading.Thread(target=action, args=arguments, daemon=True)
        if keep:
            self._threads.append(thread)
        thread.start()

    # The pod's life

    def _live(self) -> None:
        engine = self._context.engine
        try:
            self._start()
            answer = engine.get(pod_path(self._name, "/wait"), condition="exited")
            self._status = int(answer["StatusCode"])
        except HyperError as error:
            self._failure = error
        except (KeyError, TypeError, ValueError):
            self._failure = ConnectionLost("the daemon ended while the pod ran")
        self._wake()

    def _start(self) -> None:
        try:
            self._context.engine.post(pod_path(self._name, "/start"))
        except ApiError as error:
            # Whoever stops a pod that is still starting wants that start to fail.
            if error.status != 409 or not self._signals_seen:
                raise

    def _wake(self) -> None:
        with suppress(OSError):  # it waits no more
            self._tell_done.send(b"x")

    def _wait(self, signals: Signals) -> None:
        poller = select.poll()
        poller.register(self._done.fileno(), select.POLLIN)
        poller.register(signals.fileno(), select.POLLIN)
        while True:
            ready = [descriptor for descriptor, _ in poller.poll()]
            if self._done.fileno() in ready:
                return
            for number in signals.take():
                self._on_signal(number)

    def _on_signal(self, number: int) -> None:
        self._signals_seen += 1
        if self._signals_seen >= _LEAVE:
            say("hyper: leaving after three signals; the pod may still run")
            raise SystemExit(128 + number)
        if self._signals_seen == 1:
            say(f"hyper: stopping pod {self._name}; once more kills it")
        self._spawn(self._stop, 0 if self._signals_seen >= _KILL else None, keep=False)

    def _stop(self, seconds: int | None) -> None:
        try:
            self._context.engine.post(pod_path(self._name, "/stop"), t=seconds)
        except HyperError as error:
            say(f"hyper: {error}")

    # What it writes

    def _attach(self, box: str) -> None:
        wire, early = self._context.engine.hijack(
            container_path(f"{self._name}-{box}", "/attach"), stream=True, stdout=True, stderr=True
        )
        self._wires[box] = wire
        self._connections.append(wire)
        self._spawn(self._carry, box, _received(wire, early))

    def _carry(self, box: str, pieces: Iterable[bytes]) -> None:
        decoder = None if self._ttys[box] else DockerStreamDecoder()
        try:
            for data in pieces:
                if decoder is None:
                    self._output.write(box, 1, data)
                    continue
                for stream, piece in decoder.feed(data):
                    self._output.write(box, 2 if stream == STDERR else 1, piece)
            self._output.end(box)
        except HyperError as error:
            say(f"hyper: {box}: {error}")
        except BrokenPipeError:
            self._reader_gone = True
            self._wake()

    def _watch_restarts(self) -> None:
        filters = {
            "type": ["container"],
            "event": ["start", "die"],
            "label": [f"{POD_LABEL}={self._name}"],
        }
        connection = self._context.engine.send("GET", "/events", {"filters": filters})
        response = self._context.engine.receive(connection)
        self._connections.append(connection)
        self._spawn(self._follow_restarts, response, keep=False)

    def _follow_restarts(self, response: Response) -> None:
        """Restarts of containers are followed: an attachment ends with its run, later runs are read from the log."""
        ended_ns: dict[str, int] = {}
        with suppress(HyperError, OSError, ValueError):  # closed at our end, or the daemon's
            for event in messages(response):
                box = event["Actor"]["Attributes"].get(CONTAINER_LABEL, "")
                if event["Action"] == "die":
                    ended_ns[box] = event["timeNano"]
                elif box in ended_ns and box in self._ttys:
                    with self._news:
                        self._spawn(self._read_log, box, ended_ns[box])
                        self._runs[box] = self._runs.get(box, 0) + 1
                        self._news.notify()

    def _read_log(self, box: str, since_ns: int) -> None:
        query = {
            "stdout": True,
            "stderr": True,
            "follow": True,
            "since": f"{since_ns // _NANO}.{since_ns % _NANO:09d}",
        }
        path = container_path(f"{self._name}-{box}", "/logs")
        try:
            response = self._context.engine.open("GET", path, query)
        except ApiError as error:
            if error.status != 501:  # its log driver keeps nothing
                say(f"hyper: {box}: {error}")
            return
        with response:
            self._carry(box, response.pieces())

    def _drain(self) -> None:
        """All output is shown. Connections of containers that never ran are shut down: such a stream would not end."""
        if self._failure is not None and not isinstance(self._failure, ApiError):
            return
        pod = find_pod(self._context, self._name)
        for box in pod["Containers"]:
            wire = self._wires.get(box["Name"])
            if wire is not None and box["Status"] in ("created", "running"):
                _hang_up(wire)
        restarts = {box["Name"]: box["Restarts"] for box in pod["Containers"]}
        with self._news:
            self._news.wait_for(
                lambda: all(self._runs.get(box, 0) >= count for box, count in restarts.items()),
                _LAST_NEWS_S,
            )
        for thread in list(self._threads):
            thread.join()


def _hang_up(connection: socket.socket) -> None:
    """The ``connection`` is shut down: a thread that reads from it finds its end."""
    with suppress(OSError):  # it has ended already
        connection.shutdown(socket.SHUT_RDWR)


def _received(wire: socket.socket, early: bytes) -> Iterator[bytes]:
    with wire:
        if early:
            yield early
        while True:
            try:
                data = wire.recv(_READ_SIZE)
            except OSError:
                return
            if not data:
                return
            yield data

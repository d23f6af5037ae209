"""``hyper stats``: a table that is painted again and again, or once."""

from __future__ import annotations

import io
import sys
import threading
from contextlib import redirect_stdout

from hyper.cli import figures
from hyper.cli.context import say
from hyper.cli.flags import Command, Flag
from hyper.cli.listing import FORMAT, NO_TRUNC, show
from hyper.cli.safe import paint, shown
from hyper.client.engine import container_path, messages
from hyper.errors import HyperError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hyper.cli.context import Context
    from hyper.cli.flags import Arguments

_HEADINGS = {
    "ID": "CONTAINER ID",
    "Name": "NAME",
    "CPUPerc": "CPU %",
    "MemUsage": "MEM USAGE / LIMIT",
    "MemPerc": "MEM %",
    "NetIO": "NET I/O",
    "BlockIO": "BLOCK I/O",
    "PIDs": "PIDS",
}
_REPAINT_S = 0.5
_HOME, _REST_OF_LINE, _REST_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"
_CLEAR = "\x1b[2J" + _HOME


class Watch:
    """The newest figures of each container, gathered by one thread a container, until its stream ends."""

    def __init__(self, context: Context, *, stream: bool, whole: bool) -> None:
        self._context = context
        self._stream = stream
        self._whole = whole
        self._lock = threading.Lock()
        self._rows: dict[str, dict[str, Any]] = {}
        self._threads: dict[str, threading.Thread] = {}
        self.failed: list[HyperError] = []

    def add(self, name: str) -> None:
        """Gather figures of ``name`` from now on."""
        with self._lock:
            if name in self._rows:
                return
            self._rows[name] = figures.unknown(name)
            # Daemons: Ctrl-C must not wait for a stream that has nothing to say.
            thread = threading.Thread(target=self._follow, args=(name,), daemon=True)
            self._threads[name] = thread
        thread.start()

    def remove(self, name: str) -> None:
        """The container ``name`` is no longer shown."""
        with self._lock:
            self._rows.pop(name, None)

    def rows(self) -> list[dict[str, Any]]:
        """The containers' rows as known now, in the order in which they were added."""
        with self._lock:
            return list(self._rows.values())

    def join(self) -> None:
        """Wait until every stream has ended."""
        for thread in list(self._threads.values()):
            thread.join()

    def _follow(self, name: str) -> None:
        query = {"stream": 1 if self._stream else 0}
        try:
            response = self._context.engine.open("GET", container_path(name, "/stats"), query)
            for stats in messages(response):
                made = figures.row(name, stats, whole=self._whole)
                with self._lock:
                    if name not in self._rows:
                        response.close()
                        return
                    self._rows[name] = made
        except HyperError as error:
            self.failed.append(error)
        if self._stream:
            self.remove(name)


def _run(context: Context, arguments: Arguments) -> int:
    watch = Watch(context, stream=not arguments.on("--no-stream"), whole=arguments.on("--no-trunc"))
    every = arguments.on("--all")
    names = arguments.words or [
        found["Id"][:12] for found in context.engine.get("/containers/json", all=every)
    ]
    if arguments.words:
        # A name that is wrong must not show as a row that never fills.
        for name in names:
            context.engine.get(container_path(name, "/json"))
    for name in names:
        watch.add(name)
    text = arguments.text("--format")
    if arguments.on("--no-stream"):
        watch.join()
        show(watch.rows(), _HEADINGS, text)
        return _complain(watch)
    if not arguments.words:
        threading.Thread(target=_follow_events, args=(context, watch, every), daemon=True).start()
    return _paint(watch, text, ends=bool(arguments.words))


def _complain(watch: Watch) -> int:
    for error in watch.failed:
        say(f"hyper: {error}")
    return 1 if watch.failed else 0


def _follow_events(context: Context, watch: Watch, every: bool) -> None:
    """Show containers that start, and forget those that end."""
    query = {"filters": {"type": ["container"]}}
    comes, goes = ("create", "destroy") if every else ("start", "die")
    try:
        for event in messages(context.engine.open("GET", "/events", query)):
            if event.get("Action") == comes:
                watch.add(event["Actor"]["ID"][:12])
            elif event.get("Action") == goes:
                watch.remove(event["Actor"]["ID"][:12])
    except HyperError as error:
        watch.failed.append(error)


def _paint(watch: Watch, text: str | None, *, ends: bool) -> int:
    """Paint until Ctrl-C, until the daemon is lost, or, with ``ends``, until no container is left."""
    is_terminal = sys.stdout.isatty()
    pause = threading.Event()
    if is_terminal:
        paint(sys.stdout, _CLEAR)
    while not watch.failed:
        rows = watch.rows()
        if ends and not rows:
            break
        made = io.StringIO()
        with redirect_stdout(made):
            show(rows, _HEADINGS, text)
        table = shown(made.getvalue()) if is_terminal else made.getvalue()
        if is_terminal:
            table = _HOME + table.replace("\n", _REST_OF_LINE + "\n") + _REST_OF_SCREEN
        paint(sys.stdout, table)
        sys.stdout.flush()
        pause.wait(_REPAINT_S)
    return _complain(watch)


STATS = Command(
    _run,
    words="[CONTAINER...]",
    flags=(
        Flag("-a", "--all", help="Those that do not run, too"),
        FORMAT,
        Flag("--no-stream", help="Once, and end"),
        NO_TRUNC,
    ),
    examples=(
        "hyper stats",
        "hyper stats --no-stream --format '{{.Name}} {{.CPUPerc}} {{.MemUsage}}'",
    ),
)

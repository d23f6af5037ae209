"""Changes that the host makes in bind mounts, told to running machines, so that inotify works in them.

A development server in a container sees an editor's changes. Each running machine's bind mounts are watched, up to a
number of directories; events are gathered for a moment and told to the agent, which causes the same events in its
kernel. None are told while no program in the machine watches. The container's own changes come back to it as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import stat
import time
from pathlib import Path
from typing import Final

from hyper.engine.events import EngineEvent
from hyper.engine.lifecycle.agent_commands import START_TIMEOUT_S, AgentCommand, Builtin
from hyper.engine.lifecycle.host import Host
from hyper.engine.lifecycle.sandboxes import KeptSandbox
from hyper.engine.record.mount import BIND
from hyper.engine.record.sandbox import Kind, Placement
from hyper.errors import HyperError
from hyper.machine.spec import SHARE_TAG
from hyper.proto.record import Failure
from hyper.sandbox.sandbox import Sandbox
from hyper.system import inotify
from hyper.system.inotify import Change, Inotify

logger = logging.getLogger(__name__)

#: Directories that are watched for one machine, and how deep: what lies beyond is not told of.
MAX_WATCHES: Final = 8192
MAX_DEPTH: Final = 64
#: Events told at once. More that come in the same moment are not told.
MAX_EVENTS: Final = 256
#: How long events are gathered, and for how long none are told after nobody watched.
_GATHER_S: Final = 0.05
_QUIET_S: Final = 1.0
_MASK: Final = (
    inotify.CLOSE_WRITE | inotify.MOVED_FROM | inotify.MOVED_TO | inotify.CREATE | inotify.DELETE
)
#: Read only, and no FIFO or link that somebody has put there.
_OPEN: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class HostEvents:
    """Watches over the bind mounts of all machines, begun and ended with each container's run."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._running: dict[str, asyncio.Task[None]] = {}

    def open(self) -> None:
        """The bind mounts of running machines are watched, and from now on of all that will run."""
        for kept in self._host.sandboxes:
            self._begin(kept)
        self._host.events.listen(self._on_event)

    def _on_event(self, event: EngineEvent) -> None:
        if event.type not in ("container", "pod") or event.action not in ("start", "die"):
            return
        task = self._running.pop(event.actor, None)
        if task is not None:
            task.cancel()
        kept = self._host.sandboxes.of_id(
            event.actor
        )  # none of a container's that has joined another's
        if event.action == "start" and kept is not None:
            self._begin(kept)

    def _begin(self, kept: KeptSandbox) -> None:
        if kept.sandbox is None or kept.lead is None or kept.record.kind is Kind.HELPER:
            return
        paths = self._host.attachments.shared_paths(kept.lead)
        bound = {point.source for point in kept.lead.mounts if point.kind == BIND}
        roots = {number: path.host for number, path in enumerate(paths) if str(path.host) in bound}
        if roots:
            name = f"events of the host for {kept.record.id[:12]}"
            self._running[kept.record.id] = self._host.tasks.spawn(
                _Watch(kept, kept.sandbox, roots).run(), name=name
            )


class _Watch:
    """A watch over one machine's bind mounts ``roots`` (host paths by their places in the share)."""

    def __init__(self, kept: KeptSandbox, sandbox: Sandbox, roots: dict[int, Path]) -> None:
        self._name = kept.record.id[:12]
        self._sandbox = sandbox
        self._roots = roots
        #: {watch: the place in the share, "/0/src"}
        self._places: dict[int, str] = {}
        #: Events that wait, in their order.
        self._waiting: dict[str, None] = {}
        self._some = asyncio.Event()
        self._quiet_until = 0.0
        self._full = False

    async def run(self) -> None:
        """The changes are told to the agent until this is cancelled."""
        try:
            source = Inotify()
        except OSError as error:
            logger.warning("changes of the host are not told to machines: %s", error)
            return
        loop = asyncio.get_running_loop()
        try:
            for number, root in self._roots.items():
                await asyncio.to_thread(self._watch_root, source, number, root)
            while True:
                # Not while events are gathered: it would be called all the time.
                loop.add_reader(source.fileno(), self._some.set)
                await self._some.wait()
                loop.remove_reader(source.fileno())
                self._some.clear()
                await asyncio.sleep(_GATHER_S)
                await self._gather(source)
                await self._tell()
        finally:
            loop.remove_reader(source.fileno())
            source.close()

    # What is watched. In threads: trees are large, and disks slow.

    def _watch_root(self, source: Inotify, number: int, root: Path) -> None:
        with contextlib.suppress(OSError):  # it is not there any more
            fd = os.open(root, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                self._watch_all(source, fd, f"/{number}", 0)
            finally:
                os.close(fd)

    def _watch_all(self, source: Inotify, fd: int, place: str, depth: int) -> list[str]:
        """The directory ``fd`` and all below are watched. Returns events for the files that are in them."""
        if len(self._places) >= MAX_WATCHES or depth > MAX_DEPTH:
            self._too_many()
            return []
        self._places[source.add(fd, _MASK)] = place
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            return []
        found = []
        with os.scandir(fd) as entries:
            names = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
        for name, is_directory in names:
            found.append(f"{'C' if is_directory else 'c'}{place}/{name}")
            if is_directory:
                with contextlib.suppress(OSError):  # gone, or another one since
                    inner = os.open(name, _OPEN | os.O_DIRECTORY, dir_fd=fd)
                    try:
                        found += self._watch_all(source, inner, f"{place}/{name}", depth + 1)
                    finally:
                        os.close(inner)
        return found

    def _too_many(self) -> None:
        if not self._full:
            self._full = True
            logger.warning(
                "container %s: of more than %d directories in its bind mounts not all changes of the host are told",
                self._name,
                MAX_WATCHES,
            )

    def _watch_new(self, source: Inotify, place: str) -> list[str]:
        """A directory that came is watched; on the way to it no link is followed."""
        number, *parts = place.removeprefix("/").split("/")
        try:
            fd = os.open(self._roots[int(number)], _OPEN & ~os.O_NOFOLLOW | os.O_DIRECTORY)
            try:
                for part in parts:
                    inner = os.open(part, _OPEN | os.O_DIRECTORY, dir_fd=fd)
                    os.close(fd)
                    fd = inner
                return self._watch_all(source, fd, place, len(parts))
            finally:
                os.close(fd)
        except OSError:  # gone already, or no more watches
            return []

    def _forget_below(self, source: Inotify, place: str) -> None:
        for watch, known in list(self._places.items()):
            if known == place or known.startswith(f"{place}/"):
                del self._places[watch]
                source.remove(watch)

    # What happened

    async def _gather(self, source: Inotify) -> None:
        for change in source.read():
            if change.mask & inotify.IGNORED:
                self._places.pop(change.watch, None)
            elif (place := self._places.get(change.watch)) is not None:
                await self._note(source, change, f"{place}/{change.name}" if change.name else place)

    async def _note(self, source: Inotify, change: Change, place: str) -> None:
        is_directory = bool(change.mask & inotify.IS_DIRECTORY)
        if change.mask & (inotify.DELETE | inotify.MOVED_FROM):
            self._add(f"{'D' if is_directory else 'd'}{place}")
            if is_directory:
                self._forget_below(source, place)
        elif change.mask & (inotify.CREATE | inotify.MOVED_TO):
            self._add(f"{'C' if is_directory else 'c'}{place}")
            if is_directory:
                for event in await asyncio.to_thread(self._watch_new, source, place):
                    self._add(event)
            elif change.mask & inotify.MOVED_TO:
                self._add(f"m{place}")
        elif change.mask & inotify.CLOSE_WRITE:
            self._add(f"m{place}")

    def _add(self, event: str) -> None:
        if len(self._waiting) < MAX_EVENTS and event.isprintable():
            self._waiting.setdefault(event)

    # Telling

    async def _tell(self) -> None:
        events, self._waiting = tuple(self._waiting), {}
        sandbox, now = self._sandbox, time.monotonic()
        if not events or now < self._quiet_until or sandbox.power.stopped:
            return
        builtin = Builtin(("events", SHARE_TAG, *events), outside=True)
        start = builtin.start(Placement(), sandbox.new_process(), running=True)
        process = sandbox.session.process(start.process, tty=False)
        try:
            await sandbox.session.call(start, timeout_s=START_TIMEOUT_S)
        except HyperError as error:
            sandbox.session.drop(start.process)
            logger.debug("container %s: %s", self._name, error)
            return
        command = AgentCommand(process)
        with contextlib.suppress(HyperError):  # it ends
            async for record in command.records():
                if isinstance(record, Failure):
                    self._quiet_until = now + _QUIET_S
        with contextlib.suppress(HyperError):
            await command.end(sandbox)

"""``hyper run --timing``: where the time of one start went, here and in the daemon, as one table on standard error."""

from __future__ import annotations

import os
import time

from hyper.cli.context import say
from hyper.client.engine import image_path
from hyper.client.errors import ApiError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hyper.client.engine import Engine

_WAYS = {
    "pool": "in a machine that was waiting",
    "template": "in a copy of a machine that had booted",
    "boot": "in a machine that booted",
}

#: `From` of an image's origin -> what happened.
_ORIGINS = {
    "registry": "pulled as {Place}",
    "docker": "taken from Docker at {Place}",
    "podman": "taken from podman at {Place}",
    "archive": "loaded from an archive",
    "made": "made here",
}


class Timing:
    """The command's marks of a start and their times, CLOCK_MONOTONIC; the daemon's marks come on top at the end."""

    def __init__(self) -> None:
        #: What the container was made of, once that is known.
        self.image = ""
        self._marks: list[tuple[int, str]] = []
        began = _started_ns()
        if began is not None:
            self._marks.append((began, "hyper: started (to 10 ms)"))
        self.mark("command understood")

    def mark(self, what: str, at_ns: int | None = None) -> None:
        """The step ``what`` is done, at ``at_ns`` (None: now)."""
        at = time.monotonic_ns() if at_ns is None else at_ns
        self._marks.append((at, f"hyper: {what}"))

    def show(self, engine: Engine, identifier: str) -> None:
        """The table is written, with the daemon's marks of this start."""
        marks, notes, way = self._marks, [], "?"
        try:
            start = engine.get(f"/hyper/v1/containers/{identifier}/start")
        except ApiError as error:
            notes.append(f"the daemon knows nothing of it: {error}")
        else:
            way = start["Way"]
            notes += [f"not faster, because: {note}" for note in start["Notes"]]
            marks = [*marks, *((m["AtNs"], f"hyperd: {m['What']}") for m in start["Marks"])]
        notes += _origin(engine, self.image)
        say(f"\ntimes in ms, of a start {_WAYS.get(way, way)}")
        first = before = min(marks)[0]
        for at, what in sorted(marks):
            say(f"{(at - first) / 1e6:9.1f}  +{(at - before) / 1e6:<8.1f} {what}")
            before = at
        for note in notes:
            say(note)


def _origin(engine: Engine, image: str) -> list[str]:
    """The origin of the image in one line; none where the daemon does not say."""
    try:
        origin = engine.get(image_path(image, "/json"))["Hyper"]["Origin"]
    except (ApiError, KeyError):
        return []  # another daemon than ours, or the image has gone meanwhile
    if origin is None:
        return []
    how = _ORIGINS.get(origin["From"], "taken from {Place}").format(**origin)
    return [f"the image was {how} at {origin['At']}, which took {origin['TookMs']} ms"]


def _started_ns() -> int | None:
    """The process's start by CLOCK_MONOTONIC. Source: proc(5), field 22 of stat, in ticks of CLOCK_BOOTTIME."""
    try:
        with open("/proc/self/stat", encoding="utf-8", errors="replace") as file:  # noqa: PTH123 (pathlib costs 3 ms)
            ticks = int(file.read().rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None
    since_boot_ns = ticks * 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    asleep_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns()
    return since_boot_ns - asleep_ns

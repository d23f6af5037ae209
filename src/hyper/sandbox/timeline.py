"""The timeline of one start, when its steps were done: what `hyper run --timing` shows."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from enum import StrEnum

#: Marks that others look for.
SPAWNED, HELLO, TAKEN = "machine spawned", "agent's hello", "machine taken"


class Way(StrEnum):
    """The way of a start: where its machine came from, the fastest first."""

    POOL = "pool"
    TEMPLATE = "template"
    BOOT = "boot"


@dataclass(slots=True)
class Timeline:
    """A timeline. ``marks``: steps done and when, in CLOCK_MONOTONIC ns; ``notes``: why a faster way was not taken."""

    marks: list[tuple[str, int]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    way: Way | None = None

    def mark(self, what: str, at_ns: int | None = None) -> None:
        """The step ``what`` is done (now, unless ``at_ns`` says otherwise)."""
        self.marks.append((what, time.monotonic_ns() if at_ns is None else at_ns))

    @property
    def ready_ms(self) -> float | None:
        """The milliseconds from the machine's spawn, or from its taking, to its being there for a container."""
        at = dict(self.marks)
        began = at.get(SPAWNED, at.get("machine planned"))
        ready = at.get(HELLO, at.get(TAKEN))
        return None if began is None or ready is None else (ready - began) / 1e6

    def note(self, text: str) -> None:
        """The reason why a faster way was not taken is noted."""
        self.notes.append(text)

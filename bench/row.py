"""One line of the results: what was measured, what it should be, what came out. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

DOCKER = "docker"


@dataclass(frozen=True)
class Goal:
    """What a median, or with ``ratio`` its quotient by the peer's, may be at most; with ``least``: at least."""

    bound: float
    ratio: bool = False
    least: bool = False

    def met(self, value: float) -> bool:
        """Whether ``value`` is on the right side."""
        return value >= self.bound if self.least else value <= self.bound


@dataclass(frozen=True)
class Row:
    """One figure. ``values`` and ``peer`` in ``unit``, in the order measured; infinity is "never" (see the note).

    ``peer``: None where there is nothing to compare with, empty where the peer is missing on this machine.
    ``missing``: why there are no values. ``command``: what was run, of both. ``accelerator``: of the VM behind it,
    empty if there is none. ``part``: of the row above, and no figure of its own.
    """

    name: str
    unit: str
    values: Sequence[float]
    goal: Goal | None = None
    peer: Sequence[float] | None = None
    accelerator: str = ""
    note: str = ""
    part: bool = False
    peer_name: str = DOCKER
    command: str = ""
    missing: str = ""
    #: What was asked for to get it.
    theme: str = ""
    runs: int = 0

    @property
    def median(self) -> float | None:
        """The middle of the values."""
        return statistics.median(self.values) if self.values else None

    @property
    def p95(self) -> float | None:
        """The value that 95 % do not exceed (nearest rank)."""
        return _p95(self.values)

    @property
    def peer_median(self) -> float | None:
        """The middle of the peer's values."""
        return statistics.median(self.peer) if self.peer else None

    @property
    def peer_p95(self) -> float | None:
        """The same of the peer's."""
        return _p95(self.peer or ())

    @property
    def ratio(self) -> float | None:
        """Our median in the peer's."""
        if self.median is None or not self.peer_median:
            return None
        return self.median / self.peer_median

    @property
    def ratio_goal(self) -> float | None:
        """What the ratio may be for the goal to be met; None when that cannot be said."""
        if self.goal is None:
            return None
        if self.goal.ratio:
            return self.goal.bound
        return self.goal.bound / self.peer_median if self.peer_median else None

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None without one, or when that is not known."""
        value = self.ratio if self.goal and self.goal.ratio else self.median
        return None if self.goal is None or value is None else self.goal.met(value)


def _p95(values: Sequence[float]) -> float | None:
    ranked = sorted(values)
    return ranked[math.ceil(0.95 * len(ranked)) - 1] if ranked else None

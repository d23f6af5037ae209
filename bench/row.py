"""One line of the results: what was measured, what it should be, what came out. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Goal:
    """What a median, or with ``ratio`` its quotient by the peer's, may be at most."""

    at_most: float
    ratio: bool = False


@dataclass(frozen=True)
class Row:
    """One figure. ``values`` and ``peer`` in ``unit``, in the order measured.

    ``accelerator``: of the VM behind it, empty if there is none. ``part``: of the row above, and no figure of its own.
    """

    name: str
    unit: str
    values: Sequence[float]
    goal: Goal | None = None
    peer: Sequence[float] = ()
    accelerator: str = ""
    note: str = ""
    part: bool = False
    #: What was asked for to get it.
    theme: str = ""
    runs: int = 0

    @property
    def median(self) -> float:
        """The middle of the values."""
        return statistics.median(self.values)

    @property
    def p95(self) -> float:
        """The value that 95 % do not exceed (nearest rank)."""
        ranked = sorted(self.values)
        return ranked[math.ceil(0.95 * len(ranked)) - 1]

    @property
    def peer_median(self) -> float | None:
        """The middle of the peer's values."""
        return statistics.median(self.peer) if self.peer else None

    @property
    def ratio(self) -> float | None:
        """Our median in the peer's."""
        return self.median / self.peer_median if self.peer_median else None

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None without one."""
        if self.goal is None:
            return None
        value = self.ratio if self.goal.ratio else self.median
        return value is not None and value <= self.goal.at_most

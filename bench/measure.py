"""Clocks and turns: how a figure is taken."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence

TIMEOUT_S = 120.0


class Failed(Exception):
    """What was to be measured did not work; the text says what and why."""


def wall_ms(argv: Sequence[str], environ: Mapping[str, str]) -> float:
    """How long a whole process takes, from before its spawn to after its end.

    Raises:
        Failed: its status is not 0.
    """
    began = time.perf_counter_ns()
    done = subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environ,
        timeout=TIMEOUT_S,
    )
    ended = time.perf_counter_ns()
    if done.returncode != 0:
        raise Failed(f"{argv[0]} ended with {done.returncode}: {done.stderr.decode()[-500:]}")
    return (ended - began) / 1e6


def by_turns(runs: int, *sides: Callable[[], float]) -> list[list[float]]:
    """``runs`` values of each side, taken A B A B, after one of each that does not count."""
    for side in sides:
        side()
    values: list[list[float]] = [[] for _ in sides]
    for _ in range(runs):
        for side, taken in zip(sides, values, strict=True):
            taken.append(side())
    return values

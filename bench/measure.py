"""Clocks and turns: how a figure is taken."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence

TIMEOUT_S = 120.0
#: What a start leaves to be done (a machine to wait in place of the one used, say) is done by then.
REST_S = 0.5


class Failed(Exception):
    """What was to be measured did not work; the text says what and why."""


class Missing(Failed):
    """What was to be measured is not there: a peer on this machine, or an option of ours not built yet."""


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


def by_turns(
    runs: int, *sides: Callable[[], float], warm_up: bool = True, rest_s: float = 0
) -> list[list[float]]:
    """``runs`` values of each side, taken A B A B; with ``warm_up`` after one of each that does not count.

    A side but the first may be missing: it has no values. ``rest_s``: before each, so that what one side leaves to be
    done is not in the other's time.
    """
    values: list[list[float]] = [[] for _ in sides]
    present = dict(enumerate(sides))
    for number in range(-warm_up, runs):
        for index, side in list(present.items()):
            time.sleep(rest_s)
            try:
                value = side()
            except Missing as error:
                if index == 0:
                    raise
                print(f"bench: no peer: {error}", file=sys.stderr)
                del present[index]
                continue
            if number >= 0:
                values[index].append(value)
    return values

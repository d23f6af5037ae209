"""``hyper`` and ``docker`` as commands, to their end."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable

from tests.support.dockerd import Engine

HYPER = [sys.executable, "-m", "hyper.cli.main"]
DOCKER = ["docker"]
TIMEOUT_S = 60
#: As ``docker ps``, ``images`` and ``history`` tell the time since then.
AGE = re.compile(rb"(Less than a second|About an? \w+|\d+ (second|minute|hour)s?)( ago)?")

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]


def call(
    engine: Engine, program: list[str], *words: str, stdin: bytes = b"", **environ: str
) -> subprocess.CompletedProcess[bytes]:
    """One command, to its end."""
    return subprocess.run(
        [*program, *words],
        input=stdin,
        capture_output=True,
        timeout=TIMEOUT_S,
        env=engine.environ() | environ,
    )


def same(
    mine: subprocess.CompletedProcess[bytes], docker: subprocess.CompletedProcess[bytes]
) -> None:
    """Both printed the same on standard output, but for the time that passed between, and ended with the same code."""
    told = (mine.returncode, timeless(mine.stdout))
    assert told == (docker.returncode, timeless(docker.stdout)), mine.stderr


def timeless(output: bytes) -> bytes:
    """Without the ages in it, and without the columns' widths, which follow from them. Other output is not changed."""
    without, ages = AGE.subn(b"AGE", output)
    return re.sub(rb" +", b" ", without) if ages else output

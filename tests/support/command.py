"""``hyper`` and ``docker`` as commands, to their end."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

from tests.support.dockerd import Engine

HYPER = [sys.executable, "-m", "hyper.cli.main"]
DOCKER = ["docker"]
TIMEOUT_S = 60

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

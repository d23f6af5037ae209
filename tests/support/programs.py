"""Programs that `make setup` unpacks instead of installing them (registry, docker)."""

from __future__ import annotations

import os
from pathlib import Path

UNPACKED = Path(__file__).parents[2] / "build/debs/usr"


def add_unpacked_programs() -> None:
    """PATH has what is installed first, what was unpacked for the tests after it."""
    extra = [str(UNPACKED / "bin"), str(UNPACKED / "sbin")]
    os.environ["PATH"] = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin", *extra])

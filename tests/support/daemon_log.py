"""The daemon's log: what it holds against the daemon itself."""

from __future__ import annotations

import re

from tests.support.hyperd import Hyperd


def bugs(daemon: Hyperd) -> list[str]:
    """What the daemon logged as an error of its own, each with the lines after it."""
    return re.findall(r"ERROR +(?:hyper|asyncio)\S*: .*(?:\n(?!\d{4}-).*)*", daemon.log.read_text())

"""Logging set-up of the daemon: one line a record, the object it is about first."""

from __future__ import annotations

import logging
import sys

LEVELS = {"debug": 10, "info": 20, "warn": 30, "error": 40, "fatal": 50}


def set_up(level: str) -> None:
    """Send records of ``level`` (dockerd's words) and above to standard error.

    Raises:
        KeyError: unknown level.
    """
    logging.basicConfig(
        level=LEVELS[level],
        stream=sys.stderr,
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
    )
    logging.getLogger("asyncio").setLevel(max(LEVELS[level], logging.INFO))
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    logging.getLogger("qemu.qmp").setLevel(logging.ERROR)

"""The logging of the daemon: one line a record, the object it is about first."""

from __future__ import annotations

import logging
import sys

LEVELS = {"debug": 10, "info": 20, "warn": 30, "error": 40, "fatal": 50}


#: What strangers wrote is in records, too: no orders for the terminal that shows the log, and no lines of their own.
_SHOWN = {code: f"\\x{code:02x}" for code in (*range(9), *range(11, 32), *range(127, 160))}
_SHOWN |= {10: "\n  "}


class OneRecord(logging.Formatter):
    """A formatter of records: control characters are written out; further lines of a message are indented."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return super().formatMessage(record).translate(_SHOWN)


def set_up(level: str) -> None:
    """Send records of ``level`` (dockerd's words) and above to standard error.

    Raises:
        KeyError: unknown level.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneRecord("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    logging.basicConfig(level=LEVELS[level], handlers=[handler])
    logging.getLogger("asyncio").setLevel(max(LEVELS[level], logging.INFO))
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)

"""Values that no client should send."""

from __future__ import annotations

#: A number that is longer than Python parses.
HUGE = "9" * 5000

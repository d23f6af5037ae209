"""Failures between a client and its daemon."""

from __future__ import annotations

from hyper.errors import HyperError, Unavailable


class ApiError(HyperError):
    """The daemon answered with an error: ``status`` is HTTP's, ``message`` the daemon's own words.

    ``kind``: what failed, for programs: see HyperError; "" where the daemon does not say.
    """

    exit_code = 1

    def __init__(self, message: str, *, status: int, kind: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind


class DaemonUnreachable(Unavailable):
    """No daemon answers at the address. ``refused``: none listens there (a start may help)."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None, refused: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.refused = refused


class ConnectionLost(Unavailable):
    """The daemon closed the connection in mid-answer."""

    exit_code = 1

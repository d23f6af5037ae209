"""Errors of programs that could not be started, in Docker's words: its clients derive the exit code from them."""

from __future__ import annotations

import errno
import os
from typing import Final

from hyper.errors import Conflict, GuestError, HyperError, InvalidRequest
from hyper.proto.message import ReplyCode

#: A mount failed since what is mounted, or on what, is missing or of another kind.
_WRONG_KIND: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP})
_WRONG_KIND_HINT: Final = (
    "Are you trying to mount a directory onto a file (or vice-versa)? "
    "Check if the specified host path exists and is the expected type"
)


class ProgramNotFound(InvalidRequest):
    """The program is not among the container's files; 127, as a shell says it."""

    kind = "program-not-found"
    exit_code = 127


class ProgramNotExecutable(InvalidRequest):
    """The program is there and may not, or cannot, be run; 126, as a shell says it."""

    kind = "program-not-executable"
    exit_code = 126


def program_error(error: GuestError, program: str, *, what: str = "container") -> HyperError:
    """The error that the client gets for the agent's ``error``; ``what``: container or exec."""
    lead = f"unable to start {what} process"
    if error.code == ReplyCode.NOT_FOUND:
        text = f"{lead}: exec: {_quoted(program)}: executable file not found in $PATH"
        if "/" in program:
            text = f"{lead}: exec: {_quoted(program)}: stat {program}: no such file or directory"
        return ProgramNotFound(text)
    if error.code == ReplyCode.NOT_EXECUTABLE:
        denied = error.errno in (0, errno.EACCES)
        reason = "permission denied" if denied else f"{os.strerror(error.errno).lower()}"
        text = f"{lead}: exec: {_quoted(program)}: {reason}"
        return ProgramNotExecutable(text)
    if error.code in (ReplyCode.NO_SUCH, ReplyCode.STATE):
        return Conflict(f"{lead}: {error.message}")
    if error.code == ReplyCode.MOUNT and error.errno in _WRONG_KIND:
        return InvalidRequest(f"{lead}: error mounting: {error.message}: {_WRONG_KIND_HINT}")
    if error.code in (ReplyCode.USER, ReplyCode.CWD, ReplyCode.MALFORMED):
        return InvalidRequest(f"{lead}: {error.message}")
    return HyperError(f"{lead}: {error.message}")


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '\\"') + '"'

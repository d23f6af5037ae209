"""The process in which libseccomp compiles filters of clients: no privileges, little time, one answer.

A Filter comes on standard input, an Outcome goes to standard output, both JSON.
"""

from __future__ import annotations

import os
import resource
import sys

import msgspec

from hyper.errors import HyperError, InvalidRequest
from hyper.system import privileges
from hyper.system.libseccomp import (
    MAX_COMPILE_BYTES,
    MAX_COMPILE_S,
    Filter,
    Outcome,
    compile_filter,
)

#: Behind everybody who waits for a container.
_NICENESS = 10


def main() -> None:
    """Answer one filter."""
    filter_ = msgspec.json.decode(sys.stdin.buffer.read(), type=Filter)
    _restrict()
    sys.stdout.buffer.write(msgspec.json.encode(_outcome(filter_)))


def _outcome(filter_: Filter) -> Outcome:
    try:
        return Outcome(program=compile_filter(filter_))
    except InvalidRequest as error:
        return Outcome(refused=error.message)
    except HyperError as error:
        return Outcome(failed=error.message)


def _restrict() -> None:
    os.nice(_NICENESS)
    resource.setrlimit(resource.RLIMIT_CPU, (MAX_COMPILE_S,) * 2)
    privileges.drop(memory_bytes=MAX_COMPILE_BYTES)


if __name__ == "__main__":
    main()

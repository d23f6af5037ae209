"""The process in which libseccomp compiles what strangers wrote: no privileges, little time, one answer.

A Filter comes on standard input, an Outcome goes to standard output, both JSON.
"""

from __future__ import annotations

import os
import resource
import sys

import msgspec

from hyper.errors import HyperError, InvalidRequest
from hyper.system.libseccomp import (
    MAX_COMPILE_BYTES,
    MAX_COMPILE_S,
    Filter,
    Outcome,
    compile_filter,
)

#: "nobody": owns nothing.
_UNPRIVILEGED = 65534
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
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MAX_COMPILE_BYTES,) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (MAX_COMPILE_S,) * 2)
    if os.getuid() == 0:
        os.setgroups([])
        os.setresgid(_UNPRIVILEGED, _UNPRIVILEGED, _UNPRIVILEGED)
        os.setresuid(_UNPRIVILEGED, _UNPRIVILEGED, _UNPRIVILEGED)


if __name__ == "__main__":
    main()

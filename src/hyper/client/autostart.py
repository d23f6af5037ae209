"""Start of a daemon for the user when none runs at the default socket.

The one place of the client that spawns. Not ``hyper.system.process``: that one is asyncio's and owns its children,
while this child has to outlive the client.
"""

from __future__ import annotations

import os
import select
import shutil
import sys
import time
from pathlib import Path

from hyper.client.errors import DaemonUnreachable
from hyper.errors import reason
from hyper.system.files import make_private_dir
from hyper.system.lock import exclusively

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hyper.client.address import Address

DEADLINE_S = 30.0
#: The number the child knows its readiness pipe by.
_READY_FD = 3
_LOG_TAIL_BYTES = 2000


def start_daemon(address: Address) -> None:
    """A daemon serves ``address`` (the default one): started here, or by another client meanwhile.

    Raises:
        DaemonUnreachable: hyperd is not installed, ended, or did not serve within ``DEADLINE_S``.
        Forbidden: its folders belong to another user or are open to others.
    """
    from hyper.config import defaults

    config = defaults()
    try:
        # The daemon insists on private roots: we may be the one who makes them.
        make_private_dir(config.exec_root)
        # The others wait and find it running.
        with exclusively(config.exec_root / "start.lock"):
            if not _is_served(address):
                launch(find_hyperd(), (), config.data_root / "hyperd.log")
    except OSError as error:
        raise DaemonUnreachable(
            f"no daemon runs, and none could be started: {reason(error)}"
        ) from error


def launch(
    program: Path, arguments: tuple[str, ...], log: Path, *, deadline_s: float = DEADLINE_S
) -> None:
    """``program`` runs detached from the client, its output appended to ``log``, and has said that it serves.

    Raises:
        DaemonUnreachable: it ended first, or said nothing for ``deadline_s`` (it is killed then).
    """
    make_private_dir(log.parent)
    written_before = log.stat().st_size if log.exists() else 0
    ours, theirs = os.pipe()
    try:
        pid = _spawn(program, arguments, log, theirs)
        os.close(theirs)
        verdict = _await_ready(ours, deadline_s)
    finally:
        os.close(ours)
    if verdict == "ready":
        return
    if verdict == "silent":
        os.kill(pid, 9)
    os.waitpid(pid, 0)
    raise _failure(program, verdict, deadline_s, _tail(log, written_before), log)


def find_hyperd() -> Path:
    """The hyperd that belongs to this hyper.

    Raises:
        DaemonUnreachable: there is no hyperd.
    """
    for folder in (Path(sys.argv[0]).resolve().parent, Path(sys.executable).parent):
        if os.access(folder / "hyperd", os.X_OK):
            return folder / "hyperd"
    found = shutil.which("hyperd")
    if found is None:
        raise DaemonUnreachable(
            "no daemon runs, and hyperd was not found to start one",
            hint="start hyperd yourself, or say where it is with -H",
        )
    return Path(found)


def _spawn(program: Path, arguments: tuple[str, ...], log: Path, ready: int) -> int:
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        return os.posix_spawn(
            program,
            [str(program), "--ready-fd", str(_READY_FD), *arguments],
            os.environ,
            file_actions=[
                # The pipe first: its own number may be one of those opened below.
                (os.POSIX_SPAWN_DUP2, ready, _READY_FD),
                (os.POSIX_SPAWN_DUP2, output, 1),
                (os.POSIX_SPAWN_DUP2, output, 2),
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            ],
            # A session of its own: Ctrl-C in our terminal must not reach the daemon.
            setsid=True,
        )
    finally:
        os.close(output)


def _await_ready(pipe: int, deadline_s: float) -> str:
    """The state of a start: "ready", "ended" (the pipe closed without a word) or "silent"."""
    poller = select.poll()
    poller.register(pipe, select.POLLIN)
    until = time.monotonic() + deadline_s
    if not poller.poll(max(0.0, until - time.monotonic()) * 1000):
        return "silent"
    return "ready" if os.read(pipe, 1) else "ended"


def _is_served(address: Address) -> bool:
    try:
        address.connect().close()
    except DaemonUnreachable:
        return False
    return True


def _tail(log: Path, since: int) -> str:
    with log.open("rb") as file:
        file.seek(max(since, file.seek(0, os.SEEK_END) - _LOG_TAIL_BYTES))
        return file.read().decode(errors="replace").strip()


def _failure(
    program: Path, verdict: str, deadline_s: float, tail: str, log: Path
) -> DaemonUnreachable:
    what = "ended at once" if verdict == "ended" else f"did not serve within {deadline_s:g} s"
    text = f"\n--- end of {log} ---\n{tail}" if tail else ""
    return DaemonUnreachable(
        f"{program} was started because no daemon ran, and {what}{text}",
        hint=f"start it yourself to see more: {program} -l debug",
    )

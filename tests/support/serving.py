"""Services that say themselves when they serve, as systemd has it (``NOTIFY_SOCKET``)."""

from __future__ import annotations

import os
import select
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

START_TIMEOUT_S = 60


@contextmanager
def serving(folder: Path, argv: Sequence[str], environ: Mapping[str, str]) -> Iterator[None]:
    """``argv`` serves as long as the context lasts, and is ended by its process id. ``folder``: for its log.

    Raises:
        AssertionError: it ends or says nothing, with its log.
    """
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify,
        (folder / "log").open("wb") as log,
    ):
        notify.bind(f"{folder}/notify")
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**environ, "NOTIFY_SOCKET": f"{folder}/notify"},
        )
        try:
            if not _is_ready(notify, process.pid):
                text = (folder / "log").read_text()[-3000:]
                raise AssertionError(f"{argv[0]} does not serve:\n{text}")
            yield
        finally:
            process.terminate()
            process.wait(timeout=START_TIMEOUT_S)


def _is_ready(notify: socket.socket, pid: int) -> bool:
    ended = os.pidfd_open(pid)
    try:
        while notify in select.select([notify, ended], [], [], START_TIMEOUT_S)[0]:
            if b"READY=1" in notify.recv(4096):
                return True
        return False
    finally:
        os.close(ended)

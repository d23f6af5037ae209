"""Large amounts through every stream: whole, in order, and past the agent's port where they are in a rush."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

import pytest

from tests.support.hyperd import Hyperd

pytestmark = pytest.mark.vm

LINES = 300_000
PROGRAM = "until [ -e /go ]; do sleep 0.1; done; cat /big /big /big; exit 5"


def carriers(daemon: Hyperd, what: str) -> int:
    """How many lines of the daemon's log say ``what`` of a carrier."""
    return len(re.findall(f"machine .* has {what}", daemon.log.read_text()))


def test_a_flood_loses_nothing_on_any_way(own_daemon: Hyperd, busybox: str, tmp_path: Path) -> None:
    """cp, exec with input, export and logs give every byte, whatever ends the daemon in the middle of a flood.

    The carrier has come for it, goes when it is over, and one that a killed daemon has left is in nobody's way.
    """
    daemon = own_daemon
    numbers = (b"%08d " % n + hashlib.sha256(b"%d" % n).hexdigest().encode() for n in range(LINES))
    data = b"\n".join([*numbers, b""])
    big, back = tmp_path / "big", tmp_path / "back"
    big.write_bytes(data)
    daemon.run("run", "-d", "--name", "box", busybox, "sh", "-c", PROGRAM)
    daemon.run("cp", str(big), "box:/big")
    digest = hashlib.sha256(data).hexdigest().encode()
    told = daemon.run(
        "exec", "-i", "box", "sh", "-c", "tee /in | sha256sum; sha256sum </big", stdin=data
    )
    assert told.split() == [digest, b"-", digest, b"-"]
    daemon.run("cp", "box:/in", str(back))
    assert back.read_bytes() == data
    assert data in daemon.run("export", "box")
    assert carriers(daemon, "a carrier") >= 1
    for _ in daemon.lines("has given its carrier back"):
        if carriers(daemon, "given its carrier back") == carriers(daemon, "a carrier"):
            break
    assert daemon.run("exec", "box", "sh", "-c", "ls /sys/block | grep -c ^sd || :") == b"0\n"
    before = carriers(daemon, "a carrier")
    daemon.run("exec", "box", "touch", "/go")
    (log,) = daemon.data_root.glob("containers/*/log")
    for end in (daemon.kill, daemon.stop):
        wanted = log.stat().st_size + len(data) // 2
        while log.stat().st_size < wanted:
            os.sched_yield()
        end()
        daemon.start()
    assert daemon.api.post("/containers/box/wait")["StatusCode"] == 5
    assert daemon.run("logs", "box") == 3 * data
    assert carriers(daemon, "a carrier") > before

"""Log drivers with real machines: rotation over kill -9 of the daemon, and output that nobody keeps."""

from __future__ import annotations

import pytest

from tests.support.containers import follow
from tests.support.hyperd import Hyperd

pytestmark = pytest.mark.vm

COUNT = """
count() { while [ $i -lt $1 ]; do echo line $i; i=$((i+1)); done; }
i=0; count 2000; echo half
until [ -e /go ]; do sleep 0.1; done
count 4000; echo whole; exec sleep 3600
"""


def test_a_rotated_log_outlives_its_daemon(own_daemon: Hyperd, busybox: str) -> None:
    """The end of the output is there without a gap, bounded on disk; a new daemon goes on where the old one stood."""
    options = ("--log-opt", "max-size=20k", "--log-opt", "max-file=2")
    box = own_daemon.run("run", "-d", *options, busybox, "sh", "-c", COUNT).decode().strip()
    follow(own_daemon, box, "half")
    own_daemon.kill()
    own_daemon.start()
    own_daemon.run("exec", box, "touch", "/go")
    follow(own_daemon, box, "whole")
    kept = own_daemon.run("logs", box).decode().splitlines()
    assert kept[-1] == "whole"
    assert kept[-3:-1] == ["line 3998", "line 3999"]
    numbers = [int(line.removeprefix("line ")) for line in kept[:-1] if line.startswith("line ")]
    # Of two files one is full; how many lines that is, is for how many come together.
    assert 400 < len(numbers) < 4000
    assert numbers == list(range(4000 - len(numbers), 4000))
    assert own_daemon.run("logs", "--tail", "2", box) == b"line 3999\nwhole\n"
    files = list((own_daemon.data_root / "containers" / box).glob("log*"))
    assert len(files) == 2
    assert all(path.stat().st_size <= 20_000 for path in files)


def test_log_driver_none_keeps_no_output(daemon: Hyperd, busybox: str) -> None:
    """``--log-driver none``: who is attached has it, ``logs`` says that there are none, nothing stands on the disk."""
    words = ("--log-driver", "none", "--name", "box", busybox, "sh", "-c", "echo secret; exit 3")
    done = daemon.docker("run", *words)
    assert (done.returncode, done.stdout) == (3, b"secret\n")
    done = daemon.docker("logs", "box")
    assert done.returncode == 1
    assert b"configured logging driver does not support reading" in done.stderr
    box = daemon.api.get("/containers/box/json")
    assert box["HostConfig"]["LogConfig"] == {"Type": "none", "Config": {}}
    files = list((daemon.data_root / "containers" / box["Id"]).glob("log*"))
    assert b"secret" not in b"".join(path.read_bytes() for path in files)
    assert len(files) == 1

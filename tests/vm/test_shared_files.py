"""Files that several machines and the host have at once."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tools import imagebuilder
from tools.imagebuilder import directory, file, hardlink

from tests.support.hyperd import Hyperd
from tests.support.registry import RealRegistry
from tests.vm.test_binds import folder
from tests.vm.test_run import follow
from tests.vm.test_volumes import WAIT, sh

__all__ = ["folder"]

pytestmark = pytest.mark.vm


def test_a_running_containers_volumes_are_backed_up(
    daemon: Hyperd, busybox: str, folder: Path
) -> None:
    """Docker's own recipe: a nameless volume and a named one of a container that runs, into a tar on the host."""
    words = ("run", "-d", "--name", "db", "-v", "/data", "-v", "named:/more")
    daemon.run(*words, busybox, "sh", "-c", f"echo 1 > /data/f; echo 2 > /more/g; {WAIT}")
    follow(daemon, "db", "up")
    words = ("run", "--rm", "--volumes-from", "db", "-v", f"{folder}:/backup")
    daemon.run(*words, busybox, "tar", "cf", "/backup/b.tar", "/data", "/more")
    listed = subprocess.run(["tar", "tf", folder / "b.tar"], capture_output=True, check=True)
    assert listed.stdout.split() == [b"data/", b"data/f", b"more/", b"more/g"]
    # And what came later is put back where the other one runs.
    words = ("run", "--rm", "--volumes-from", "db", busybox, "sh", "-c", "echo 3 > /data/f")
    told = daemon.docker(*words)
    assert (told.returncode, b"also mounted by the running container db" in told.stderr) == (
        0,
        True,
    )
    assert daemon.run("exec", "db", "cat", "/data/f") == b"3\n"
    # In its machine all of it works, and nothing is to be warned about.
    script = "echo 4 > /data/f; cat /more/g"
    done = daemon.docker(
        *("run", "--rm", "--network", "container:db", "--volumes-from", "db", busybox),
        *("sh", "-c", script),
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"2\n", b"")
    assert daemon.run("exec", "db", "cat", "/data/f") == b"4\n"


def test_files_with_several_names_stay_one(daemon: Hyperd, real_registry: RealRegistry) -> None:
    """What an image has of them, in a volume that is filled from it: in either kind."""
    linked = [
        directory("data"),
        directory("data/deep"),
        file("data/deep/f", b"one"),
        hardlink("data/g", "data/deep/f"),
    ]
    made = imagebuilder.image([*imagebuilder.busybox().tars, linked])
    image = real_registry.push(made, "linked:1")
    daemon.run("pull", "-q", image)
    daemon.run("volume", "create", "-o", "type=image", "disk")
    for volume in ("dir", "disk"):
        out = sh(daemon, image, "stat -c '%h %i' /data/deep/f /data/g", "-v", f"{volume}:/data")
        one, two = out.splitlines()
        assert one == two
        assert one.startswith("2 ")

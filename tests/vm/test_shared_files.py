"""Files that several machines and the host have at once: backups, locks, servers that die, changes while they run."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tools import imagebuilder
from tools.imagebuilder import directory, file, hardlink

from tests.support.containers import WAIT, follow, run_shell, server_of
from tests.support.hyperd import Hyperd, hyperd
from tests.support.processes import end
from tests.support.registry import RealRegistry

pytestmark = pytest.mark.vm


@contextlib.contextmanager
def making_and_removing(path: Path) -> Iterator[None]:
    """The file comes and goes all the time meanwhile."""
    over = threading.Event()

    def race() -> None:
        while not over.is_set():
            path.touch()
            path.unlink(missing_ok=True)

    thread = threading.Thread(target=race)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.fixture(scope="module", params=["qemu", "rust"])
def served_daemon(request: pytest.FixtureRequest, busybox: str) -> Iterator[Hyperd]:
    """A daemon whose machines' files are served by either server."""
    with hyperd("--file-server", request.param, "--pool-memory", "0") as started:
        started.run("pull", "-q", busybox)
        yield started


def test_either_server_holds(served_daemon: Hyperd, busybox: str, folder: Path) -> None:
    """Whatever the host does to a file meanwhile; and one that is killed takes neither machine nor program along."""
    daemon = served_daemon
    script = "i=0; while [ $i -lt 1000 ]; do echo x >> /d/f; i=$((i+1)); done 2>/dev/null; echo up"
    looping = f"{script}; while cat /d/here >/dev/null 2>&1; do :; done; echo over; exec sleep 600"
    (folder / "here").write_text("here\n")
    words = ("run", "-d", "--name", "box", "-v", f"{folder}:/d")
    box = daemon.run(*words, busybox, "sh", "-c", looping).decode().strip()
    with making_and_removing(folder / "f"):
        follow(daemon, "box", "up")
    assert daemon.run("exec", "box", "cat", "/d/here") == b"here\n"
    end(server_of(daemon, box))
    follow(daemon, "box", "over")
    done = daemon.docker("exec", "box", "cat", "/d/here")
    assert b"Transport endpoint is not connected" in done.stderr
    assert daemon.run("exec", "box", "echo", "alive") == b"alive\n"
    assert json.loads(daemon.run("inspect", "box"))[0]["State"]["Running"]
    daemon.run("restart", "-t", "0", "box")
    assert daemon.run("exec", "box", "cat", "/d/here") == b"here\n"
    daemon.run("rm", "-f", "box")


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
        out = run_shell(
            daemon, image, "stat -c '%h %i' /data/deep/f /data/g", "-v", f"{volume}:/data"
        )
        one, two = out.splitlines()
        assert one == two
        assert one.startswith("2 ")


def test_locks_reach_across_machines(daemon: Hyperd, busybox: str, folder: Path) -> None:
    """flock, fcntl and open file descriptions': no count is lost, who holds one keeps others out, its death lets in."""
    source = Path(__file__).parents[1] / "support/lock.c"
    program = folder / "lock"
    subprocess.run(["musl-gcc", "-static", "-Os", "-o", program, source], check=True)
    for name in ("one", "two"):
        words = ("run", "-d", "--name", name, "-v", f"{folder}:/d")
        daemon.run(*words, busybox, "sleep", "6000")
    for kind in ("flock", "posix", "ofd"):
        counting = [
            subprocess.Popen(
                ["docker", "exec", name, "/d/lock", kind, f"/d/{kind}", "count", "40"],
                env=os.environ | {"DOCKER_HOST": daemon.host},
            )
            for name in ("one", "two")
        ]
        assert [process.wait(timeout=120) for process in counting] == [0, 0]
        assert (folder / kind).read_text() == "80\n"
        # Also of the host.
        assert subprocess.run([program, kind, folder / kind, "try"]).returncode == 0
        words = (
            "exec",
            "-d",
            "one",
            "sh",
            "-c",
            f"exec /d/lock {kind} /d/{kind} hold > /d/held-{kind}",
        )
        daemon.run(*words)
        while not (folder / f"held-{kind}").exists() or not (folder / f"held-{kind}").read_text():
            daemon.run("exec", "one", "true")
        words = ("exec", "two", "/d/lock", kind, f"/d/{kind}")
        assert daemon.docker(*words, "try").returncode == 1
        assert subprocess.run([program, kind, folder / kind, "try"]).returncode == 1
        daemon.run("exec", "one", "killall", "-9", "lock")
        assert daemon.docker(*words, "count", "1").returncode == 0
        assert (folder / kind).read_text() == "81\n"


def test_changes_of_the_host_are_told(daemon: Hyperd, busybox: str, folder: Path) -> None:
    """inotify in a container sees what the host makes, writes, replaces and removes; also read-only, in new folders."""
    source, other = Path(__file__).parents[1] / "support/watch.c", folder.parent / "other"
    other.mkdir()
    program = other / "watch"
    subprocess.run(["musl-gcc", "-static", "-Os", "-o", program, source], check=True)
    (folder / "app.js").write_text("1")
    words = ("run", "-d", "--name", "dev", "-v", f"{folder}:/d", "-v", f"{other}:/r:ro")
    daemon.run(*words, busybox, "/r/watch", "/d", "/r", "/d/app.js")
    follow(daemon, "dev", "watching")
    number = 0
    while b"created /d first" not in daemon.run("logs", "dev"):  # until hyperd watches, too
        (folder / f"first{(number := number + 1)}").touch()
    (folder / "app.js").write_text("2")
    follow(daemon, "dev", "written /d app.js\n")
    follow(daemon, "dev", "modified /d/app.js itself\n")
    (other / "page").write_text("x")
    follow(daemon, "dev", "created /r page\n")
    (other / "new").write_text("y")
    (other / "new").rename(other / "page")
    follow(daemon, "dev", "deleted /r new\n")
    (folder / "deep").mkdir()
    follow(daemon, "dev", "created /d deep\n")
    daemon.run("exec", "-d", "dev", "sh", "-c", "/r/watch /d/deep > /tmp/deep")
    while b"created" not in daemon.docker("exec", "dev", "cat", "/tmp/deep").stdout:
        (folder / "deep" / f"f{(number := number + 1)}").touch()
    (folder / "app.js").unlink()
    follow(daemon, "dev", "deleted /d app.js\n")


def test_changes_of_the_host_may_be_left_alone(daemon: Hyperd, busybox: str, folder: Path) -> None:
    """With --host-events=false hyperd watches nothing, and a container hears of its own changes alone; the default
    watches."""
    mount = ["-v", f"{folder}:/d"]
    daemon.run("run", "-d", "--name", "dev", *mount, busybox, "sleep", "1000")
    with hyperd("--host-events=false") as deaf:
        deaf.run("pull", "-q", busybox)
        program = folder / "watch"
        source = Path(__file__).parents[1] / "support/watch.c"
        subprocess.run(["musl-gcc", "-static", "-Os", "-o", program, source], check=True)
        deaf.run("run", "-d", "--name", "dev", *mount, busybox, "/d/watch", "/d")
        follow(deaf, "dev", "watching")
        (folder / "hosts").touch()
        deaf.run("exec", "dev", "touch", "/d/own")
        follow(deaf, "dev", "created /d own\n")
        assert not watches(deaf)
        assert b"hosts" not in deaf.run("logs", "dev")
    assert watches(daemon)


def watches(daemon: Hyperd) -> bool:
    """Whether the daemon itself looks for changes of files."""
    told = subprocess.run(["ls", "-l", f"/proc/{daemon.pid}/fd"], capture_output=True, check=False)
    return b"inotify" in told.stdout

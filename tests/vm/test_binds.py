"""Host directories and files in machines: both ways while they run, read-only by the host, and nothing else of it."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.api import ApiError
from tests.support.containers import (
    WAIT,
    cgroups,
    create,
    follow,
    pid_of,
    refused,
    run,
    run_shell,
    server_of,
)
from tests.support.hyperd import Hyperd, hyperd
from tests.support.processes import end, runs

pytestmark = pytest.mark.vm
#: Nobody on this machine.
USER = 54321


def test_bind_mount_while_running_shows_changes_both_ways(
    daemon: Hyperd, busybox: str, folder: Path
) -> None:
    """Directory and single file; owners of many kinds; mounts within mounts; -v makes what is missing."""
    for uid in (0, 1, 1000, 70000):
        (folder / f"u{uid}").write_text("x")
        os.chown(folder / f"u{uid}", uid, uid + 1)
    single, missing = folder.parent / "single", folder.parent / "missing/deep"
    single.write_text("one\n")
    hosts = folder.parent / "hosts"
    hosts.write_text("10.0.0.9 mine\n")
    binds = [
        f"{folder}:/d",
        f"{single}:/d/one",
        f"{folder}:/d/ro:ro",
        f"{missing}:/m",
        "vol:/d/vol",
    ]
    binds.append(f"{hosts}:/etc/hosts:ro")
    box = create(daemon, busybox, "sh", "-c", WAIT, HostConfig={"Binds": binds})
    daemon.api.post(f"/containers/{box}/start")

    def inside(script: str) -> str:
        return daemon.run("exec", box, "sh", "-c", script).decode()

    assert inside("cd /d; stat -c %n:%u:%g u*").split() == [
        f"u{uid}:{uid}:{uid + 1}" for uid in (0, 1, 1000, 70000)
    ]
    assert missing.is_dir()
    assert inside("cat /etc/hosts") == "10.0.0.9 mine\n"
    (folder / "later").write_text("1")
    assert inside("cat /d/later /d/ro/later /d/one") == "11one\n"
    (folder / "later").write_text("22")
    single.write_text("two\n")
    assert inside("cat /d/later /d/one") == "22two\n"
    inside("echo three > /d/one; echo new > /d/new; chown 7:8 /d/new; ln -s /etc/passwd /d/link")
    inside("echo v > /d/vol/v; rm /d/later; mkdir /m/x; chmod 4711 /m/x")
    assert single.read_text() == "three\n"
    assert ((folder / "new").stat().st_uid, (folder / "new").stat().st_gid) == (7, 8)
    assert not (folder / "later").exists()
    assert (missing / "x").stat().st_mode & 0o7777 == 0o4711
    assert not (folder / "vol/v").exists()
    assert daemon.docker("exec", box, "touch", "/d/ro/no").returncode == 1
    shown = daemon.api.get(f"/containers/{box}/json")["Mounts"]
    assert shown[2] == {
        "Type": "bind",
        "Source": str(folder),
        "Destination": "/d/ro",
        "Mode": "ro",
        "RW": False,
        "Propagation": "rprivate",
    }


def test_bind_of_a_host_socket_is_warned_about(daemon: Hyperd, busybox: str, folder: Path) -> None:
    """By either flag, for it cannot work: it is seen, and refuses from within a machine who is let in on the host."""
    place, knock = folder / "engine.sock", folder / "knock"
    source = Path(__file__).parents[1] / "support/knock.c"
    subprocess.run(["musl-gcc", "-static", "-Os", "-o", knock, source], check=True)
    shared = ("-v", f"{knock}:/knock")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(place))
        sock.listen()
        assert subprocess.run([knock, place]).returncode == 0
        for flags in (
            ("-v", f"{place}:/s"),
            ("--mount", f"type=bind,source={place},target=/s"),
        ):
            words = ("run", "--rm", *shared, *flags, busybox, "sh", "-c", "test -S /s && /knock /s")
            done = daemon.docker(*words)
            told = f"WARNING: Bind mount {place} is a unix socket of the host"
            assert told in done.stderr.decode()
            assert done.returncode == errno.ECONNREFUSED
    quiet = daemon.docker("create", *shared, "-v", f"{folder}:/d", busybox, "true")
    assert (quiet.returncode, quiet.stderr) == (0, b"")


def test_thirty_binds_take_one_device(daemon: Hyperd, busybox: str, folder: Path) -> None:
    """Whatever their number."""
    for number in range(30):
        (folder / str(number)).mkdir()
        (folder / str(number) / "f").write_text(f"{number}\n")
    options = [word for n in range(30) for word in ("-v", f"{folder}/{n}:/b/{n}")]
    out = run_shell(daemon, busybox, "cat /b/*/f | sort -n", *options)
    assert out == "".join(f"{number}\n" for number in range(30))


def test_bind_source_when_missing_or_of_the_wrong_kind_is_refused(
    daemon: Hyperd, busybox: str, folder: Path
) -> None:
    """Docker's words, and no container left half started."""
    mount = f"type=bind,src={folder}/no,dst=/x"
    assert f"bind source path does not exist: {folder}/no" in refused(
        daemon, "run", "--mount", mount, busybox
    )
    assert not (folder / "no").exists()
    said = refused(daemon, "run", "--rm", "-v", f"{folder}:/etc/passwd", busybox, "true")
    assert "Are you trying to mount a directory onto a file" in said
    (folder / "file").write_text("")
    said = refused(daemon, "run", "--rm", "-v", f"{folder}/file/x:/x", busybox, "true")
    assert "error while creating mount source path" in said
    assert daemon.api.get("/containers/json?all=1") == []


def test_bind_mount_of_a_hostile_guest_shows_only_what_is_shared(
    daemon: Hyperd, busybox: str, folder: Path
) -> None:
    """With every capability: no way up, through links or raw mounts of the share, and read-only stays read-only."""
    secret = folder.parent / "secret"
    secret.write_text("host's\n")
    ro = folder.parent / "ro"
    ro.mkdir()
    (ro / "f").write_text("kept")
    script = f"""
        ln -s {secret} /d/abs; ln -s ../../..{secret} /d/rel
        mkdir /raw; mount -t virtiofs hyper /raw; ls /raw
        cat /d/abs /d/rel /raw/0/rel /raw/../secret /raw{secret} /d/../secret {secret}
        ls -a /raw/0/.. /raw/..
        mount -o remount,rw /ro; mount -o remount,rw /raw
        echo bad > /ro/f; echo bad > /raw/1/f; echo bad > /raw/1/new; rm /ro/f /raw/1/f; chmod 777 /raw/1
        mknod /raw/1/dev b 1 1; mknod /raw/dev c 1 3; touch /raw/new; ls /raw/proc /raw/usr
        ln /raw/1/f /raw/0/hard; mv /raw/1/f /raw/0/moved
        exit 0"""
    host = {"Privileged": True, "Binds": [f"{folder}:/d", f"{ro}:/ro:ro"]}
    _, out = run(daemon, busybox, "sh", "-c", script, HostConfig=host)
    assert out.split()[:2] == ["0", "1"]
    assert "host's" not in out
    assert sorted(path.name for path in ro.iterdir()) == ["f"]
    assert (ro / "f").read_text() == "kept"
    # mv copies what it cannot rename.
    assert sorted(path.name for path in folder.iterdir()) == ["abs", "moved", "rel"]


def test_file_server_runs_behind_walls_of_its_own(
    daemon: Hyperd, busybox: str, folder: Path
) -> None:
    """A network namespace of its own, an empty root, a filter, and of root's powers those over files alone."""
    box = create(daemon, busybox, "sleep", "600", HostConfig={"Binds": [f"{folder}:/d"]})
    daemon.api.post(f"/containers/{box}/start")
    pid = server_of(daemon, box)
    proc = Path(f"/proc/{pid}")
    for name in ("net", "mnt", "pid", "ipc"):
        assert (proc / "ns" / name).readlink() != Path(f"/proc/self/ns/{name}").readlink()
    status = dict(
        line.split(":\t", 1) for line in (proc / "status").read_text().splitlines() if ":\t" in line
    )
    assert (status["Seccomp"], status["NoNewPrivs"]) == ("2", "1")
    # chown, dac_override, fowner, fsetid, setgid, setuid, mknod, setfcap (and dac_read_search)
    allowed = sum(1 << bit for bit in (0, 1, 2, 3, 4, 6, 7, 27, 31))
    assert int(status["CapEff"], 16) & ~allowed == 0
    assert int(status["CapBnd"], 16) & ~allowed == 0
    assert os.listdir(proc / "root") == ["0"]  # noqa: PTH208 (its own view)


def fails(daemon: Hyperd, container: str) -> None:
    """Return once what it has of the host answers with errors; its program runs."""
    listing = ("exec", container, "ls", "/d")
    while (done := daemon.docker(*listing)).returncode == 0:
        pass
    if b"Software caused connection abort" in done.stderr:  # it waited for the server that died
        done = daemon.docker(*listing)
    assert b"Transport endpoint is not connected" in done.stderr
    assert daemon.api.get(f"/containers/{container}/json")["State"]["Running"]


def test_file_server_when_killed_leaves_errors_and_the_machine(
    daemon: Hyperd, busybox: str, folder: Path
) -> None:
    """Not a program that hangs for ever; started anew it has its files again; nothing is left."""
    box = create(daemon, busybox, "sleep", "600", HostConfig={"Binds": [f"{folder}:/d"]})
    daemon.api.post(f"/containers/{box}/start")
    end(server_of(daemon, box))
    fails(daemon, box)
    daemon.run("restart", "-t", "0", box)
    assert daemon.run("exec", box, "ls", "/d") == b""
    pid = server_of(daemon, box)
    daemon.api.delete(f"/containers/{box}?force=1")
    assert not runs(pid)
    assert cgroups(box) == []


def test_bind_mounts_when_the_daemon_is_killed_go_on(
    own_daemon: Hyperd, busybox: str, folder: Path
) -> None:
    """After kill -9 the machine goes on; the next daemon ends the server with its machine, and sees that it died."""
    daemon = own_daemon
    options = ("-v", f"{folder}:/d")
    script = (
        "echo up; until [ -e /d/go ]; do sleep 0.1; done;"
        " cp /d/go /d/$HOSTNAME; mv /d/$HOSTNAME /d/went; exec sleep 600"
    )
    ids = [
        daemon.run("run", "-d", *options, busybox, "sh", "-c", script).decode().strip()
        for _ in "ab"
    ]
    for container in ids:
        follow(daemon, container, "up")
    servers = [server_of(daemon, container) for container in ids]
    daemon.kill()
    (folder / "new").write_text("gone")
    (folder / "new").rename(folder / "go")
    while not (folder / "went").exists():
        pass
    daemon.start()
    assert daemon.run("exec", ids[0], "cat", "/d/went") == b"gone"
    daemon.run("rm", "-f", ids[0])
    assert not runs(servers[0])
    # A server that died in a daemon's absence.
    daemon.kill()
    end(servers[1])
    daemon.start()
    fails(daemon, ids[1])
    # A machine that died in a daemon's absence takes its server along.
    daemon.run("restart", "-t", "0", ids[1])
    machine, server = pid_of(daemon, ids[1]), server_of(daemon, ids[1])
    daemon.kill()
    end(machine)
    daemon.start()
    assert not runs(server)
    assert cgroups(ids[1]) == []


@pytest.fixture(scope="module")
def users_daemon(busybox: str) -> Iterator[Hyperd]:
    """A daemon of an ordinary user."""
    if os.geteuid() != 0:
        pytest.skip("run by root, who alone can become somebody else")
    with hyperd(user=USER) as started:
        started.run("pull", "-q", busybox)
        yield started


def test_binds_and_volumes_of_an_ordinary_user_work(
    users_daemon: Hyperd, busybox: str, folder: Path
) -> None:
    """What the user may do on the host, root in the guest may; other owners there are not."""
    os.chown(folder, USER, USER)
    (folder / "f").write_text("x")
    script = "cat /d/f; echo y > /d/new; chown 5 /d/new || echo refused; chown 5 /v && echo done"
    assert (
        run_shell(users_daemon, busybox, script, "-v", f"{folder}:/d", "-v", "vol:/v")
        == "xrefused\ndone\n"
    )
    assert (folder / "new").stat().st_uid == USER
    locked = folder.parent / "locked"
    locked.mkdir(mode=0o700)
    with pytest.raises(ApiError) as caught:
        box = create(users_daemon, busybox, "true", HostConfig={"Binds": [f"{locked}/x:/x"]})
        users_daemon.api.post(f"/containers/{box}/start")
    assert caught.value.status == 400

"""Files in and out of containers, through the stock client: cp, export, diff; of running ones and of others."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import io
import os
import signal
import socket
import tarfile
from pathlib import Path

import pytest

from tests.support.api import ApiError
from tests.support.archives import archive, item, put, tar_of
from tests.support.containers import create, exec_shell, follow
from tests.support.hyperd import Hyperd

pytestmark = pytest.mark.vm

SLEEP = ("sh", "-c", "echo up; exec sleep 600")
#: Makes what is to be copied out: every kind of file.
MAKE = (
    "mkdir -p /t/sub && echo one > /t/one && ln -s one /t/link && ln /t/one /t/hard && mkfifo /t/pipe && "
    "mknod /t/null c 1 3 && echo deep > /t/sub/deep && chown 7:8 /t/sub/deep && chmod 4711 /t/sub/deep && "
    "ln -s /nowhere /t/dangling && ln -s /t/sub /t/folder && echo up; exec sleep 600"
)


def listing(data: bytes) -> dict[str, tarfile.TarInfo]:
    """The members of a tar by name."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {member.name: member for member in tar.getmembers()}


def test_cp_out_of_a_running_container(daemon: Hyperd, busybox: str, tmp_path: Path) -> None:
    """Files, directories with all kinds of files in them, links followed and not, to a tar, and what is not there."""
    daemon.run("run", "-d", "--name", "box", busybox, "sh", "-c", MAKE)
    follow(daemon, "box", "up")
    daemon.run("cp", "box:/t/one", str(tmp_path / "one"))
    assert (tmp_path / "one").read_text() == "one\n"
    daemon.run("cp", "-a", "box:/t", str(tmp_path / "copy"))
    assert (tmp_path / "copy/sub/deep").stat().st_mode & 0o7777 == 0o4711
    assert (tmp_path / "copy/link").readlink() == Path("one")
    assert (tmp_path / "copy/hard").samefile(tmp_path / "copy/one")
    assert (tmp_path / "copy/pipe").is_fifo()
    daemon.run("cp", "box:/t/link", str(tmp_path / "as-link"))
    assert (tmp_path / "as-link").is_symlink()
    daemon.run("cp", "-L", "box:/t/link", str(tmp_path / "as-file"))
    assert (tmp_path / "as-file").read_text() == "one\n"
    daemon.run("cp", "-L", "box:/t/folder", str(tmp_path / "followed"))
    assert (tmp_path / "followed/deep").read_text() == "deep\n"
    names = listing(daemon.run("cp", "box:/t", "-"))
    assert names["t/null"].ischr()
    assert (names["t/sub/deep"].uid, names["t/sub/deep"].gid) == (7, 8)
    assert names["t/hard"].islnk() or names["t/one"].islnk()
    assert sorted(listing(daemon.run("cp", "box:/t/sub/.", "-"))) == [".", "./deep"]
    missing = daemon.docker("cp", "box:/no/such", str(tmp_path))
    assert b"Could not find the file /no/such in container box" in missing.stderr
    for path, status in (("/no", 404), ("/t/one/x", 400), ("/proc/version", 404)):
        assert daemon.api.raw("GET", archive("box", path))[0] == status, path
        assert daemon.api.raw("HEAD", archive("box", path))[0] == status, path
    assert daemon.api.raw("GET", "/containers/box/archive")[0] == 400
    assert daemon.api.raw("GET", archive("nobody", "/"))[0] == 404
    whole = listing(daemon.run("cp", "box:/", "-"))
    assert not [name for name in whole if name.startswith(("/proc/", "/sys/", "/dev/"))]


def test_cp_into_a_running_container(daemon: Hyperd, busybox: str, tmp_path: Path) -> None:
    """Files, directories, standard input, over what is there, into a volume, with owners and without."""
    volumes = {"/data": {}}
    box = create(daemon, busybox, *SLEEP, name="box", Volumes=volumes, User="7:8")
    daemon.api.post(f"/containers/{box}/start")
    tree = tmp_path / "tree"
    (tree / "a").mkdir(parents=True)
    (tree / "a/file").write_text("hello")
    (tree / "a/file").chmod(0o640)
    (tree / "link").symlink_to("a/file")
    os.chown(tree / "a/file", 1234, 4321)
    daemon.run("cp", str(tree), "box:/tmp/new")
    assert exec_shell(daemon, "box", "cat /tmp/new/link; stat -c ' %a %u %g' /tmp/new/a/file") == (
        "hello 640 1234 4321"
    )
    daemon.run("cp", "-a", str(tree), "box:/tmp/own")
    assert exec_shell(daemon, "box", "stat -c '%a %u %g' /tmp/own/a/file") == "640 7 8"
    daemon.run("cp", str(tree / "a/file"), "box:/data/")
    assert exec_shell(daemon, "box", "cat /data/file") == "hello"
    daemon.run("cp", "-", "box:/data", stdin=gzip.compress(tar_of(item("x/y/z", b"zipped"))))
    assert exec_shell(daemon, "box", "cat /data/x/y/z") == "zipped"
    done = daemon.docker("cp", str(tree), "box:/tmp/new/a/file")
    assert b"cannot copy directory" in done.stderr
    done = daemon.docker("cp", str(tree / "a/file"), "box:/no/such/place/")
    assert done.returncode == 1
    status, text = put(daemon, "box", "/no/such", tar_of())
    assert (status, text) == (404, "Could not find the file /no/such in container box")
    assert put(daemon, "box", "/tmp/new/a/file", tar_of())[0] == 400
    folder = tar_of(item("a", type=tarfile.DIRTYPE))
    assert put(daemon, "box", "/tmp/new/a", folder, noOverwriteDirNonDir="1") == (200, "")
    over = tar_of(item("a", b"no directory"))
    status, text = put(daemon, "box", "/tmp/new", over, noOverwriteDirNonDir="1")
    assert (status, text) == (
        400,
        'cannot overwrite directory "/tmp/new/a" with non-directory "/tmp/new"',
    )
    assert put(daemon, "box", "/tmp/new", over) == (200, "")
    assert exec_shell(daemon, "box", "cat /tmp/new/a") == "no directory"


def test_cp_of_hostile_tars_is_refused_or_harmless(daemon: Hyperd, busybox: str) -> None:
    """Names that lead out, links in the way, broken and endless things: 4xx, or harmless within the root."""
    host = {"Tmpfs": {"/small": "size=1m"}}
    box = create(daemon, busybox, *SLEEP, name="box", HostConfig=host)
    daemon.api.post(f"/containers/{box}/start")
    exec_shell(daemon, "box", "mkdir -p /in/deep; echo kept > /kept; ln -s /proc/1/root /in/magic")
    deep = "/in/deep"
    for tar in (
        tar_of(item("../../kept", b"x")),
        tar_of(item("a/../../../kept", b"x")),
        tar_of(item("hard", type=tarfile.LNKTYPE, linkname="../../kept")),
        tar_of(item("n" * 300, b"x")),
        b"this is no tar at all" * 100,
        tar_of(item("cut", b"x" * 4096))[:2000],
        gzip.compress(tar_of(item("cut", b"x" * 4096)))[:-20],
        b"\x1f\x8b" + b"\xff" * 2000,
        tar_of(item("huge", type=b"x", pax_headers={}))[:124] + b"77777777777\0" + bytes(900),
    ):
        status, text = put(daemon, "box", deep, tar)
        assert 400 <= status < 500, (status, text, tar[:100])
    assert put(daemon, "box", deep, tar_of(item("/abs", b"inside")))[0] == 200
    links = tar_of(
        item("out", type=tarfile.SYMTYPE, linkname="../../../../../../.."),
        item("out/via-link", b"within the root"),
        item("null", type=tarfile.CHRTYPE, devmajor=1, devminor=3),
    )
    assert put(daemon, "box", deep, links)[0] == 200
    status, _ = put(daemon, "box", "/in/magic", tar_of(item("x", b"x")))
    assert status == 400
    assert exec_shell(
        daemon, "box", "cat /in/deep/abs /via-link /kept; ls /in/deep | grep -v cut"
    ) == ("insidewithin the rootkept\nabs\nnull\nout")
    status, text = put(daemon, "box", "/small", tar_of(item("big", bytes(4 << 20))))
    assert (status, "no space left on device" in text) == (500, True)
    assert daemon.machines() != []


def test_cp_of_a_container_that_does_not_run_works(
    daemon: Hyperd, busybox: str, tmp_path: Path
) -> None:
    """Files go in before the first start and come out after the end; its status does not change; diff tells.

    Its working directory is there from the beginning.
    """
    script = "cat /in/file; echo two > /out; mkdir /etc/new; rm /etc/group; touch /data/v; ls"
    body = {"Volumes": {"/data": {}}, "WorkingDir": "/w/d"}
    box = create(daemon, busybox, "sh", "-c", script, name="box", **body)
    daemon.run("cp", "-", "box:/w/d", stdin=tar_of(item("own", b"")))
    assert "w/d/own" in listing(daemon.run("cp", "box:/w", "-"))
    daemon.run("cp", "-", "box:/", stdin=tar_of(item("in/file", b"hello\n")))
    assert daemon.api.get(f"/containers/{box}/json")["State"]["Status"] == "created"
    assert daemon.run("start", "-a", "box") == b"hello\nown\n"
    daemon.run("cp", "box:/out", str(tmp_path / "out"))
    assert (tmp_path / "out").read_text() == "two\n"
    assert "v" in listing(daemon.run("cp", "box:/data/v", "-"))
    state = daemon.api.get(f"/containers/{box}/json")["State"]
    assert (state["Status"], state["Pid"]) == ("exited", 0)
    lines = daemon.run("diff", "box").decode().splitlines()
    assert lines == [
        *("A /data", "C /etc", "D /etc/group", "A /etc/new"),
        *("A /in", "A /in/file", "A /out", "A /w", "A /w/d", "A /w/d/own"),
    ]
    exported = listing(daemon.run("export", "box"))
    assert {"in/file", "out", "etc/new", "bin/busybox"} <= set(exported)
    assert {"etc/group", "data/v"} & set(exported) == set()
    daemon.run("rm", "box")
    assert daemon.machines() == []
    assert list((daemon.exec_root / "vm").iterdir()) == []


def test_diff_of_an_unchanged_container_is_empty(daemon: Hyperd, busybox: str) -> None:
    """What Hyper itself puts into a root does not show, and a read-only root cannot be written to."""
    daemon.run("run", "--name", "fresh", busybox, "true")
    assert daemon.run("diff", "fresh") == b""
    daemon.run("create", "--name", "fixed", "--read-only", busybox, "true")
    status, text = put(daemon, "fixed", "/", tar_of(item("x", b"x")))
    assert (status, "read-only" in text) == (403, True)


def test_a_paused_container_can_be_copied_from(daemon: Hyperd, busybox: str) -> None:
    """As with docker: its program goes on standing still."""
    daemon.run("run", "-d", "--name", "box", busybox, *SLEEP)
    follow(daemon, "box", "up")
    daemon.run("pause", "box")
    assert "group" in listing(daemon.run("cp", "box:/etc/group", "-"))
    assert daemon.api.get("/containers/box/json")["State"]["Paused"] is True
    daemon.run("unpause", "box")
    assert exec_shell(daemon, "box", "echo on") == "on"


def test_clients_that_go_away_leave_nothing(daemon: Hyperd, busybox: str) -> None:
    """In the middle of a copy in either direction, of a running container and of one that does not run."""
    daemon.run("run", "-d", "--name", "on", busybox, *SLEEP)
    follow(daemon, "on", "up")
    exec_shell(daemon, "on", "head -c 20000000 /dev/zero > /big")
    daemon.run("create", "--name", "off", busybox, "cat", "/done")
    for name in ("on", "off"):
        path = "/big" if name == "on" else "/"
        with contextlib.closing(daemon.api.open(archive(name, path))) as answer:
            answer.read(1000)
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(daemon.socket))
            head = (
                f"PUT {archive(name, '/')} HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\n"
            )
            sock.sendall(head.encode() + tar_of(item("half", bytes(100_000)))[:50_000])
    assert put(daemon, "off", "/", tar_of(item("done", b"done"))) == (200, "")
    assert daemon.run("start", "-a", "off") == b"done"
    assert exec_shell(daemon, "on", "ps | grep -c '[s]leep 600'") == "1"
    assert daemon.run("exec", "on", "true") == b""


def test_a_machine_that_dies_cuts_the_answer_and_the_log_says_why(
    daemon: Hyperd, busybox: str
) -> None:
    """Half a tar is never taken for a whole one: by HTTP's own means, and so by the docker client."""
    daemon.run("run", "-d", "--name", "dies", busybox, *SLEEP)
    follow(daemon, "dies", "up")
    exec_shell(daemon, "dies", "head -c 50000000 /dev/zero > /big")
    pid = daemon.api.get("/containers/dies/json")["Hyper"]["Pid"]
    with contextlib.closing(daemon.api.open(archive("dies", "/big"))) as answer:
        answer.read(1000)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
            answer.read()
    assert "/containers/dies/archive broke off: " in daemon.log.read_text()


def test_a_killed_daemon_leaves_no_machine_of_a_visit(own_daemon: Hyperd, busybox: str) -> None:
    """Killed in the middle of a copy from a container that does not run: the next daemon ends the machine."""
    box = create(own_daemon, busybox, "true", name="box")
    with contextlib.closing(own_daemon.api.open(archive("box", "/"))) as answer:
        assert answer.read(1000)
        own_daemon.kill()
    own_daemon.start()
    assert own_daemon.machines() == []
    assert own_daemon.api.get(f"/containers/{box}/json")["State"]["Status"] == "created"
    assert own_daemon.run("start", "-a", "box") == b""


def test_cp_of_an_unknown_container_is_404(daemon: Hyperd) -> None:
    """By each of the routes."""
    for path in ("export", "changes", "archive?path=/"):
        with pytest.raises(ApiError) as error:
            daemon.api.get(f"/containers/nobody/{path}")
        assert error.value.status == 404

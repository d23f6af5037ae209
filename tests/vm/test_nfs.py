"""Volumes on a real file server (nfs-ganesha), whose client is the guest's kernel."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.containers import follow
from tests.support.hyperd import Hyperd
from tests.support.nfs import FileServer, file_server
from tests.support.pods import box, make

pytestmark = [pytest.mark.vm, pytest.mark.root]

NETWORK = "files"


@pytest.fixture(scope="module")
def server() -> Iterator[FileServer]:
    """One for all tests that do not harm it."""
    with file_server() as running:
        yield running


@pytest.fixture
def address(daemon: Hyperd) -> Iterator[str]:
    """Where machines of the network ``files`` reach this host."""
    daemon.run("network", "create", "-o", "hyper.host_services=true", NETWORK)
    (config,) = daemon.api.get(f"/networks/{NETWORK}")["IPAM"]["Config"]
    yield str(config["Gateway"])
    daemon.clear()
    daemon.run("network", "rm", NETWORK)


def volume(daemon: Hyperd, name: str, options: dict[str, str]) -> None:
    """The volume exists."""
    daemon.api.post("/volumes/create", {"Name": name, "DriverOpts": options})


def sh(daemon: Hyperd, image: str, script: str, *options: str) -> str:
    """What a shell in a new container of the network prints."""
    argv = ["run", "--rm", "--network", NETWORK, *options, image, "sh", "-c", script]
    return daemon.run(*argv).decode()


def emptied(server: FileServer) -> Path:
    """Its folder, with nothing in it."""
    for entry in server.folder.iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    return server.folder


def test_nfs_volume_keeps_owners_and_is_seen_by_two_machines(
    daemon: Hyperd, busybox: str, server: FileServer, address: str
) -> None:
    """Written with their owner, seen both ways while it runs, by two machines at once; the volume is only a name."""
    folder = emptied(server)
    # By itself the kernel believes for half a minute that a file is not there.
    volume(daemon, "nas", server.options(address, "lookupcache=positive"))
    mounted = ["--network", NETWORK, "-v", "nas:/nas", busybox]
    script = "echo hers >/nas/hers; echo up; until [ -e /nas/go ]; do sleep 0.1; done; cat /nas/go"
    folder.chmod(0o777)
    daemon.run("run", "-d", "--name", "box", "-u", "1234:77", *mounted, "sh", "-c", script)
    follow(daemon, "box", "up")
    status = (folder / "hers").stat()
    assert ((folder / "hers").read_text(), status.st_uid, status.st_gid) == ("hers\n", 1234, 77)
    # There at once with all that is in it: what is written goes to the server when the file is closed.
    answer = "cat /nas/hers; echo both >/nas/new; mv /nas/new /nas/go"
    assert sh(daemon, busybox, answer, "-v", "nas:/nas") == "hers\n"
    assert daemon.run("wait", "box") == b"0\n"
    assert daemon.run("logs", "box").endswith(b"both\n")
    kept = daemon.api.get("/volumes/nas")
    assert (kept["Mountpoint"], kept["Options"]["device"]) == ("", ":/export")
    assert kept["Status"]["Hyper"]["Kind"] == "nfs"
    daemon.run("rm", "box")
    daemon.run("volume", "rm", "nas")
    assert sorted(path.name for path in folder.iterdir()) == ["go", "hers"]


def test_nfs_volume_is_filled_and_read_only_as_others_are(
    daemon: Hyperd, busybox: str, server: FileServer, address: str
) -> None:
    """Filled with what the image has if it is empty, not with nocopy; read-only in both ways; of an older version."""
    folder = emptied(server)
    volume(daemon, "nas", server.options(address))
    volume(daemon, "read", server.options(address, "ro", "vers=4.0"))
    sh(daemon, busybox, "true", "-v", "nas:/etc:nocopy")
    assert not (folder / "passwd").exists()
    emptied(server)
    assert "root:x:0:0" in sh(daemon, busybox, "cat /etc/passwd", "-v", "nas:/etc")
    assert "root:x:0:0" in (folder / "passwd").read_text()
    for mount in ("nas:/etc:ro", "read:/etc"):
        script = "cat /etc/passwd; touch /etc/no 2>&1; grep ' /etc ' /proc/mounts"
        shown = sh(daemon, busybox, script, "-v", mount)
        assert "root:x:0:0" in shown
        assert "Read-only file system" in shown
    assert "vers=4.0" in shown


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"device": ":/nowhere"}, "mount {address}:/nowhere on /nas: No such file or directory"),
        ({"o": "addr={address},port=1"}, "mount {address}:/export on /nas: connection refused"),
        ({"o": "addr={address},colour"}, "mount {address}:/export on /nas: invalid argument"),
        ({"o": "addr=nas.invalid"}, "file server 'nas.invalid': "),
    ],
    ids=["path", "port", "option", "name"],
)
def test_nfs_volume_that_cannot_be_mounted_says_why(
    daemon: Hyperd,
    busybox: str,
    server: FileServer,
    address: str,
    change: dict[str, str],
    why: str,
) -> None:
    """The start fails, with the server and the reason."""
    change = {key: value.format(address=address) for key, value in change.items()}
    volume(daemon, "nas", server.options(address) | change)
    done = daemon.docker("run", "--rm", "--network", NETWORK, "-v", "nas:/nas", busybox, "true")
    assert done.returncode == 125
    assert why.format(address=address) in done.stderr.decode()
    assert b"[Errno" not in done.stderr


def test_nfs_server_that_goes_away_leaves_daemon_and_others_well(
    daemon: Hyperd, busybox: str, address: str
) -> None:
    """Who waits for it can still be removed; the daemon and other containers go on; docker cp does without it."""
    with file_server() as server:
        volume(daemon, "nas", server.options(address))
        options = ["--network", NETWORK, "-v", "nas:/nas", busybox]
        script = "echo up; echo more >/nas/file; until ! true >/nas/file; do :; done"
        daemon.run("run", "-d", "--name", "box", *options, "sh", "-c", script)
        follow(daemon, "box", "up")
        server.process.kill()
        server.process.wait()
        assert sh(daemon, busybox, "echo well") == "well\n"
        daemon.run("rm", "-f", "box")
        daemon.run("create", "--name", "cold", *options, "true")
        assert daemon.run("cp", "cold:/etc/passwd", "-") != b""


def test_nfs_volume_of_a_pod_is_shared_by_its_containers(
    daemon: Hyperd, busybox: str, server: FileServer, address: str
) -> None:
    """One container has a directory of it, which is made; another all of it, to read."""
    folder = emptied(server)
    write = box(
        busybox,
        "a",
        "echo one >/nas/one; echo up; exec sleep 600",
        Mounts=[{"Volume": "nas", "Target": "/nas", "SubPath": "deep/er"}],
    )
    read = box(
        busybox,
        "b",
        "until grep -s one /all/deep/er/one; do sleep 0.1; done; touch /all/no; exec sleep 600",
        Mounts=[{"Volume": "nas", "Target": "/all", "ReadOnly": True}],
    )
    options = server.options(address)
    shared = {"Name": "nas", "Kind": "volume", "Source": "nas", "DriverOpts": options}
    make(daemon, write, read, Volumes=[shared], Network=NETWORK)
    follow(daemon, "web-b", "one")
    follow(daemon, "web-a", "up")  # it has closed the file, and with that written it
    assert (folder / "deep/er/one").read_text() == "one\n"
    assert list(folder.iterdir()) == [folder / "deep"]

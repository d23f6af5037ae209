"""What keeps a daemon from starting, each said in one line, and how it ends."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import stat
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.connections import FLOOD, STREAMS, head, send
from tests.support.containers import create, follow
from tests.support.daemon_log import bugs
from tests.support.hyperd import Hyperd, hyperd

pytestmark = pytest.mark.vm


@pytest.fixture
def idle() -> Iterator[Hyperd]:
    """A daemon of one's own that is not running; its roots have been used once."""
    with hyperd() as daemon:
        assert daemon.stop() == 0
        yield daemon


def refused(daemon: Hyperd, *options: str, words: str) -> None:
    """The daemon ends with 1, one sentence with ``words`` and no trace, and leaves no socket behind."""
    done = subprocess.run([*daemon.argv(), *options], capture_output=True, timeout=60)
    text = done.stderr.decode()
    assert (done.returncode, words in text, "Traceback" in text) == (1, True, False), text
    lines = [line for line in text.splitlines() if not line[:4].isdecimal()]
    assert lines[0].startswith("hyperd: ")
    assert len(lines) <= 2
    assert not daemon.socket.exists()


def test_descriptor_limit_of_the_daemon_is_raised_to_the_hard_one(idle: Hyperd) -> None:
    """A shell's low limit is not the daemon's: hundreds of machines need thousands of descriptors."""
    words = idle.argv()
    idle.argv = lambda: ["prlimit", "--nofile=100:5000", *words]  # type: ignore[method-assign]
    idle.start()
    limits = Path(f"/proc/{idle.pid}/limits").read_text()
    assert "Max open files            5000                 5000" in limits


CONFIGURATIONS = {
    "not JSON": (b"{", "is no JSON object"),
    "a list": (b"[]", "is no JSON object"),
    "no text": (b'{"debug": "\xff"}', "is no JSON object"),
    "deep": (b'{"labels":' + b"[" * 100_000, "is no JSON object"),
    "unknown key": (b'{"storage-engine": "x"}', "unknown key: storage-engine\nknown keys: accelerator, allowed-hosts"),
    "key with one answer": (b'{"storage-driver": "x"}', "configuration key storage-driver: x cannot be had"),
    "our own name of a key": (b'{"data_root": "/x"}', "unknown key: data_root"),
    "number for text": (b'{"data-root": 5}', "configuration key data-root"),
    "text for a list": (b'{"hosts": "unix:///x"}', "configuration key hosts"),
    "text for a number": (b'{"default-memory": "1g"}', "configuration key default-memory"),
    "too little memory": (b'{"default-memory": 1}', "default memory 1 MiB: a machine needs"),
    "no time": (b'{"boot-timeout": 0}', "boot timeout must be at least one second"),
    "unknown level": (b'{"log-level": "loud"}', "configuration key log-level: one of debug, info"),
    "unknown accelerator": (b'{"accelerator": "warp"}', "configuration key accelerator: one of auto, kvm, tcg"),
}  # fmt: skip


@pytest.mark.parametrize("what", CONFIGURATIONS)
def test_config_file_when_bad_is_refused_by_its_key(idle: Hyperd, what: str) -> None:
    """Named with its key, and with the keys there are."""
    content, words = CONFIGURATIONS[what]
    path = idle.folder / "daemon.json"
    path.write_bytes(content)
    refused(idle, "--config-file", str(path), words=words)


def test_config_file_when_missing_is_refused(idle: Hyperd) -> None:
    """Or is a folder."""
    refused(idle, "--config-file", "/nosuch", words="cannot read the configuration file /nosuch")
    refused(idle, "--config-file", "/", words="cannot read the configuration file /")


@pytest.mark.parametrize("missing", ["vmlinux", "initrd"])
def test_daemon_without_kernel_or_initrd_says_what_to_do(idle: Hyperd, missing: str) -> None:
    """With what to do about it."""
    folder = idle.folder / "assets"
    folder.mkdir()
    for name in {"vmlinux", "initrd"} - {missing}:
        (folder / name).touch()
    refused(idle, "--assets", str(folder), words=f"the guest's {missing} is missing in {folder}")


@pytest.mark.parametrize("root", ["data_root", "exec_root"])
def test_root_folder_when_not_trusted_is_refused(idle: Hyperd, root: str) -> None:
    """Open to others, somebody else's, a link, or no folder at all."""
    folder: Path = getattr(idle, root)
    folder.chmod(0o777)
    refused(idle, words=f"{folder} is open to others (mode 0777)")
    folder.chmod(0o700)
    moved = folder.with_name("moved")
    folder.rename(moved)
    folder.symlink_to(moved)
    refused(idle, words=f"{folder} is not a folder")
    folder.unlink()
    folder.write_text("")
    refused(idle, words=f"{folder} is not a folder")
    folder.unlink()
    moved.rename(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")
@pytest.mark.parametrize("root", ["data_root", "exec_root"])
def test_root_folder_of_another_user_is_refused(idle: Hyperd, root: str) -> None:
    """By their number."""
    folder: Path = getattr(idle, root)
    os.chown(folder, 12345, -1)
    refused(idle, words=f"{folder} belongs to user 12345, not to us")
    os.chown(folder, 0, -1)


HOSTS = {
    "no scheme": ("/run/x.sock", "invalid host: /run/x.sock"),
    "unknown scheme": ("fd://", "invalid host: fd://"),
    "no number": ("tcp://127.0.0.1:x", "invalid host: tcp://127.0.0.1:x"),
    "a port that is none": ("tcp://127.0.0.1:99999", "invalid host: tcp://127.0.0.1:99999"),
    "brackets": ("tcp://[::1", "invalid host: tcp://[::1"),
    "an address of somebody else": (
        "tcp://192.0.2.1:2375",
        "cannot listen on tcp://192.0.2.1:2375",
    ),
    "a long path": ("unix:///tmp/" + "x" * 120, "path too long for a unix socket"),
}


@pytest.mark.parametrize("what", HOSTS)
def test_listen_address_when_unusable_is_refused(idle: Hyperd, what: str) -> None:
    """Each is named, and what was opened before it is closed."""
    host, words = HOSTS[what]
    refused(idle, "--tls=false", "-H", host, words=words)  # else it would be refused for that


def test_listen_port_when_in_use_is_refused(idle: Hyperd) -> None:
    """By another program."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        host = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        refused(idle, "-H", host, words=f"cannot listen on {host}: Address already in use")


def test_a_socket_in_use_stays_its_owners(idle: Hyperd, own_daemon: Hyperd) -> None:
    """Another daemon listens there: it is refused, and the other one is still reached."""
    refused(
        idle,
        "-H",
        own_daemon.host,
        words=f"cannot listen on {own_daemon.socket}: another process does",
    )
    assert own_daemon.api.get("/_ping") == b"OK"


def test_socket_path_when_another_file_is_there_is_refused(idle: Hyperd) -> None:
    """A file is not removed for it."""
    path = idle.folder / "file"
    path.write_text("precious")
    refused(idle, "-H", f"unix://{path}", words="there is something that is no socket")
    assert path.read_text() == "precious"


def test_a_socket_nobody_listens_on_is_replaced(own_daemon: Hyperd) -> None:
    """What kill -9 left; and it is nobody else's to use."""
    own_daemon.kill()
    assert own_daemon.socket.exists()
    own_daemon.start()
    assert own_daemon.api.get("/_ping") == b"OK"
    assert stat.S_IMODE(own_daemon.socket.stat().st_mode) & 0o007 == 0


def test_database_of_a_newer_schema_is_refused(idle: Hyperd) -> None:
    """Is left alone."""
    path = idle.data_root / "hyper.db"
    with closing(sqlite3.connect(path)) as db:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        db.execute("PRAGMA user_version=99")
    refused(idle, words="hyper.db was written by a newer Hyper (schema 99)")
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version={version}")


def test_database_when_damaged_is_refused_and_not_overwritten(idle: Hyperd) -> None:
    """Is named, and not overwritten."""
    path = idle.data_root / "hyper.db"
    whole = path.read_bytes()
    path.write_bytes(b"\xff" * len(whole))
    refused(idle, words="cannot use the database")
    assert path.read_bytes() == b"\xff" * len(whole)
    path.write_bytes(whole)


def test_a_container_that_was_half_made_or_half_removed(own_daemon: Hyperd, busybox: str) -> None:
    """The daemon was killed inside a creation or a removal: it starts, and what was whole is there."""
    daemon = own_daemon
    names = ("whole", "no-folder", "no-disk", "no-log")
    ids = {name: create(daemon, busybox, "true", name=name) for name in names}
    daemon.kill()
    folder = daemon.data_root / "containers"
    for path in (folder / ids["no-folder"]).iterdir():
        path.unlink()
    (folder / ids["no-folder"]).rmdir()
    (folder / ids["no-disk"] / "scratch.ext4").unlink()
    (folder / ids["no-log"] / "log").unlink()
    daemon.start()
    assert [item["Names"] for item in daemon.api.get("/containers/json?all=1")] == [["/whole"]]
    assert [path.name for path in folder.iterdir()] == [ids["whole"]]
    create(daemon, busybox, "true", name="no-disk")
    daemon.run("rmi", "-f", busybox)


def test_killed_in_the_middle_of_creations(own_daemon: Hyperd, busybox: str) -> None:
    """At different moments: every container that was told of is there, and all can be removed."""
    daemon = own_daemon
    for number in range(5):
        told: list[str] = []

        def creations(found: list[str] = told) -> None:
            try:
                while True:
                    found.append(create(daemon, busybox, "true"))
            except (OSError, AssertionError, ValueError):
                return

        threads = [threading.Thread(target=creations) for _ in range(3)]
        for thread in threads:
            thread.start()
        while len(told) <= number * 3:
            os.sched_yield()
        daemon.kill()
        for thread in threads:
            thread.join()
        daemon.start()
        known = {item["Id"] for item in daemon.api.get("/containers/json?all=1")}
        assert set(told) <= known
        daemon.clear()
    assert list((daemon.data_root / "containers").iterdir()) == []


def test_daemon_on_sighup_goes_on(own_daemon: Hyperd) -> None:
    """SIGHUP is dockerd's word for "read your configuration again": nobody does, and the daemon serves on."""
    events = own_daemon.api.lines("/events")
    os.kill(own_daemon.pid, signal.SIGHUP)
    own_daemon.run("volume", "create", "after")
    assert next(events)["Actor"]["ID"] == "after"
    events.close()
    assert "SIGHUP changes nothing" in own_daemon.log.read_text()


def test_a_daemon_with_open_streams_ends_when_told_to(own_daemon: Hyperd, busybox: str) -> None:
    """SIGTERM while clients listen, flood and stall: it ends, and the machines go on."""
    daemon = own_daemon
    box = create(daemon, busybox, "sh", "-c", FLOOD)
    calm = create(daemon, busybox, "sh", "-c", "echo up; exec sleep 3600")
    for container in (box, calm):
        daemon.api.post(f"/containers/{container}/start")
    follow(daemon, calm, "up")
    pids = [daemon.api.get(f"/containers/{item}/json")["Hyper"]["Pid"] for item in (box, calm)]
    streams = []
    for container in (box, calm):
        for method, path, upgrade in STREAMS.values():
            streams.append(send(daemon, method, path.format(id=container), upgrade=upgrade))
            head(streams[-1])
    exec_id = daemon.api.post(
        f"/containers/{calm}/exec", {"Cmd": ["cat", "/dev/zero"], "AttachStdout": True}
    )["Id"]
    streams.append(send(daemon, "POST", f"/exec/{exec_id}/start", b"{}", upgrade=True))
    head(streams[-1])
    assert daemon.stop() == 0
    for stream in streams:
        stream.close()
    assert all(Path(f"/proc/{pid}").exists() for pid in pids)
    daemon.start()
    assert daemon.run("exec", calm, "echo", "on") == b"on\n"
    assert bugs(daemon) == []

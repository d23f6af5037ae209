"""Files, locks, sockets: on a real file system, in the test's own folder."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from hyper.errors import Conflict, Forbidden, InvalidRequest
from hyper.system import files, lock
from hyper.system import socket as sockets


def test_atomic_write(tmp_path: Path) -> None:
    path = tmp_path / "f"
    files.write_atomically(path, b"one", mode=0o640)
    files.write_atomically(path, b"two", durable=False)
    assert path.read_bytes() == b"two"
    assert [item.name for item in tmp_path.iterdir()] == ["f"]


def test_unix_sockets_are_told(tmp_path: Path) -> None:
    """Through links too; a file, nothing, and what is no path are none."""
    place = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(place))
    (tmp_path / "link").symlink_to("s")
    (tmp_path / "file").touch()
    assert files.is_socket(str(place))
    assert files.is_socket(str(tmp_path / "link"))
    for path in (tmp_path / "file", tmp_path / "none", tmp_path / "file/below", "a\0b"):
        assert not files.is_socket(str(path))


def test_atomic_write_fails_whole(tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    with pytest.raises(OSError, match="directory"):
        files.write_atomically(tmp_path / "f", b"x")
    assert [item.name for item in tmp_path.iterdir()] == ["f"]


def test_private_dir(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    files.make_private_dir(path)
    files.make_private_dir(path)
    assert path.stat().st_mode & 0o777 == 0o700
    path.chmod(0o755)
    (path / "lost+found").mkdir()
    files.make_private_dir(path)  # a new file system's
    assert path.stat().st_mode & 0o777 == 0o700
    path.chmod(0o755)
    (path / "somebody's").touch()
    with pytest.raises(Forbidden, match="open to others"):
        files.make_private_dir(path)


def test_private_dir_is_not_fooled_by_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(Forbidden, match="not a folder"):
        files.make_private_dir(tmp_path / "link")


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a folder away")
def test_private_dir_of_somebody_else(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir(mode=0o700)
    os.chown(tmp_path / "d", 12345, 12345)
    with pytest.raises(Forbidden, match="belongs to user 12345"):
        files.make_private_dir(tmp_path / "d")


@pytest.mark.parametrize("tail", [b"", b"end"])
def test_sparse_copy(tmp_path: Path, tail: bytes) -> None:
    source, target = tmp_path / "s", tmp_path / "t"
    with source.open("wb") as file:
        file.truncate(64 << 20)
        file.seek(1 << 20)
        file.write(b"island" * 1000)
        file.seek(-len(tail), os.SEEK_END)
        file.write(tail)
    files.copy_sparse(source, target)
    assert target.read_bytes() == source.read_bytes()
    assert files.allocated_bytes(target) < 1 << 20
    with pytest.raises(FileExistsError):
        files.copy_sparse(source, target)


def test_sparse_copy_of_nothing(tmp_path: Path) -> None:
    (tmp_path / "s").touch()
    files.copy_sparse(tmp_path / "s", tmp_path / "t")
    assert (tmp_path / "t").stat().st_size == 0


HOLD = """
import sys
from pathlib import Path
from hyper.system import lock
with lock.hold(Path(sys.argv[1]), purpose="x"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_lock_names_its_holder_and_dies_with_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(Conflict) as raised, lock.hold(path, purpose="data root /r"):
            pass
        assert raised.value.message == f"data root /r is in use by process {other.pid}"
        other.kill()
    with lock.hold(path, purpose="x"):
        assert path.read_text() == f"{os.getpid()}\n"
    assert not path.exists()


def test_lock_on_a_removed_file_is_taken_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, tries = tmp_path / "lock", []
    flock = lock.fcntl.flock

    def removed_meanwhile(fd: int, how: int) -> None:
        flock(fd, how)
        tries.append(fd)
        if len(tries) == 1:
            path.unlink()

    monkeypatch.setattr(lock.fcntl, "flock", removed_meanwhile)
    with lock.hold(path, purpose="x"):
        assert path.exists()
    assert len(tries) == 2


def test_listen_has_its_mode_and_replaces_the_stale(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with sockets.listen(path, mode=0o660, gid=os.getgid()):
        assert path.stat().st_mode & 0o777 == 0o660
        with pytest.raises(Conflict, match="another process does"):
            sockets.listen(path)
        with sockets.connect(path):
            pass
    with sockets.listen(path):
        pass


def test_listen_does_not_remove_what_is_no_socket(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("precious")
    with pytest.raises(Conflict, match="no socket"):
        sockets.listen(path)
    assert path.read_text() == "precious"


def test_long_paths(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="too long"):
        sockets.listen(tmp_path / ("x" * 108))


@pytest.mark.parametrize(
    ("protocol", "kind"), [("tcp", socket.SOCK_STREAM), ("udp", socket.SOCK_DGRAM)]
)
def test_ports(protocol: str, kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OSError) as raised:
            sockets.check_port_is_free(protocol, "127.0.0.1", port)
        assert raised.value.errno == errno.EADDRINUSE
    sockets.check_port_is_free(protocol, "127.0.0.1", port)
    sockets.check_port_is_free(protocol, "127.0.0.1", 0)


def test_what_the_peer_has_not_read_is_told() -> None:
    """Of a unix socket, until the last byte of it; of others nothing is."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert not sockets.unread(ours)
        ours.sendall(b"head")
        assert sockets.unread(ours)
        theirs.recv(2)
        assert sockets.unread(ours)
        theirs.recv(2)
        assert not sockets.unread(ours)
    with socket.socket(socket.AF_INET) as other:
        assert not sockets.unread(other)

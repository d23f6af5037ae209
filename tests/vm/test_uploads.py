"""What comes in large pieces and does not arrive: the client dies half way, or the host's disk is full."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tools import imagebuilder

from tests.support.archives import archive, item, put, tar_of
from tests.support.connections import connect
from tests.support.containers import exec_shell, follow
from tests.support.daemon_log import bugs
from tests.support.descriptors import nothing_is_kept, turns
from tests.support.disks import small_disk
from tests.support.hyperd import Hyperd, hyperd

pytestmark = pytest.mark.vm
MIB = 1 << 20


def incompressible(mebibytes: int) -> bytes:
    """Always the same."""
    return random.Random(mebibytes).randbytes(mebibytes * MIB)


@pytest.fixture(scope="module")
def saved() -> bytes:
    """An image of 12 MiB that does not get smaller, as ``docker save`` would write it; it is called large:1."""
    image = imagebuilder.image([[imagebuilder.file("large", incompressible(12))]], {"Cmd": ["x"]})
    entry = {"Config": "c.json", "RepoTags": ["large:1"], "Layers": ["l.tar"]}
    members = {
        "manifest.json": json.dumps([entry]).encode(),
        "c.json": image.config,
        "l.tar": image.tars[0],
    }
    return tar_of(*(item(name, data) for name, data in members.items()))


def image_files(daemon: Hyperd) -> list[Path]:
    """Everything in the images' store but the database's own."""
    found = (daemon.data_root / "image").rglob("*")
    return sorted(path for path in found if not path.name.startswith("images.db"))


def left(daemon: Hyperd, before: list[Path]) -> list[Path]:
    """What there is besides ``before``, once the daemon has had the time to see who is gone."""
    now = image_files(daemon)
    for _ in turns(daemon):
        if (now := image_files(daemon)) == before:
            break
    return sorted(set(now) - set(before))


def begin(daemon: Hyperd, method: str, path: str, data: bytes, *, chunked: bool) -> None:
    """A request with the first half of ``data`` came, then its client died."""
    half = data[: len(data) // 2]
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(data)}"
    if chunked:
        half = f"{len(half):x}\r\n".encode() + half + b"\r\n"
    kind = "Content-Type: application/x-tar"
    with connect(daemon) as sock:
        sock.sendall(f"{method} {path} HTTP/1.1\r\nHost: x\r\n{kind}\r\n{length}\r\n\r\n".encode())
        sock.sendall(half)


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("path", ["/images/load", "/images/create?fromSrc=-&repo=large&tag=1"])
def test_a_client_that_disappears_from_a_load(
    daemon: Hyperd, saved: bytes, path: str, chunked: bool
) -> None:
    """Also from an import: no image, no file and no descriptor of it is left, and the whole one is taken next time."""
    before, images = image_files(daemon), daemon.api.get("/images/json")
    with nothing_is_kept(daemon):
        for _ in range(3):
            begin(daemon, "POST", path, saved, chunked=chunked)
    assert left(daemon, before) == []
    assert daemon.api.get("/images/json") == images
    assert bugs(daemon) == []
    daemon.api.raw("POST", path, saved)
    assert "large:1" in daemon.api.get("/images/large:1/json")["RepoTags"]
    daemon.run("rmi", "large:1")


@pytest.mark.parametrize("verb", ["load", "import"])
def test_a_docker_client_that_is_killed_while_it_loads(
    daemon: Hyperd, saved: bytes, verb: str
) -> None:
    """The stock client with kill -9, ten times: as above."""
    before = image_files(daemon)
    words = ["load"] if verb == "load" else ["import", "-", "large:1"]
    with nothing_is_kept(daemon):
        for _ in range(10):
            client = subprocess.Popen(
                ["docker", *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=os.environ | {"DOCKER_HOST": daemon.host},
            )
            assert client.stdin is not None
            client.stdin.write(saved[: len(saved) // 2])
            client.stdin.flush()
            client.kill()
            client.wait()
            client.stdin.close()
    assert left(daemon, before) == []
    assert daemon.api.raw("GET", "/images/large:1/json")[0] == 404
    assert bugs(daemon) == []


@pytest.mark.parametrize("chunked", [False, True])
def test_a_client_that_disappears_from_a_copy(daemon: Hyperd, busybox: str, chunked: bool) -> None:
    """Into a running container and one that does not run: nothing is left running, and the next copy is whole."""
    data = incompressible(8)
    tar = tar_of(item("first", b"1"), item("large", data), item("last", b"2"))
    whole = f"{hashlib.sha256(data).hexdigest()}  /large"
    daemon.run("run", "-d", "--name", "on", busybox, "sh", "-c", "echo up; exec sleep 6000")
    follow(daemon, "on", "up")
    with nothing_is_kept(daemon):
        for _ in range(3):
            begin(daemon, "PUT", archive("on", "/"), tar, chunked=chunked)
    for _ in turns(daemon):  # what was killed may take a moment to be gone
        running = daemon.api.get("/containers/on/top?ps_args=-o+pid,args")["Processes"]
        if len(running) == 1:
            break
    assert [program for _, program in running] == ["sleep 6000"]
    assert "No such file" in exec_shell(daemon, "on", "ls /last 2>&1; true")
    assert put(daemon, "on", "/", tar) == (200, "")
    assert exec_shell(daemon, "on", "sha256sum /large") == whole
    with nothing_is_kept(daemon):
        daemon.run("create", "--name", "off", busybox, "sha256sum", "/large")
        for _ in range(3):
            begin(daemon, "PUT", archive("off", "/"), tar, chunked=chunked)
        assert put(daemon, "off", "/", tar) == (200, "")
        assert daemon.run("start", "-a", "off").decode().strip() == whole
        daemon.run("rm", "off")
    assert bugs(daemon) == []


@pytest.fixture(params=["8m", "20m"], ids=["while it comes", "while it is converted"])
def cramped(request: pytest.FixtureRequest) -> Iterator[tuple[Hyperd, Path]]:
    """A daemon whose files are on a small disk, and where that is mounted."""
    with small_disk(request.param) as folder, hyperd("--data-root", str(folder)) as daemon:
        daemon.data_root = folder
        yield daemon, folder


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system")
@pytest.mark.parametrize("verb", ["load", "import"])
def test_a_full_disk_while_an_archive_comes(
    cramped: tuple[Hyperd, Path], saved: bytes, verb: str
) -> None:
    """A clear error, nothing half-made stays; with room the same archive is taken."""
    daemon, folder = cramped
    before = image_files(daemon)
    words = ["load"] if verb == "load" else ["import", "-", "large:1"]
    for _ in range(2):
        done = daemon.docker(*words, stdin=saved)
        assert done.returncode == 1
        assert b"no space left on device while storing" in done.stderr, done.stderr
        assert image_files(daemon) == before
        assert daemon.api.get("/images/json") == []
    assert bugs(daemon) == []
    subprocess.run(["mount", "-o", "remount,size=100m", str(folder)], check=True)
    daemon.run(*words, stdin=saved)
    assert daemon.api.get("/images/large:1/json")["RepoTags"] == ["large:1"]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system")
def test_a_full_disk_while_a_copy_is_made_of_it(saved: bytes) -> None:
    """A save into a full disk of the client's is the client's error; the daemon closes what it had open for it."""
    with small_disk("4m") as folder, hyperd() as daemon:
        daemon.run("load", stdin=saved)
        with nothing_is_kept(daemon):
            done = daemon.docker("save", "-o", str(folder / "out.tar"), "large:1")
            assert done.returncode == 1
            assert b"no space left on device" in done.stderr
        assert bugs(daemon) == []

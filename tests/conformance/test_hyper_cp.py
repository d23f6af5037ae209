"""``hyper cp`` beside ``docker cp`` on the same engine: what lies on the other side afterwards, and the exit code."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import pytest

from tests.support.command import DOCKER, HYPER, call
from tests.support.dockerd import Engine

pytestmark = pytest.mark.root

#: What is in the container: files, links that lead in and out, a fifo, an owner.
THERE = """
mkdir -p /d /e/in && echo x >/d/y && ln -s y /d/rel && ln -s /d /dl && echo hi >/f && ln -s /f /lnk
echo 1 >/e/in/a && ln -s ../in/a /e/in/b && ln -s ../../etc/passwd /e/up && chown 1000:1000 /e/in/a && mkfifo /e/in/fifo
chmod 640 /e/in/a; chmod 711 /d
"""
RESET = """
rm -rf /w && mkdir -p /w/dir/old && echo old >/w/file && ln -s dir /w/dl && ln -s file /w/fl && ln -s nowhere /w/dang
"""
LOOK = """
cd /w && find . | sort | while read f; do stat -c '%n %F %a %u %g' "$f"; [ -L "$f" ] && readlink "$f"
[ -f "$f" ] && [ ! -L "$f" ] && md5sum "$f"; done; true
"""


@pytest.fixture(scope="module")
def box(engine: Engine) -> Iterator[Callable[[str], bytes]]:
    """Run a script in a container called box that has what is ``THERE``."""
    call(engine, DOCKER, "run", "-d", "--name", "box", engine.image, "sleep", "6000")

    def script(text: str) -> bytes:
        done = call(engine, DOCKER, "exec", "box", "sh", "-c", text)
        assert done.returncode == 0, done.stderr
        return done.stdout

    script(THERE)
    yield script
    call(engine, DOCKER, "rm", "-f", "-v", "box")


def _fill(folder: Path) -> None:
    (folder / "dir").mkdir(parents=True)
    (folder / "tree/sub").mkdir(parents=True)
    (folder / "file").write_text("local")
    (folder / "tree/a").write_text("1")
    (folder / "tree/sub/b").write_text("2")
    (folder / "tree/l").symlink_to("a")
    (folder / "dl").symlink_to("tree")
    (folder / "fl").symlink_to("file")
    (folder / "tree/hard").hardlink_to(folder / "tree/a")
    (folder / "tree/a").chmod(0o640)
    (folder / "tree/sub").chmod(0o700)
    os.mkfifo(folder / "tree/fifo")
    os.chown(folder / "tree/sub/b", 1000, 1000)


def _look(folder: Path) -> list[tuple[object, ...]]:
    seen = []
    for path in sorted(folder.rglob("*")):
        found = path.lstat()
        what = (
            str(path.readlink())
            if path.is_symlink()
            else path.read_bytes()
            if path.is_file()
            else b""
        )
        seen.append((str(path.relative_to(folder)), found.st_mode, found.st_uid, what))
    return seen


def _copy(engine: Engine, program: list[str], words: list[str], folder: Path) -> tuple[int, bytes]:
    done = subprocess.run(
        [*program, "cp", *words],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        env=engine.environ() | {"PYTHONPATH": str(Path("src").absolute())},
    )
    assert b"Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout


def _is_served(engine: Engine) -> bool:
    return not engine.is_hyper or _copy(engine, DOCKER, ["box:/f", "-"], Path("/"))[0] == 0


OUT = [
    "box:/d .", "box:/d/. dir", "box:/d/. new", "box:/d new", "box:/d new/", "box:/d dl", "box:/d file",
    "box:/f .", "box:/f new", "box:/f new/", "box:/f file", "box:/f fl", "box:/lnk .", "box:/lnk new",
    "-L box:/lnk .", "-L box:/lnk new", "-L box:/dl new", "-L box:/dl dir", "-L box:/dl .", "box:/dl .",
    "box:/dl/. .", "box:/e dir", "box:e/in new", "box:/nosuch .", "nosuch:/x .", "box:/d /nosuch/x",
    "box:/d box:/e", "a b", "box:/d /dev/null", "-a box:/e/in new", "box:/f tree",
]  # fmt: skip
IN = [
    "file box:/w", "file box:/w/new", "file box:/w/new/", "file box:/w/file", "file box:/w/dir", "file box:/w/fl",
    "file box:/w/dl", "file box:/w/dang", "tree box:/w", "tree box:/w/new", "tree box:/w/new/", "tree/. box:/w/dir",
    "tree/. box:/w/new", "tree box:/w/dl", "tree box:/w/file", "dl box:/w", "dl/. box:/w", "-L fl box:/w",
    "-L fl box:/w/new", "-a tree box:/w", "nofile box:/w", "file box:/no/such/x", "file nosuch:/", "- box:/w/file",
    "- box:/nosuch", "./file box:w/rel", "dir box:/w/dir/old", ". box:/w/here",
]  # fmt: skip


def test_out_of_a_container(engine: Engine, box: Callable[[str], bytes], tmp_path: Path) -> None:
    """Folders, contents, links, names given and not: our disk looks the same after both."""
    for words in OUT if _is_served(engine) else OUT[:1]:
        seen = []
        for program in (DOCKER, HYPER):
            folder = tmp_path / "here"
            _fill(folder)
            done = _copy(engine, program, words.split(), folder)
            seen.append((words, done, _look(folder)))
            shutil.rmtree(folder)
        assert seen[0] == seen[1]


def test_into_a_container(engine: Engine, box: Callable[[str], bytes], tmp_path: Path) -> None:
    """Files, trees, links, owners: the container looks the same after both."""
    _fill(tmp_path)
    box(RESET)
    for words in IN if _is_served(engine) else IN[:1]:
        seen = []
        for program in (DOCKER, HYPER):
            done = _copy(engine, program, words.split(), tmp_path)
            seen.append((words, done, box(LOOK + RESET)))
        assert seen[0] == seen[1]


def test_archives_as_streams(engine: Engine, box: Callable[[str], bytes], tmp_path: Path) -> None:
    """``-`` on either side: 30 MB come back as they went."""
    if not _is_served(engine):
        return
    data = os.urandom(1 << 20) * 30
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        entry = tarfile.TarInfo("big")
        entry.size = len(data)
        tar.addfile(entry, BytesIO(data))
    box("rm -rf /w; mkdir /w")
    assert call(engine, HYPER, "cp", "-", "box:/w", stdin=buffer.getvalue()).returncode == 0
    back = call(engine, HYPER, "cp", "box:/w/big", "-").stdout
    with tarfile.open(fileobj=BytesIO(back)) as tar:
        content = tar.extractfile("big")
        assert content is not None
        assert content.read() == data
    target = tmp_path / "big"
    assert call(engine, HYPER, "cp", "box:/w/big", str(target)).returncode == 0
    assert target.read_bytes() == data


@pytest.mark.skipif(os.geteuid() != 0, reason="others make neither")
def test_no_rights_on_this_host_come_from_a_container(
    engine: Engine, box: Callable[[str], bytes], tmp_path: Path
) -> None:
    """A set-user-ID file and a device node: the one comes without the bit, the other not; both are named."""
    box(
        "mkdir /r && cp /bin/busybox /r/su && chmod 4755 /r/su && mknod /r/null c 1 3 && echo x >/r/x"
    )
    done = call(engine, HYPER, "cp", "box:/r", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert b"device nodes left out (1): r/null\n" in done.stderr
    assert b"set-user-ID and set-group-ID bits dropped (1): r/su\n" in done.stderr
    assert (tmp_path / "r/su").stat().st_mode & 0o7777 == 0o755
    assert sorted(item.name for item in (tmp_path / "r").iterdir()) == ["su", "x"]

"""Images to test with, and two ways to look at what they contain."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import stat
import subprocess
import sys
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tools.imagebuilder import (
    BUSYBOX_CONFIG,
    Image,
    Item,
    busybox,
    busybox_items,
    directory,
    file,
    hardlink,
    image,
    opaque,
    symlink,
    whiteout,
)

__all__ = ["BUSYBOX_CONFIG", "Image", "busybox", "busybox_items"]

Tree = dict[str, list[Any]]

FULL_CONFIG: dict[str, Any] = {
    "User": "app:staff",
    "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
    "Env": ["PATH=/usr/bin:/bin", "GREETING=hello world"],
    "Entrypoint": ["/bin/sh", "-c"],
    "Cmd": ["echo $GREETING"],
    "Volumes": {"/data": {}},
    "WorkingDir": "/home/app",
    "Labels": {"org.example.key": "value"},
    "StopSignal": "SIGUSR1",
    "StopTimeout": 3,
    "Healthcheck": {
        "Test": ["CMD", "true"],
        "Interval": 1_000_000_000,
        "Timeout": 2_000_000_000,
        "StartPeriod": 3_000_000_000,
        "Retries": 4,
    },
    "Shell": ["/bin/sh", "-c"],
    "OnBuild": None,
}


def full_config() -> Image:
    """busybox with every configuration key that is honoured."""
    return image([busybox_items(), [directory("data", uid=1000, gid=50)]], FULL_CONFIG)


def deep(count: int) -> Image:
    """busybox with ``count`` layers; each adds a file, and most take away one of the layer before."""
    layers: list[list[Item]] = [busybox_items()]
    for number in range(1, count):
        items = [
            directory("stack"),
            file(f"stack/{number}", f"layer {number}\n", mode=0o600 + number % 64),
            file("stack/last", f"{number}\n"),
        ]
        if number % 3 == 2:
            items.append(whiteout(f"stack/{number - 1}"))
        layers.append(items)
    return image(layers, BUSYBOX_CONFIG)


def changes(*, runnable: bool = False) -> Image:
    """Layers with every way to hide, replace and link; ``runnable``: busybox on top."""
    lower = [
        directory("a"),
        file("a/kept", "kept"),
        file("a/gone", "gone"),
        directory("a/sub"),
        file("a/sub/x", "x"),
        directory("o", mode=0o700, uid=7),
        file("o/old", "old"),
        directory("re"),
        file("re/below", "hidden by replacement"),
        file("file-to-dir", "was a file"),
        directory("dir-to-file"),
        file("dir-to-file/in", "in"),
        file("one", "same inode", uid=1000, gid=50, mode=0o4755),
        hardlink("two", "one"),
        hardlink("a/three", "one"),
        symlink("link", "a/kept"),
        symlink("dangling", "/nowhere"),
        Item("null", type=b"3", mode=0o666, major=1, minor=3),
        Item("pipe", type=b"6", mode=0o600),
        file("long/" + "n" * 200, "long name"),
        file("caps", "ping", pax={"SCHILY.xattr.user.note": "hello"}),
    ]
    middle = [
        whiteout("a/gone"),
        whiteout("a/sub"),
        opaque("o"),
        directory("o", mode=0o711, uid=8),
        file("o/new", "new"),
        whiteout("re"),
        directory("re"),
        file("re/above", "above"),
        directory("file-to-dir"),
        file("file-to-dir/now", "a dir"),
        file("dir-to-file", "now a file"),
        whiteout("one"),
        file("twice", "first"),
        file("twice", "second"),
    ]
    upper = [
        directory("a"),
        file("a/gone", "back again"),
        directory("o"),
        file("o/newer", "newer"),
        opaque("o"),
        file("two", "copied up"),
        whiteout("link"),
        hardlink("a/four", "two"),
    ]
    if runnable:
        return image([lower, middle, upper, busybox_items()], BUSYBOX_CONFIG)
    return image([lower, middle, upper])


def big(megabytes: int = 300, files: int = 20_000) -> Image:
    """A large image of two layers for benchmarks: half compressible, reproducible content."""
    size = megabytes * 1_000_000 // files
    layers: list[list[Item]] = []
    for half in range(2):
        items = [directory(f"big{half}")]
        for number in range(files // 2):
            if number % 100 == 0:
                items.append(directory(f"big{half}/{number // 100}"))
            seed = hashlib.shake_128(f"{half}/{number}".encode())
            data = seed.digest(size // 2) + b"compressible text \n" * (size // 38)
            items.append(file(f"big{half}/{number // 100}/{number}", data))
        layers.append(items)
    return image(layers, compression="gzip")


def unpack_plainly(tars: Iterable[bytes], root: Path) -> None:
    """The reference: GNU tar unpacks layer after layer as root, whiteouts are applied by hand before."""
    for data in tars:
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            for member in archive:
                _make_way(root, member)
        subprocess.run(
            ["tar", "-x", "-p", "--numeric-owner", "--xattrs", "--xattrs-include=*",
             "--delay-directory-restore", "--exclude=.wh.*", "-C", str(root)],
            input=data, check=True, stderr=subprocess.DEVNULL,
        )  # fmt: skip


def _make_way(root: Path, member: tarfile.TarInfo) -> None:
    """Apply a whiteout; remove what is of another kind than its successor."""
    path = root / member.name
    if path.name == ".wh..wh..opq":
        _empty(path.parent)
    elif path.name.startswith(".wh."):
        _remove(path.parent / path.name.removeprefix(".wh."))
    elif not (member.isdir() and path.is_dir() and not path.is_symlink()):
        _remove(path)


def _empty(folder: Path) -> None:
    for child in folder.iterdir() if folder.is_dir() else ():
        _remove(child)


def _remove(path: Path) -> None:
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
    else:
        _empty(path)
        path.rmdir()


def tree_of(root: Path) -> Tree:
    """Everything under ``root``: type, mode, owner, time, and content, target, device or link count."""
    tree: Tree = {}
    for folder, folders, files in os.walk(root):
        for name in folders + files:
            path = Path(folder, name)
            tree[str(path.relative_to(root))] = _describe(path)
    return dict(sorted(tree.items()))


def _describe(path: Path) -> list[Any]:
    status = path.lstat()
    what: Any = None
    if stat.S_ISREG(status.st_mode):
        what = [hashlib.sha256(path.read_bytes()).hexdigest(), status.st_nlink]
    elif stat.S_ISLNK(status.st_mode):
        what = str(path.readlink())
    elif stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
        what = status.st_rdev
    mode = 0o120777 if stat.S_ISLNK(status.st_mode) else status.st_mode
    attributes = {
        name: os.getxattr(path, name, follow_symlinks=False).hex()
        for name in _attribute_names(path)
        if not name.startswith("trusted.overlay.")
    }
    mtime = 0 if stat.S_ISDIR(status.st_mode) else int(status.st_mtime)
    return [mode, status.st_uid, status.st_gid, mtime, what, attributes]


def _attribute_names(path: Path) -> list[str]:
    try:
        return os.listxattr(path, follow_symlinks=False)
    except OSError as error:  # a squashfs without any attribute has no table of them
        if error.errno != errno.ENOTSUP:
            raise
        return []


def mounted_tree(disks: list[Path]) -> Tree:
    """What a guest would see: the disks stacked by overlayfs, mounted in a mount namespace of its own."""
    done = subprocess.run(
        [
            "unshare",
            "--mount",
            "--propagation",
            "private",
            sys.executable,
            __file__,
            *map(str, disks),
        ],
        check=True,
        capture_output=True,
        cwd=Path(__file__).parents[2],
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": os.environ["PATH"]},
    )
    tree: Tree = json.loads(done.stdout)
    return tree


def _mount_and_describe(disks: list[str]) -> None:
    """In our own mount namespace: everything unmounts itself when this process ends."""
    base = Path("/run")
    subprocess.run(["mount", "-t", "tmpfs", "none", str(base)], check=True)
    lower = []
    for number, disk in enumerate(disks):
        (base / str(number)).mkdir()
        target = str(base / str(number))
        subprocess.run(["mount", "-t", "squashfs", "-o", "ro,loop", disk, target], check=True)
        lower.append(target)
    for name in ("upper", "work", "all"):
        (base / name).mkdir()
    options = f"lowerdir={':'.join(reversed(lower))},upperdir=/run/upper,workdir=/run/work"
    subprocess.run(["mount", "-t", "overlay", "none", "-o", options, "/run/all"], check=True)
    print(json.dumps(tree_of(base / "all")))


if __name__ == "__main__":
    _mount_and_describe(sys.argv[1:])

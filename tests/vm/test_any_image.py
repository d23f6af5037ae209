"""One image by four ways: from a registry, Docker, an OCI directory and as an ACI of its tree it is the same.

Each comes to a daemon with an empty store: no layer that was converted for one of them helps another. Each layer has
entries of the directories that it changes: what others are is up to who unpacks it (Docker's overlay2 and its vfs
differ). The root itself is left out.
"""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tools import imagebuilder
from tools.imagebuilder import (
    Image,
    Item,
    directory,
    file,
    hardlink,
    opaque,
    symlink,
    whiteout,
)

from tests.support import aci
from tests.support.command import HYPER, call
from tests.support.dockerd import Engine, dockerd, why_not
from tests.support.hyperd import Hyperd, hyperd
from tests.support.images import unpack_plainly
from tests.support.registry import RealRegistry

pytestmark = [pytest.mark.vm, pytest.mark.root]

#: Walks its own root, with busybox: kind and mode, owners, time, device, first name of the inode; what links say; what
#: files hold. Last comes the digest of all that. Left out is what every machine gets of its own, the root among it.
WALK = r"""#!/bin/sh
export LC_ALL=C
cd /
walk() { find . -mindepth 1 \( -path ./proc -o -path ./sys -o -path ./dev -o -path ./etc/hosts -o -path ./etc/hostname \
  -o -path ./etc/resolv.conf \) -prune -o "$@"; }
{
  walk -exec stat -c '%n|%d:%i|%f %u %g %Y %t,%T' {} + | sort | awk -F'|' '
    { if (!($2 in first)) first[$2] = $1; print $1, $3, first[$2] }'
  walk -type l -exec stat -c %N {} + | sort
  walk -type f -exec sha256sum {} + | sort
} | tee /dev/stderr | sha256sum
"""
PROGRAM = "/usr/bin/walk"
LONG = "a name of 255 bytes ".ljust(255, "n")
DEEP = [f"deep/{'/'.join('d' * 100 for _ in range(count))}" for count in range(1, 5)]

Files = dict[str, tuple[object, ...]]


def lower() -> list[Item]:
    """What the layers above hide, replace and leave."""
    return [
        directory("a", mtime=1),
        file("a/kept", "kept", mtime=0),
        file("a/gone", "gone"),
        directory("a/sub"),
        file("a/sub/x", "x"),
        directory("o", mode=0o700, uid=7),
        file("o/old", "old"),
        file("to-folder", "was a file"),
        directory("to-file"),
        file("to-file/in", "in"),
        file("one", "same inode", uid=1000, gid=50, mode=0o4755, mtime=1_000_000_000),
        hardlink("two", "one"),
        hardlink("a/three", "one"),
        symlink("link", "a/kept", uid=1, gid=2, mtime=1_234_567_890),
        symlink("dangling", "/nowhere/" + "t" * 200),
        symlink("up", "../../../etc/passwd"),
        Item("pipe", type=tarfile.FIFOTYPE, mode=0o600, uid=5, gid=6),
        directory("etc"),
        file("etc/hostname", ""),
        file("etc/resolv.conf", ""),
    ]


def middle() -> list[Item]:
    """Whiteouts, an opaque directory, kinds that change."""
    return [
        directory("a", mtime=2),
        whiteout("a/gone"),
        whiteout("a/sub"),
        directory("o", mode=0o711, uid=8),
        opaque("o"),
        file("o/new", "new"),
        directory("to-folder", mode=0o2775, gid=50),
        file("to-folder/now", "a folder"),
        file("to-file", "now a file"),
        whiteout("up"),
    ]


def upper() -> list[Item]:
    """Odd owners, modes, times and names; what comes back."""
    return [
        directory("a", mode=0o1777, uid=2_000_000_000, gid=4_000_000_000, mtime=3),
        file("a/gone", "back again"),
        directory("odd"),
        file("odd/empty", ""),
        file("odd/nothing allowed", "", mode=0),
        file("odd/all", "x", mode=0o7777, uid=65_534, gid=65_535),
        file("odd/sgid", "x", mode=0o2711, gid=33),
        file("odd/future", "x", mtime=4_000_000_000),
        file("odd/noted", "x", pax={"SCHILY.xattr.user.note": "hello"}),
        file("odd/zeros", b"\0" * 300_000 + b"x"),
        file("odd/Grüße", "UTF-8"),
        file("odd/-n", "an option?"),
        directory("long"),
        file(f"long/{LONG}", "long"),
        directory("deep"),
        *(directory(name) for name in DEEP),
        file(f"{DEEP[-1]}/{'f' * 100}", "deep"),
        symlink("odd/link", "t" * 1000),
        directory("usr"),
        directory("usr/bin"),
        file(PROGRAM[1:], WALK, mode=0o755),
    ]


def awkward() -> Image:
    """The image: busybox, and layers with what conversions get wrong."""
    layers = [imagebuilder.busybox_items(), lower(), middle(), upper()]
    return imagebuilder.image(layers, {**imagebuilder.BUSYBOX_CONFIG, "Entrypoint": [PROGRAM]})


def app_image(image: Image, folder: Path) -> Path:
    """An ACI of the image's tree, as GNU tar unpacks its layers and packs them again."""
    root = folder / "rootfs"
    root.mkdir()
    unpack_plainly(image.tars, root)
    env = [{"name": "PATH", "value": "/usr/bin:/bin"}]
    described = aci.manifest("example.com/any", app={"exec": [PROGRAM], "environment": env})
    (folder / "manifest").write_text(json.dumps(described))
    packed = folder / "any.aci"
    subprocess.run(
        ["tar", "-c", "-z", "--format=posix", "--numeric-owner", "--xattrs", "--sparse", "-f", packed,
         "manifest", "rootfs"],
        cwd=folder, check=True,
    )  # fmt: skip
    return packed


def files_of(exported: bytes) -> Files:
    """What a tar says of each name, in a form in which neither its order nor its dialect counts.

    Kind, mode, owners, time in whole seconds, target of a symbolic link, extended attributes, content, and the first in
    the alphabet of the names that are one file.
    """
    found: Files = {}
    names: dict[str, list[str]] = {}
    with tarfile.open(fileobj=io.BytesIO(exported)) as archive:
        for member in archive:
            if member.islnk():
                names[member.linkname].append(member.name)
                continue
            names[member.name] = [member.name]
            content = archive.extractfile(member) if member.isreg() else None
            found[member.name] = (
                member.type,
                # Linux knows no other mode of a symbolic link.
                0o777 if member.issym() else member.mode,
                member.uid,
                member.gid,
                int(member.mtime),
                member.linkname,
                sorted((k, v) for k, v in member.pax_headers.items() if "xattr" in k),
                hashlib.sha256(content.read()).hexdigest() if content else "",
            )
    return {name: (*found[first], min(group)) for first, group in names.items() for name in group}


@dataclass(frozen=True)
class Seen:
    """What came of one way. ``walked``: what the program in the machine printed, line by line, and last its digest."""

    origin: str
    image_id: str
    files: Files
    walked: list[str]

    @property
    def digest(self) -> str:
        """Of the file system, as it is exported."""
        return hashlib.sha256(repr(sorted(self.files.items())).encode()).hexdigest()


def hyper(daemon: Hyperd, *words: str) -> subprocess.CompletedProcess[bytes]:
    """A command that succeeds."""
    done = call(Engine(daemon.host, ""), HYPER, *words)
    assert done.returncode == 0, done.stderr.decode()
    return done


def seen(reference: str, *options: str) -> Seen:
    """The image comes to a new daemon by this name; its container is exported, and its program runs."""
    with hyperd(*options) as daemon:
        container = hyper(daemon, "create", "--quiet", reference).stdout.decode().strip()
        image = daemon.api.get(f"/containers/{container}/json")["Image"]
        status, exported = daemon.api.raw("GET", f"/containers/{container}/export")
        assert status == 200, exported
        done = hyper(daemon, "run", "--rm", "--network", "none", image)
        walked = [*done.stderr.decode().splitlines(), done.stdout.decode().strip()]
        origin = daemon.api.get(f"/images/{image}/json")["Hyper"]["Origin"]["From"]
    return Seen(origin, image, files_of(exported), walked)


@pytest.fixture(scope="module")
def ways(
    real_registry: RealRegistry, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Seen]]:
    """The image by each way, by what the way is called."""
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    image, folder = awkward(), tmp_path_factory.mktemp("any")
    reference = real_registry.push(image, "any:1")
    imagebuilder.write_layout(folder / "layout", image.manifest, image.blobs)
    with dockerd() as docker:
        subprocess.run(["docker", "-H", docker.host, "pull", "-q", reference], check=True)
        by_docker = seen(reference, "--local-engines", docker.host)
    yield {
        "a registry": seen(reference),
        "Docker": by_docker,
        "an OCI directory": seen(f"oci:{folder}/layout:image"),
        "an ACI": seen(str(app_image(image, folder))),
    }


def differences(ways: dict[str, Seen], entries: Callable[[Seen], dict[str, object]]) -> list[str]:
    """A line for each thing that is not the same by all ways, with what it is by each."""
    all_ways = {way: entries(one) for way, one in ways.items()}
    names = sorted({name for one in all_ways.values() for name in one})
    by_name = {name: {way: one.get(name) for way, one in all_ways.items()} for name in names}
    return [
        f"{name}: " + "; ".join(f"{way}: {value}" for way, value in values.items())
        for name, values in by_name.items()
        if any(value != values["a registry"] for value in values.values())
    ]


def test_image_by_each_way_has_one_id(ways: dict[str, Seen]) -> None:
    """No daemon took another way than the one that is tested; what are Docker's images have one id."""
    assert {way: one.origin for way, one in ways.items()} == {
        "a registry": "registry",
        "Docker": "docker",
        "an OCI directory": "archive",
        "an ACI": "aci",
    }
    ids = {one.image_id for way, one in ways.items() if way != "an ACI"}
    assert ids == {awkward().id}


def test_file_system_of_an_image_by_each_way_is_the_same(ways: dict[str, Seen]) -> None:
    """By its digest; when it differs, each file is named that does."""
    found = differences(ways, lambda one: dict(one.files))
    assert not found, "\n".join(found)
    assert len({one.digest for one in ways.values()}) == 1


def test_file_system_seen_in_the_machine_is_the_images(ways: dict[str, Seen]) -> None:
    """It walks its own root, through overlayfs, and prints what it finds and the digest of that."""
    found = differences(ways, lambda one: dict.fromkeys(one.walked, True))
    assert not found, "\n".join(found)
    (digest,) = {one.walked[-1] for one in ways.values()}
    listed = "".join(f"{line}\n" for line in ways["a registry"].walked[:-1])
    assert digest == f"{hashlib.sha256(listed.encode()).hexdigest()}  -"

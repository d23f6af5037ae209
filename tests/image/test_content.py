"""What a guest sees is what an independent, simple implementation unpacks."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tools.imagebuilder import BUSYBOX_CONFIG, busybox_items, directory, file, image, opaque

from hyper.image.images import Images
from tests.support.images import (
    Image,
    Tree,
    busybox,
    changes,
    deep,
    full_config,
    mounted_tree,
    tree_of,
    unpack_plainly,
)
from tests.support.registry import RealRegistry

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounts squashfs and overlayfs"),
]


async def _compare(
    images: Images, real: RealRegistry, one: Image, tmp_path: Path, disks: int
) -> None:
    record = await images.pull(real.push(one, f"content:{one.id[7:19]}"))
    paths = await images.disks(record.id, max_disks=disks)
    assert len(paths) <= disks
    plain = tmp_path / "plain"
    plain.mkdir(exist_ok=True)
    unpack_plainly(one.tars, plain)
    seen, expected = mounted_tree(paths), tree_of(plain)
    if len(paths) > 1:
        _forget_link_counts(seen, expected)  # overlayfs counts hidden links too
    assert seen.keys() == expected.keys()
    assert {
        path: (value, expected[path]) for path, value in seen.items() if value != expected[path]
    } == {}


def _forget_link_counts(*trees: Tree) -> None:
    for tree in trees:
        for entry in tree.values():
            if isinstance(entry[4], list):
                entry[4] = entry[4][0]


@pytest.mark.parametrize("make", [busybox, changes, full_config])
async def test_same_as_gnu_tar(
    images: Images, real: RealRegistry, tmp_path: Path, make: object
) -> None:
    assert callable(make)
    await _compare(images, real, make(), tmp_path, 8)


@pytest.mark.parametrize("disks", [1, 2])
async def test_merged_layers_are_the_same(
    images: Images, real: RealRegistry, tmp_path: Path, disks: int
) -> None:
    await _compare(images, real, changes(), tmp_path, disks)


@pytest.mark.parametrize("disks", [8, 16])
async def test_a_hundred_layers(
    images: Images, real: RealRegistry, tmp_path: Path, disks: int
) -> None:
    await _compare(images, real, deep(100), tmp_path, disks)


async def test_opaque_root_hides_all_below(
    images: Images, real: RealRegistry, tmp_path: Path
) -> None:
    one = image(
        [busybox_items(), [opaque(""), directory("only"), file("only/this", "x")]], BUSYBOX_CONFIG
    )
    await _compare(images, real, one, tmp_path, 8)


@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
async def test_compressions(
    images: Images, real: RealRegistry, tmp_path: Path, compression: str
) -> None:
    await _compare(images, real, image([busybox_items()], compression=compression), tmp_path, 8)


async def test_repeated_and_empty_layers_take_no_disk(
    images: Images, real: RealRegistry, tmp_path: Path
) -> None:
    again = [directory("d"), file("d/f", "x")]
    other = [directory("d"), file("d/f", "y"), file("d/g", "z")]
    one = image([again, [], other, [], again])
    record = await images.pull(real.push(one, "repeated:latest"))
    assert len(record.layers) == 5
    assert len(await images.disks(record.id, max_disks=8)) == 2
    await _compare(images, real, one, tmp_path, 8)

"""Images made on this host: from layers that are there and one that comes as a tar."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from hashlib import sha256

import pytest
from tools.imagebuilder import compress, digest, file, image, tar

from hyper.errors import InvalidRequest
from hyper.image import blobs
from hyper.image.assemble import Recipe
from hyper.image.images import Images
from hyper.image.reference import parse_tag
from tests.support.registry import RealRegistry


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 1000):
        yield data[start : start + 1000]


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
async def test_a_layer_on_top_of_an_image(
    images: Images, real: RealRegistry, compression: str
) -> None:
    """The configuration is kept but for its layers; the id is its digest; the new layer's blob is kept as it came."""
    base = await images.pull(real.push(image([[file("a", "aaaa")]]), "base:latest"))
    top = tar([file("b", "bb")])
    packed = compress(top, compression)
    config = {**json.loads(base.raw_config), "author": "me"}
    recipe = Recipe(config, base.layers, _pieces(packed), base.id, parse_tag("made", ""))
    made = await images.assemble(recipe)
    assert made.layers == (*base.layers, digest(top))
    assert made.id == f"sha256:{sha256(made.raw_config).hexdigest()}"
    assert (made.repo_tags, made.config.author, made.size) == (("made:latest",), "me", 6)
    (blob,) = blobs.of_layer(images._store, digest(top))
    assert blobs.path(images._store, blob.digest).read_bytes() == packed
    assert blob.compression == compression.replace("none", "")
    await images.remove("made")
    assert blobs.of_layer(images._store, digest(top)) == []
    assert not blobs.path(images._store, blob.digest).exists()


async def test_the_same_again_is_the_same_image(images: Images) -> None:
    """Same configuration and tar: one image, which gets the other name too."""
    config = {"architecture": "amd64", "os": "linux", "config": {"Cmd": ["x"]}}
    data = tar([file("a", "a")])
    one = await images.assemble(Recipe(config, tar=_pieces(data), name=parse_tag("one", "")))
    two = await images.assemble(Recipe(config, tar=_pieces(data), name=parse_tag("two", "")))
    assert one.id == two.id
    assert two.repo_tags == ("one:latest", "two:latest")
    bare = await images.assemble(Recipe(config, one.layers))
    assert bare.id == one.id


@pytest.mark.parametrize(
    ("data", "config"),
    [
        (b"no tar" * 200, {}),
        (tar([file("../x", "a")]), {}),
        (tar([file("a", "a")]), {"architecture": 7}),
        (tar([file("a", "a")]), {"author": "x" * 5_000_000}),
    ],
)
async def test_nothing_is_left_of_a_bad_one(
    images: Images, data: bytes, config: dict[str, object]
) -> None:
    """A tar that is none, one that climbs out, a configuration nobody could read back."""
    with pytest.raises(InvalidRequest):
        await images.assemble(Recipe(config, tar=_pieces(data)))
    assert images.list() == []
    for folder in ("layers", "blobs"):
        assert list((images._root / folder).iterdir()) == []

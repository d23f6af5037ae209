"""Images of a Docker that keeps them in containerd's image store (the default of Docker 29).

Its id of an image is the digest of a manifest or of an index, and what it sends is an OCI layout with a manifest.json
beside it. The engines are fakes after moby's and containerd's source: Debian's Docker is older.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tools import imagebuilder
from tools.imagebuilder import Image, digest, file

from hyper.image import query
from hyper.image.images import Images
from hyper.image.registry import VerificationFailed
from hyper.types.oci import OCI_MANIFEST
from tests.support import containerd
from tests.support.image_store import opened
from tests.support.local_engine import FakeEngine, Reply, saved_by_containerd
from tests.support.registry import RealRegistry

BASE = [file("base", "base" * 1000)]
IMAGE = imagebuilder.image([BASE, [file("top", "top")]], {"Cmd": ["x"]})
OTHER = imagebuilder.image([BASE, [file("other", "other")]])
ARM = imagebuilder.image([[file("arm", "arm")]], architecture="arm64")
INDEX, ALL = imagebuilder.index({"linux/arm64": ARM, "linux/amd64": IMAGE})


def artifact(subject: Image) -> tuple[bytes, dict[str, bytes]]:
    """A signature of an image, as OCI 1.1 has it: a manifest that is no image's."""
    empty, payload = b"{}", b'{"critical":{}}'
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "config": imagebuilder._descriptor("application/vnd.oci.empty.v1+json", empty),
        "layers": [imagebuilder._descriptor("application/json", payload)],
        "subject": imagebuilder._descriptor(OCI_MANIFEST, subject.manifest),
    }
    data = json.dumps(manifest).encode()
    return data, {digest(one): one for one in (empty, payload, data)}


def engine_with(top: bytes, archive: bytes, image: Image = IMAGE) -> FakeEngine:
    """Docker's answers of an image under two tags; it makes a digest of each repository's name with the id."""
    engine = FakeEngine(
        image,
        tags=("app:1", "app:2"),
        digests=(f"app@{digest(top)}",),
        server="Docker/29.0.0 (linux)",
    )
    engine.about["Id"] = digest(top)
    engine.replies["get"] = Reply(body=archive)
    return engine


def manifest_of(images: Images, image_id: str) -> bytes:
    """The manifest that is kept of an image."""
    return query.manifest(images._store, image_id)


@pytest.mark.parametrize("what", ["a manifest", "an index", "an index with one platform present"])
async def test_an_image_is_taken(tmp_path: Path, what: str) -> None:
    """Its id here is its configuration's, as everywhere; the engine's is its digest, and its manifest is kept. By
    another name it is not sent again. Attestations and signatures in the archive are no images."""
    signature, blobs = artifact(IMAGE)
    present = {"a manifest": IMAGE.blobs, "an index": ALL}.get(what, IMAGE.blobs)
    top = IMAGE.manifest if what == "a manifest" else INDEX
    archive = saved_by_containerd(IMAGE, top, present | blobs, about=(signature,))
    engine = engine_with(top, archive)
    async with engine.serving(tmp_path / "s") as where, opened(tmp_path, where) as images:
        record = await images.bring("app:1", elsewhere=False)
        assert (record.id, record.repo_tags) == (IMAGE.id, ("app:1",))
        assert record.repo_digests == (f"app@{digest(top)}",)
        assert record.raw_config == IMAGE.config
        assert manifest_of(images, record.id) == IMAGE.manifest
        assert len(await images.disks(record.id, max_disks=9)) == 2
        assert (await images.bring("app:2", elsewhere=False)).repo_tags == ("app:1", "app:2")
        assert len(engine.asked("get")) == 1


async def test_by_its_id(tmp_path: Path) -> None:
    """The engine's id finds it, whole or not; the second time nothing is sent, and no name is taken but the digest."""
    engine = engine_with(INDEX, saved_by_containerd(IMAGE, INDEX, IMAGE.blobs))
    async with engine.serving(tmp_path / "s") as where, opened(tmp_path, where) as images:
        for name in (digest(INDEX), digest(INDEX)[7:19]):
            record = await images.bring(name, elsewhere=False)
            assert (record.id, record.repo_tags) == (IMAGE.id, ())
            assert record.repo_digests == (f"app@{digest(INDEX)}",)
        assert len(engine.asked("get")) == 1


async def test_what_a_registry_gave_is_not_sent(tmp_path: Path, real: RealRegistry) -> None:
    """The digest that the registry proved is the engine's id, unless what is here is for another machine."""
    name = real.push_raw(INDEX, ALL, "both:latest")
    repository = name.removesuffix(":latest")
    engine = engine_with(INDEX, saved_by_containerd(IMAGE, INDEX, ALL))
    engine.about |= {
        "RepoTags": [f"{repository}:mine"],
        "RepoDigests": [f"{repository}@{digest(INDEX)}"],
    }
    async with engine.serving(tmp_path / "s") as where:
        for platform, sent in (("linux/amd64", 0), ("linux/arm64", 1)):
            async with opened(tmp_path / platform[6:], where) as images:
                await images.pull(name, platform=platform)
                record = await images.bring(f"{repository}:mine", elsewhere=False)
                assert record.id == IMAGE.id
                assert len(engine.asked("get")) == sent


def relisted(image: Image, **changes: Any) -> bytes:
    """A manifest like that of ``image``."""
    return json.dumps({**json.loads(image.manifest), **changes}).encode()


LESS = relisted(OTHER, config=json.loads(IMAGE.manifest)["config"])
#: What is sent: (the id, the archive, the reason that is told).
BAD: dict[str, tuple[bytes, bytes, str]] = {
    "the index is not sent": (b"{}", saved_by_containerd(IMAGE, INDEX, ALL), "was asked for"),
    "it lists others": (
        imagebuilder.index({"linux/amd64": OTHER})[0],
        saved_by_containerd(IMAGE, imagebuilder.index({"linux/amd64": OTHER})[0], IMAGE.blobs),
        "was asked for"),
    "it is another's manifest": (
        OTHER.manifest, saved_by_containerd(IMAGE, OTHER.manifest, IMAGE.blobs | OTHER.blobs), "was asked for"),
    "the manifest has other layers": (
        LESS, saved_by_containerd(IMAGE, LESS, IMAGE.blobs | OTHER.blobs), "was asked for"),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
async def test_another_image_is_refused(tmp_path: Path, what: str) -> None:
    """The id has to lead to the image that is sent, and all of its layers have to be the manifest's."""
    top, archive, why = BAD[what]
    engine = engine_with(top, archive)
    async with engine.serving(tmp_path / "s") as where, opened(tmp_path, where) as images:
        with pytest.raises(VerificationFailed, match=why):
            await images.bring("app:1", elsewhere=False)
        assert images.list() == []


async def test_a_signature_in_an_archive_is_no_image(tmp_path: Path) -> None:
    """``docker save`` of such a Docker, loaded: one image with its manifest, whatever is said about it."""
    signature, blobs = artifact(IMAGE)
    data = saved_by_containerd(IMAGE, INDEX, IMAGE.blobs | blobs, about=(signature,))

    async def pieces() -> AsyncIterator[bytes]:
        yield data

    async with opened(tmp_path) as images:
        await images.load(pieces())
        (record,) = images.list()
        assert record.id == IMAGE.id
        assert manifest_of(images, IMAGE.id) == IMAGE.manifest


@pytest.mark.root
@pytest.mark.skipif(containerd.why_not() is not None, reason=str(containerd.why_not()))
async def test_what_containerd_writes(tmp_path: Path) -> None:
    """The same of an archive that a real containerd wrote: of an index, of which it exports one platform's image."""
    engine = engine_with(INDEX, containerd.exported(INDEX, ALL, "linux/amd64"))
    async with engine.serving(tmp_path / "s") as where, opened(tmp_path, where) as images:
        record = await images.bring("app:1", elsewhere=False)
        assert (record.id, record.repo_tags) == (IMAGE.id, ("app:1",))
        assert manifest_of(images, record.id) == IMAGE.manifest

"""Images of a real podman: its names, its digests, its archives, its errors."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tools import imagebuilder
from tools.imagebuilder import digest, file

from hyper.errors import NotFound, Unavailable
from hyper.image.local_engine import EnginePatience
from hyper.types.oci import DOCKER_MANIFEST
from tests.support.image_store import opened
from tests.support.local_engine import FakeEngine, Reply
from tests.support.podman import Podman, podman, why_not
from tests.support.registry import RealRegistry

pytestmark = [pytest.mark.root, pytest.mark.skipif(why_not() is not None, reason=str(why_not()))]

PATIENCE = EnginePatience()
BASE = [file("base", "base" * 1000)]
IMAGE = imagebuilder.image([BASE, [file("top", "top")]], {"Cmd": ["x"]})
ARM = imagebuilder.image([[file("arm", "arm")]], architecture="arm64")
INDEX, ALL = imagebuilder.index({"linux/arm64": ARM, "linux/amd64": IMAGE})


@pytest.fixture(scope="module")
def engine(real_registry: RealRegistry) -> Iterator[Podman]:
    """A podman whose Docker Hub is the tests' registry, with no image yet."""
    with podman(real_registry.host) as serving:
        yield serving


async def taken(engine: Podman, root: Path, name: str, **how: str) -> tuple[str, list[str]]:
    """The id of the image that comes from podman into an empty store, and its names there."""
    async with opened(root, engine.socket, patience=PATIENCE) as images:
        record = await images.bring(name, elsewhere=False, **how)
        origin = images.origin(record.id)
        assert origin is not None
        assert (origin.kind, origin.place) == ("podman", str(engine.socket))
        assert await images.disks(record.id, max_disks=9)
        return record.id, [*record.repo_tags, *record.repo_digests]


async def test_of_several_machines(
    engine: Podman, real_registry: RealRegistry, tmp_path: Path
) -> None:
    """An image of an index has two digests, both kept; a digest of another repository is no name of it, though podman
    gives the image for it; what it has under other tags is not sent twice."""
    real_registry.push_raw(INDEX, ALL, "library/pod-many:1")
    assert engine.run("pull", "-q", "pod-many:1").strip() == IMAGE.id.removeprefix("sha256:")
    engine.run("tag", "pod-many:1", "elsewhere.example/other:2")
    both = sorted(f"pod-many@{one}" for one in (digest(INDEX), IMAGE.digest))
    assert await taken(engine, tmp_path / "1", "pod-many:1") == (IMAGE.id, ["pod-many:1", *both])
    for number, name in enumerate(both):
        assert await taken(engine, tmp_path / f"d{number}", name) == (IMAGE.id, both)
    async with opened(tmp_path / "2", engine.socket, patience=PATIENCE) as images:
        with pytest.raises(NotFound, match=r"No such image: none@.*asked: podman \("):
            await images.bring(f"none@{IMAGE.digest}", elsewhere=False)
        await images.bring("pod-many:1", elsewhere=False)
        lines: list[str] = []
        other = await images.bring(
            "elsewhere.example/other:2",
            elsewhere=False,
            progress=lambda event: lines.append(event.status),
        )
        assert "Already here" in lines
        assert set(other.repo_tags) == {"elsewhere.example/other:2", "pod-many:1"}
        with pytest.raises(NotFound):
            await images.bring("pod-many:1", elsewhere=False, platform="linux/arm64")


async def test_what_was_made_there(engine: Podman, tmp_path: Path) -> None:
    """Its short names are localhost's: an image is found by the short name as by the whole one and by its id, and not
    by a name of Docker Hub's that is written in full."""
    (tmp_path / "Containerfile").write_text("FROM scratch\nADD base.tar /\nCMD x")
    (tmp_path / "base.tar").write_bytes(imagebuilder.tar(BASE))
    engine.run("build", "-q", "-t", "built", str(tmp_path))
    engine.run("import", "-q", str(tmp_path / "base.tar"), "mine/imported:1")
    identifier = engine.run("images", "-q", "--no-trunc", "built").strip()
    wanted = {
        "built": ["built:latest"],
        "localhost/built:latest": ["localhost/built:latest"],
        identifier: [],
        identifier[7:19]: [],
    }
    for number, (name, known) in enumerate(wanted.items()):
        found, names = await taken(engine, tmp_path / str(number), name)
        assert (found, [one for one in names if "@" not in one]) == (identifier, known)
    _, names = await taken(engine, tmp_path / "import", "mine/imported:1")
    assert names == ["mine/imported:1"]
    async with opened(tmp_path / "none", engine.socket, patience=PATIENCE) as images:
        for name in ("docker.io/library/built", "docker.io/built", "built:2", "library/built"):
            with pytest.raises(NotFound, match="No such image"):
                await images.bring(name, elsewhere=False)


async def test_docker_hub_s_before_its_own(
    engine: Podman, real_registry: RealRegistry, tmp_path: Path
) -> None:
    """What a short name means everywhere else counts first."""
    real_registry.push(IMAGE, "library/pod-both:latest")
    (tmp_path / "base.tar").write_bytes(imagebuilder.tar(BASE))
    engine.run("import", "-q", str(tmp_path / "base.tar"), "localhost/pod-both:latest")
    engine.run("pull", "-q", "docker.io/library/pod-both")
    assert (await taken(engine, tmp_path / "1", "pod-both"))[0] == IMAGE.id
    engine.run("rmi", "docker.io/library/pod-both")
    assert (await taken(engine, tmp_path / "2", "pod-both"))[0] != IMAGE.id


@pytest.mark.parametrize("kind", ["none", "gzip", "zstd", "repeated"])
async def test_kinds_of_images(
    engine: Podman, real_registry: RealRegistry, tmp_path: Path, kind: str
) -> None:
    """Same id and digest, whatever the layers are compressed with (podman can save no zstd in Docker's format), and
    where a layer comes twice."""
    compression = kind if kind in ("none", "zstd") else "gzip"
    layers = [BASE, [file(kind, kind)], *([BASE] if kind == "repeated" else [])]
    made = imagebuilder.image(layers, {"Env": ["A=1"]}, compression=compression)
    name = real_registry.push(made, f"pod-kind:{kind}")
    engine.run("pull", "-q", name)
    found, names = await taken(engine, tmp_path / "store", name)
    assert (found, names) == (made.id, [name, f"{name.rpartition(':')[0]}@{made.digest}"])


async def test_docker_s_manifest(
    engine: Podman, real_registry: RealRegistry, tmp_path: Path
) -> None:
    """The same with Docker's media types, which podman keeps."""
    made = imagebuilder.image([BASE, [file("docker", "docker")]])
    name = real_registry.push(made, "pod-oci:1")
    other = f"{real_registry.host}/pod-docker:1"
    subprocess.run(
        ["skopeo", "--insecure-policy", "copy", "--quiet", "--format", "v2s2", "--src-tls-verify=false",
         "--dest-tls-verify=false", f"docker://{name}", f"docker://{other}"],
        check=True,
    )  # fmt: skip
    engine.run("pull", "-q", other)
    assert engine.run("image", "inspect", "--format", "{{.ManifestType}}", other).strip() == (
        DOCKER_MANIFEST
    )
    assert (await taken(engine, tmp_path / "store", other))[0] == made.id


async def test_what_it_cannot_save(tmp_path: Path) -> None:
    """A podman that fails in both formats is told of with its second answer; a Docker that fails is asked once."""
    for server, text in (("Libpod/4.3.1 (linux)", "second"), ("Docker/29.0.0 (linux)", "first")):
        engine = FakeEngine(IMAGE, tags=("app:1",), server=server)
        engine.replies |= {
            "get": Reply(500, b'{"message":"first"}'),
            "get?format=oci-archive": Reply(500, b'{"message":"second"}'),
        }
        async with (
            engine.serving(tmp_path / "s") as where,
            opened(tmp_path / text, where) as images,
        ):
            with pytest.raises(Unavailable, match=f"answers 500: {text}"):
                await images.bring("app:1", elsewhere=False)

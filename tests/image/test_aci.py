"""App Container Images in the store: made by tar, found on a server of their own, signed by gpg."""

from __future__ import annotations

import asyncio
import io
import json
import os
import random
import struct
import subprocess
import sys
import tarfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from tools.imagebuilder import Item, directory, file, hardlink, image, symlink, tar

from hyper.errors import Forbidden, HyperError, InvalidRequest, NotFound, Unavailable
from hyper.image.assemble import Recipe
from hyper.image.images import Images
from hyper.image.record import ImageRecord, PullEvent
from hyper.image.registry import VerificationFailed
from hyper.image.squash import Bounds
from tests.support import aci
from tests.support.image_store import SHORT
from tests.support.images import Tree, changes, mounted_tree, tree_of, unpack_plainly
from tests.support.registry import RealRegistry

FILES = [directory("etc"), file("etc/a", "aaaa", mode=0o640, uid=5, gid=6), symlink("l", "etc/a")]


@pytest.fixture(scope="module")
def signer() -> Iterator[aci.Signer]:
    """A key to trust."""
    with aci.Signer() as made:
        yield made


@pytest.fixture(scope="module")
def served() -> Iterator[aci.Site]:
    """A server to find images on."""
    with aci.site() as running:
        yield running


@pytest.fixture
def site(served: aci.Site, tmp_path: Path) -> aci.Site:
    """The same, empty; the store of `images` knows its authority."""
    served.files.clear()
    served.asked.clear()
    aci.trust_site(tmp_path / "certs.d", served)
    return served


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 70_000):
        yield data[start : start + 70_000]


async def add(
    images: Images, data: bytes, signature: bytes | None = None, told: list[str] | None = None
) -> ImageRecord:
    """The image of an archive, added."""

    def progress(event: PullEvent) -> None:
        if told is not None:
            told.append(event.status)

    return await images.apps.add(_pieces(data), signature=signature, progress=progress)


async def discover(images: Images, name: str) -> ImageRecord:
    return await images.apps.fetch_name(name, progress=lambda _: None)


async def fetch(images: Images, url: str) -> ImageRecord:
    return await images.apps.fetch_url(url, progress=lambda _: None)


async def tree(images: Images, record: ImageRecord) -> Tree:
    """What a guest would see of an image."""
    return mounted_tree(await images.disks(record.id, max_disks=8))


def names(found: Tree) -> list[str]:
    return sorted(name for name in found if name not in ("", "."))


def small(name: str, *paths: str, **more: Any) -> bytes:
    """An image of small files that hold their image's name."""
    return aci.archive(aci.manifest(name, **more), [file(path, name) for path in paths])


@pytest.mark.parametrize("how", ["none", "gzip", "bzip2", "xz"])
async def test_an_image_of_each_compression(images: Images, how: str) -> None:
    """Its id is that of the uncompressed tar, whatever it came in, and its beginning finds the image."""
    data = aci.archive(aci.manifest(app={"exec": ["/x", "y"]}), FILES)
    made = await add(images, aci.compressed(data, how))
    aci_id = aci.image_id(data)
    assert made.config.aci is not None
    assert made.config.aci.id == aci_id
    assert images.get(aci_id).id == images.get(aci_id[:20]).id == made.id
    assert made.repo_tags == ("example.com/app:1.0",)
    assert images.get("example.com/app:1.0").id == made.id
    assert len(made.layers) == 1
    assert names(await tree(images, made)) == ["etc", "etc/a", "l"]
    await images.remove(aci_id[:20])
    assert images.list() == []
    assert images._store.rows("SELECT 1 FROM acis") == []


async def test_the_same_tree_is_the_same_whatever_brings_it(
    images: Images, real: RealRegistry, tmp_path: Path
) -> None:
    """Links, devices, attributes, owners: as OCI image from a registry, as ACI, and as GNU tar unpacks it."""
    lowest = changes().tars[0]
    pulled = await images.pull(real.push(image([lowest]), "tree:latest"))
    with tarfile.open(fileobj=io.BytesIO(lowest)) as archive:
        items = [
            Item(
                member.name,
                extracted.read()
                if member.isreg() and (extracted := archive.extractfile(member))
                else b"",
                type=member.type,
                mode=member.mode,
                uid=member.uid,
                gid=member.gid,
                mtime=int(member.mtime),
                link=member.linkname,
                major=member.devmajor,
                minor=member.devminor,
                pax={
                    key: value
                    for key, value in member.pax_headers.items()
                    if key.startswith("SCHILY")
                },
            )
            for member in archive
        ]
    made = await add(images, aci.archive(aci.manifest(), items))
    (tmp_path / "plain").mkdir()
    unpack_plainly([lowest], tmp_path / "plain")
    plain, found = tree_of(tmp_path / "plain"), await tree(images, made)
    assert found == await tree(images, pulled)
    assert {key: value for key, value in found.items() if key in plain} == plain


async def test_it_is_converted_once(images: Images) -> None:
    """The same archive again is the image that is there, and nothing is unpacked."""
    data = aci.compressed(aci.archive(aci.manifest(), FILES), "gzip")
    one = await add(images, data)
    told: list[str] = []
    assert (await add(images, data, told=told)).id == one.id
    assert "Extracting" not in told


async def test_dependencies_lie_below_in_their_order(images: Images) -> None:
    """A -> [B, C], C -> [D]: B, D, C, A; each a layer of its own that images share. Source: ace.md."""
    b = await add(images, small("example.com/b", "b", "bd", "bc", "ba"))
    await add(images, small("example.com/d", "d", "bd", "dc"))
    c = await add(
        images,
        small("example.com/c", "c", "bc", "dc", dependencies=[{"imageName": "example.com/d"}]),
    )
    a = await add(
        images,
        small(
            "example.com/a",
            "ba",
            dependencies=[{"imageName": f"example.com/{name}"} for name in "bc"],
        ),
    )
    assert a.layers[:-1] == (*b.layers, *c.layers)
    found = await tree(images, a)
    assert names(found) == ["b", "ba", "bc", "bd", "c", "d", "dc"]
    owners = {name: name[-1] for name in ("b", "bd", "bc", "ba", "d", "dc", "c")}
    sizes = {name: found[name] for name in owners}
    for name, image_name in owners.items():
        (alone,) = [
            value
            for key, value in (
                await tree(images, images.get(f"example.com/{image_name}:1.0"))
            ).items()
            if key == name
        ]
        assert sizes[name] == alone


async def test_a_whitelist_filters_the_whole(images: Images) -> None:
    """One layer, with what is named of the image and what it depends on; the dependency itself is as it was."""
    base = await add(images, small("example.com/base", "etc/a", "etc/b", "usr/x"))
    made = await add(
        images,
        small(
            "example.com/top",
            "own",
            "other",
            dependencies=[{"imageName": "example.com/base"}],
            pathWhitelist=["/etc/a", "/own", "/usr/"],
        ),
    )
    assert names(await tree(images, made)) == ["etc", "etc/a", "own", "usr"]
    assert names(await tree(images, base)) == ["etc", "etc/a", "etc/b", "usr", "usr/x"]
    assert len(made.layers) == 1
    # Its own layer is no part of any image: nothing of it is kept.
    held = {row[0] for row in images._store.rows("SELECT diff_id FROM layers")}
    assert held == {*made.layers, *base.layers}
    with pytest.raises(InvalidRequest, match="the pathWhitelist names b'/nothing'"):
        await add(images, small("example.com/bad", "own", pathWhitelist=["/own", "/nothing"]))


async def test_user_and_group_may_be_those_of_a_file(images: Images) -> None:
    """Also of one that a dependency brings; a file that is not there is an error."""
    await add(images, aci.archive(aci.manifest("example.com/base"), FILES))
    below = [{"imageName": "example.com/base"}]
    app = {"exec": ["x"], "user": "/etc/a", "group": "/etc/a"}
    made = await add(images, small("example.com/app", "x", app=app, dependencies=below))
    assert made.config.config is not None
    assert made.config.config.user == "5:6"
    with pytest.raises(InvalidRequest, match="runs as the owner of '/no'"):
        await add(
            images, small("example.com/app", "x", app=app | {"user": "/no"}, dependencies=below)
        )


async def test_what_discovery_finds_comes_with_its_dependencies(
    images: Images, site: aci.Site
) -> None:
    """Meta tags of the parent's page, a redirect on the way, a dependency with its id and size."""
    base = aci.compressed(small("localhost/base", "base"), "xz")
    dependency = {
        "imageName": "localhost/base",
        "imageID": aci.image_id(small("localhost/base", "base")),
        "labels": aci.pairs({"version": "1.0"}),
        "size": len(base),
    }
    site.announce("/", site.template)
    site.publish("localhost/base-1.0", base)
    site.files["/moved"] = small("localhost/group/app", "top", dependencies=[dependency])
    site.files["/images/localhost/group/app-1.0.aci"] = "/moved"
    site.announce("/group", site.template)
    made = await discover(images, f"{site.host}/group/app:1.0")
    assert names(await tree(images, made)) == ["base", "top"]
    assert site.asked == [
        "/group/app?ac-discovery=1",
        "/group?ac-discovery=1",
        "/images/localhost/group/app-1.0.aci",
        "/moved",
        "/base?ac-discovery=1",
        "/?ac-discovery=1",
        "/images/localhost/base-1.0.aci",
    ]
    assert made.repo_tags == ()
    assert made.config.aci is not None
    assert made.config.aci.dependencies == (dependency["imageID"],)


async def test_simple_discovery_is_tried_where_there_are_no_tags(
    images: Images, site: aci.Site
) -> None:
    """https://NAME-VERSION-OS-ARCH.aci."""
    site.files["/app-1.0-linux-amd64.aci"] = small("localhost/app", "x")
    made = await discover(images, f"{site.host}/app:1.0")
    assert names(await tree(images, made)) == ["x"]


@pytest.mark.parametrize("name", ["localhost/other", "localhost/app"])
async def test_another_image_than_was_looked_for_is_refused(
    images: Images, site: aci.Site, name: str
) -> None:
    """Another name, another version. Source: discovery.md, "Validation"."""
    site.announce("/app", site.template)
    site.publish("localhost/app-2.0", small(name, "x"))
    with pytest.raises(
        VerificationFailed, match=r"discovery of localhost/app:2.0 led to another image"
    ):
        await discover(images, f"{site.host}/app:2.0")
    assert images.list() == []


async def test_what_nobody_has_is_not_found(images: Images, site: aci.Site) -> None:
    """No page, a page without a place, a place without an image; a host that does not answer."""
    with pytest.raises(NotFound, match=r"no App Container Image localhost/app:1\.0"):
        await discover(images, f"{site.host}/app:1.0")
    site.announce("/app", "https://x/{unknown}.{ext}")
    with pytest.raises(NotFound, match="its host names no place"):
        await discover(images, f"{site.host}/app:1.0")
    site.announce("/app", site.template)
    with pytest.raises(NotFound, match="answered HTTP 404"):
        await discover(images, f"{site.host}/app:1.0")
    with pytest.raises(Unavailable):
        await discover(images, "localhost:1/app")
    lonely = small("example.com/a", "x", dependencies=[{"imageName": "localhost/missing"}])
    with pytest.raises(
        (NotFound, Unavailable), match=r"example\.com/a depends on localhost/missing"
    ):
        await add(images, lonely)
    assert images.list() == []


async def test_only_who_is_known_is_spoken_to(served: aci.Site, tmp_path: Path) -> None:
    """An unknown authority, also on loopback; plain http; a redirect to it; and what lifts the first."""
    served.files.clear()
    served.files["/x.aci"] = small("localhost/app", "x")
    served.files["/down.aci"] = f"http://{served.host}/x.aci"
    store = Images(tmp_path / "a", patience=SHORT, certs_dirs=[tmp_path / "none"])
    await store.open()
    with pytest.raises(Unavailable, match="certificate"):
        await fetch(store, f"https://{served.host}/x.aci")
    with pytest.raises(InvalidRequest, match="is not encrypted"):
        await fetch(store, f"http://{served.host}/x.aci")
    await store.close()
    aci.trust_site(tmp_path / "certs.d", served)
    store = Images(tmp_path / "b", patience=SHORT, certs_dirs=[tmp_path / "certs.d"])
    await store.open()
    with pytest.raises(InvalidRequest, match="is not encrypted"):
        await fetch(store, f"https://{served.host}/down.aci")
    await store.close()
    insecure = (served.host,)
    store = Images(
        tmp_path / "c", patience=SHORT, certs_dirs=[tmp_path / "none"], insecure_registries=insecure
    )
    await store.open()
    assert (await fetch(store, f"https://{served.host}/x.aci")).size
    await store.close()


@pytest.mark.parametrize("url", ["https:///x", "https://a@b/x", "http://", "https://[/x"])
async def test_urls_that_lead_nowhere_are_refused(images: Images, url: str) -> None:
    """Before anybody is asked."""
    with pytest.raises(InvalidRequest):
        await fetch(images, url)


async def test_a_cycle_of_dependencies_is_told(images: Images, site: aci.Site) -> None:
    """a -> b -> a, by discovery; nothing of it is here afterwards."""
    site.announce("/", site.template)
    for one, other in ("ab", "ba"):
        wish = [{"imageName": f"localhost/{other}"}]
        site.publish(f"localhost/{one}-latest", small(f"localhost/{one}", one, dependencies=wish))
    with pytest.raises(
        InvalidRequest, match="cyclic dependency: localhost/a → localhost/b → localhost/a"
    ):
        await discover(images, f"{site.host}/a")
    itself = small("localhost/s", "x", dependencies=[{"imageName": "localhost/s"}])
    with pytest.raises(InvalidRequest, match="cyclic dependency: localhost/s → localhost/s"):
        await add(images, itself)
    assert images.list() == []
    assert images._store.rows("SELECT 1 FROM layers") == []


async def test_a_dependency_is_what_is_promised(images: Images, site: aci.Site) -> None:
    """Another id, another size, fewer and more bytes: refused, and nothing is left."""
    base = small("localhost/base", "base")
    site.announce("/", site.template)
    site.publish("localhost/base-latest", base)
    wish = {"imageName": "localhost/base"}
    for wrong, words in (
        ({"imageID": "sha512-" + "0" * 128}, "is what depends on it promises"),
        ({"size": len(base) + 1}, "are promised"),
        ({"size": len(base) - 1}, "longer than"),
    ):
        site.publish(
            "localhost/app-latest", small("localhost/app", "x", dependencies=[wish | wrong])
        )
        with pytest.raises(HyperError, match=words):
            await discover(images, f"{site.host}/app")
    assert images.list() == []
    assert images._store.rows("SELECT 1 FROM layers") == []


async def test_a_chain_of_dependencies_has_an_end(images: Images, site: aci.Site) -> None:
    """More images on the way than anybody needs are refused."""
    site.announce("/", site.template)
    for number in range(40):
        wish = [{"imageName": f"localhost/n{number + 1}"}]
        site.publish(
            f"localhost/n{number}-latest", small(f"localhost/n{number}", "x", dependencies=wish)
        )
    with pytest.raises(InvalidRequest, match="depends on too many images"):
        await discover(images, f"{site.host}/n0")
    assert images.list() == []


async def test_dependencies_upon_dependencies_stay_few_layers(
    images: Images, site: aci.Site
) -> None:
    """Each of twenty images depends on the next, twice: a million ways, one layer each."""
    site.announce("/", site.template)
    for number in range(20):
        wish = [{"imageName": f"localhost/n{number + 1}"}] * 2 if number < 19 else []
        data = small(f"localhost/n{number}", f"f{number}", dependencies=wish)
        site.publish(f"localhost/n{number}-latest", data)
    assert len((await discover(images, f"{site.host}/n0")).layers) == 20


async def test_who_serves_the_api_of_registries_is_told_from_others(
    images: Images, site: aci.Site
) -> None:
    """By /v2/, whether it wants credentials or not."""
    name = f"{site.host}/app"
    for answer, expected in ((b"{}", True), (401, True), (404, False), (500, False)):
        site.files["/v2/"] = answer
        assert await images.apps.is_registry(name) is expected
    assert not await images.apps.is_registry("localhost:1/app")


async def test_it_is_saved_and_pushed_as_any_image(
    images: Images, real: RealRegistry, tmp_path: Path
) -> None:
    """Another store has the same image from an archive and from a registry, with what appc said; not by its appc id."""
    data = small("example.com/app", "x", "y", app={"exec": ["x"]}, pathWhitelist=["/y"])
    made = await add(images, data)
    async with images.saving(["example.com/app:1.0"]) as (_, pieces):
        saved = b"".join([piece async for piece in pieces])
    await images.tag(made.id, f"{real.host}/from-aci", "1")
    await images.push(f"{real.host}/from-aci:1")
    other = Images(tmp_path / "other", patience=SHORT)
    await other.open()
    assert await other.load(_pieces(saved)) == [(made.id, ["example.com/app:1.0"])]
    await other.remove(made.id, force=True)
    pulled = await other.pull(f"{real.host}/from-aci:1")
    assert (pulled.id, pulled.config.aci) == (made.id, made.config.aci)
    with pytest.raises(NotFound):
        other.get(aci.image_id(data))
    await other.close()


async def test_an_image_of_a_registry_is_no_dependency(images: Images, real: RealRegistry) -> None:
    """Whatever its configuration claims: neither by id nor by name is it the image it says it is."""
    member = {"Id": "sha512-" + "1" * 128, "Name": "localhost/base"}
    forged = image([[file("a", "a")]])
    config = json.loads(forged.config) | {"hyper.aci": member}
    recipe = Recipe(config, (await images.pull(real.push(forged, "forged:latest"))).layers)
    made = await images.assemble(recipe)
    assert made.config.aci is not None
    with pytest.raises(NotFound):
        images.get(member["Id"])
    wish = [{"imageName": "localhost/base"}]
    with pytest.raises((NotFound, Unavailable), match="which is not here"):
        await add(images, small("example.com/app", "x", dependencies=wish))
    with pytest.raises(InvalidRequest, match="image configuration"):
        await images.assemble(Recipe(config | {"hyper.aci": {"Id": 7}}))


async def test_redirects_and_pages_have_an_end(images: Images, site: aci.Site) -> None:
    """A redirect to itself, one to nowhere, a page longer than any."""
    site.files["/loop.aci"] = "/loop.aci"
    with pytest.raises(Unavailable, match="redirects"):
        await fetch(images, f"https://{site.host}/loop.aci")
    site.files["/bad.aci"] = "https://["
    with pytest.raises(InvalidRequest, match="no URL"):
        await fetch(images, f"https://{site.host}/bad.aci")
    site.files["/app?ac-discovery=1"] = bytes(2 << 20)
    with pytest.raises(InvalidRequest, match="is longer than"):
        await discover(images, f"{site.host}/app")


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a tmpfs")
@pytest.mark.parametrize("kilobytes", [300, 2400, 3900])
def test_disk_full(tmp_path: Path, kilobytes: int) -> None:
    """On a disk that fills while the archive comes, while it is taken apart, while the squashfs is written."""
    data = aci.archive(aci.manifest(), [file("f", random.Random(5).randbytes(1_500_000))])
    (tmp_path / "app.aci").write_bytes(data)
    (tmp_path / "disk").mkdir()
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", sys.executable, __file__, str(tmp_path), str(kilobytes)],
        capture_output=True, text=True, env={"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": os.environ["PATH"]},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("no space left on device while storing"), done.stdout


async def _fill(folder: Path, kilobytes: str) -> None:
    """In our own mount namespace: an image onto a tiny disk, what happened, proof that nothing is left."""
    root = folder / "disk"
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "none", root], check=True)
    images = Images(root / "i", patience=SHORT)
    await images.open()
    try:
        await add(images, (folder / "app.aci").read_bytes())
    except HyperError as error:
        print(error)
    assert images.list() == []
    assert list((root / "i/tmp").iterdir()) == []
    assert list((root / "i/blobs").iterdir()) == []
    await images.close()


# What is hostile


def packed(*items: Item, described: bytes | None = None) -> bytes:
    """An archive of exactly these members."""
    given = json.dumps(aci.manifest()).encode() if described is None else described
    return tar([Item("manifest", given), *items])


def _sparse(size: int) -> bytes:
    """A manifest and files of GNU's sparse kind that cost nothing and are ``size`` long each."""
    head = bytearray(tar([Item("rootfs/hole", b"")])[:512])
    head[156:157] = b"S"
    head[124:136] = b"%011o\0" % 0
    head[386:482] = bytes(96)
    head[386:410] = b"%011o\0%011o\0" % (size, 0)
    head[483:495] = b"\x80" + struct.pack(">Q", size).rjust(11, b"\0")
    files = b""
    for number in range(3):
        head[0:20] = b"rootfs/hole%d" % number + bytes(8)
        head[148:156] = b" " * 8
        head[148:156] = b"%06o\0 " % sum(head)
        files += bytes(head)
    return packed(directory("rootfs"))[: -10240 + 0] + files


ROOT = directory("rootfs")
HOSTILE = {
    "garbage": (b"no image" * 1000, "this is no App Container Image: "),
    "nothing": (b"", "no manifest"),
    "an empty tar": (tar([]), "no manifest"),
    "a docker layer": (tar([file("etc/a", "a")]), "neither the manifest nor in rootfs"),
    "no rootfs": (packed(), "no rootfs"),
    "rootfs is a link": (packed(symlink("rootfs", "/")), "rootfs is no directory"),
    "the manifest is a link": (tar([symlink("manifest", "/etc/passwd"), ROOT]), "no regular file"),
    "two manifests": (packed(ROOT, Item("./manifest", b"{}")), "comes twice"),
    "a file twice": (packed(ROOT, file("rootfs/a", "1"), file("rootfs/./a", "2")), "comes twice"),
    "beside rootfs": (packed(ROOT, file("rootfs2/a", "x")), "neither the manifest nor in rootfs"),
    "out of rootfs": (packed(ROOT, file("rootfs/../a", "x")), "neither the manifest nor in rootfs"),
    "out of all": (packed(ROOT, file("rootfs/../../a", "x")), "leads out of the image"),
    "a hard link to the manifest": (packed(ROOT, hardlink("rootfs/a", "manifest")), "hard link out of rootfs"),
    "a hard link out": (packed(ROOT, hardlink("rootfs/a", "rootfs/../../etc/passwd")), "hard link out of rootfs"),
    "a hard link to nothing": (packed(ROOT, hardlink("rootfs/a", "rootfs/b")), "which is not in the layer"),
    "a whiteout": (packed(ROOT, file("rootfs/.wh.etc", "")), "a name that layers cannot have"),
    "a whiteout of overlayfs": (packed(ROOT, Item("rootfs/etc", type=b"3")), "a device that layers cannot have"),
    "a kind nobody knows": (packed(ROOT, described=b'{"acKind":"Thing","acVersion":"0.8.11"}'), "acKind is 'Thing'"),
    "a manifest of garbage": (packed(ROOT, described=b"\xff\xfe"), "invalid image manifest"),
    "a manifest without end": (packed(ROOT, described=b" " * (2 << 20)), "the manifest is longer"),
    "a truncated archive": (aci.compressed(aci.busybox(), "gzip")[:-100], "cannot be decompressed|too early"),
    "an encrypted image": (b"\x8c\x0d\x04\x09" + bytes(2000), "this is no App Container Image: "),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
async def test_what_is_hostile_is_refused_whole(images: Images, case: str) -> None:
    """The error says what is wrong with it; no image, layer, blob or file is left."""
    data, words = HOSTILE[case]
    with pytest.raises(InvalidRequest, match=words):
        await add(images, data)
    assert images.list() == []
    for table in ("layers", "blobs", "acis"):
        assert images._store.rows(f"SELECT 1 FROM {table}") == []
    assert not list((images._store.root / "blobs").iterdir())


@pytest.mark.parametrize("how", ["gzip", "bzip2", "xz"])
async def test_a_bomb_is_refused_at_the_limit(tmp_path: Path, how: str) -> None:
    """A small archive of a large file, and one of many files, end where the store's limits are."""
    store = Images(tmp_path / "x", bounds=Bounds(max_bytes=4 << 20, max_entries=100))
    await store.open()
    for large, words in (
        (packed(ROOT, file("rootfs/a", bytes(8 << 20))), "too large together"),
        (packed(ROOT, file("rootfs/a", "")) + bytes(8 << 20), "unpacks to more than"),
    ):
        with pytest.raises(InvalidRequest, match=words):
            await add(store, aci.compressed(large, how))
    many = packed(ROOT, *(file(f"rootfs/{number}", "") for number in range(200)))
    with pytest.raises(InvalidRequest, match="more than 100 entries"):
        await add(store, aci.compressed(many, how))
    assert not list((store._store.tmp).iterdir())
    await store.close()


async def test_holes_count_as_what_they_are(tmp_path: Path) -> None:
    """Sparse files that take nothing in the archive are counted with their size."""
    store = Images(tmp_path / "x", bounds=Bounds(max_bytes=4 << 20))
    await store.open()
    with pytest.raises(InvalidRequest, match="too large together"):
        await add(store, _sparse(3 << 20))
    await store.close()


async def test_a_link_in_the_way_leads_nowhere_else(images: Images) -> None:
    """Its target counts from the image's own root, whatever is in its path."""
    items = [symlink("l", "/../../../tmp/out"), directory("tmp/out"), file("l/x", "inside")]
    made = await add(images, aci.archive(aci.manifest(), items))
    assert names(await tree(images, made)) == ["l", "tmp", "tmp/out", "tmp/out/x"]
    assert not Path("/tmp/out").exists()


async def test_devices_are_kept_as_in_other_images(images: Images) -> None:
    """The machine is the wall, and its root has no devices: docs/decisions/0002-images.md."""
    null = Item("null", type=b"3", mode=0o666, major=1, minor=3)
    made = await add(images, aci.archive(aci.manifest(), [null]))
    assert names(await tree(images, made)) == ["null"]


# Trust


async def test_with_a_trusted_key_only_what_it_signed_is_taken(
    images: Images, signer: aci.Signer
) -> None:
    """Unsigned, altered, another's signature, garbage: refused; the right one is taken, and told."""
    data = aci.compressed(small("example.com/app", "x"), "gzip")
    told: list[str] = []
    await add(images, data, told=told)
    assert "Warning: no trusted key for example.com/app: its signature was not checked" in told
    await images.remove("example.com/app:1.0")
    (key,) = await images.apps.trust.add(signer.public, "example.com")
    assert key.fingerprint == signer.fingerprint
    assert key.user_ids == ("Tester <tester@example.com>",)
    good = signer.sign(data)
    with aci.Signer("Mallory <m@example.com>") as other:
        bad = [None, b"", b"garbage", signer.sign(data + b"x"), other.sign(data), bytes(70_000)]
    for signature in bad:
        with pytest.raises(Forbidden, match=r"example\.com/app"):
            await add(images, data, signature)
    assert images.list() == []
    made = await add(images, data, good, told)
    assert told[-1] != "" and f"example.com/app: signed by {signer.fingerprint}" in told
    assert images._store.rows("SELECT signer FROM acis") == [(signer.fingerprint,)]
    await images.remove(made.id)
    images.apps.trust.remove(signer.fingerprint[-16:])
    await add(images, data)


async def test_a_key_that_was_revoked_signs_nothing(images: Images) -> None:
    """Whatever the signature is worth by itself."""
    data = small("example.com/app", "x")
    with aci.Signer() as taken_back:
        signature = taken_back.sign(data)
        await images.apps.trust.add(taken_back.public, "example.com")
        await add(images, data, signature)
        taken_back.revoke()
        await images.apps.trust.add(taken_back.public, "example.com")
    with pytest.raises(Forbidden, match="is not good"):
        await add(images, data, signature)


async def test_a_signature_from_when_its_key_was_valid_stays_good(images: Images) -> None:
    """A key of 2020, for a year: what it signed then is as good as it was."""
    data = small("example.com/app", "x")
    with aci.Signer(at="20200101T000000") as old:
        await images.apps.trust.add(old.public, "example.com")
        await add(images, data, old.sign(data))


async def test_a_key_counts_for_its_prefix_only(images: Images, signer: aci.Signer) -> None:
    """Below it, not beside it; one without prefix counts for all."""
    trust = images.apps.trust
    await trust.add(signer.public, "example.com/app")
    for name, counts in (
        ("example.com/app", True),
        ("example.com/app/x", True),
        ("example.com/apps", False),
        ("example.com", False),
    ):
        assert bool(trust.of(name)) is counts
    await trust.add(signer.public, "")
    assert trust.of("anything")
    assert [key.prefix for key in trust.all()] == ["", "example.com/app"]
    assert (images._store.root / "trust").stat().st_mode & 0o777 == 0o700
    assert [key.prefix for key in trust.remove(signer.fingerprint, "")] == [""]
    assert [key.prefix for key in trust.remove(signer.fingerprint)] == ["example.com/app"]
    with pytest.raises(NotFound, match="no such trusted key"):
        trust.remove(signer.fingerprint)


async def test_signatures_are_looked_for_where_the_image_is(
    images: Images, site: aci.Site, signer: aci.Signer
) -> None:
    """By discovery and by URL; a dependency needs one of its own, also where it is here already, unsigned."""
    base, top = (
        small("localhost/base", "b"),
        small("localhost/app", "x", dependencies=[{"imageName": "localhost/base"}]),
    )
    site.announce("/", site.template)
    url = site.publish("localhost/app-latest", top)
    site.publish("localhost/base-latest", base)
    await fetch(images, url)
    await images.apps.trust.add(signer.public, "localhost")
    for attempt in (fetch(images, url), discover(images, f"{site.host}/app")):
        with pytest.raises(Forbidden, match="localhost/app is not signed"):
            await attempt
    site.publish("localhost/app-latest", top, signer.sign(top))
    with pytest.raises(Forbidden, match="localhost/base is not signed"):
        await fetch(images, url)
    site.publish("localhost/base-latest", base, signer.sign(base))
    await fetch(images, url)
    # The dependency that was checked is here now, and is not asked for again.
    del site.files["/images/localhost/base-latest.aci"]
    await discover(images, f"{site.host}/app")


@pytest.mark.parametrize(
    "data", [b"", b"garbage", b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n", bytes(2 << 20)]
)
async def test_what_is_no_key_is_not_trusted(images: Images, data: bytes) -> None:
    """Garbage, and more than any keyring."""
    with pytest.raises(InvalidRequest):
        await images.apps.trust.add(data, "")
    assert images.apps.trust.all() == []


async def test_secret_keys_and_bad_prefixes_are_refused(images: Images, signer: aci.Signer) -> None:
    """A secret key has no business here; a prefix is one of names, and never a path."""
    with pytest.raises(InvalidRequest, match="secret key"):
        await images.apps.trust.add(signer.secret, "")
    for prefix in ("../../etc", "a//b", "A", "/"):
        with pytest.raises(InvalidRequest, match="invalid prefix"):
            await images.apps.trust.add(signer.public, prefix)
    assert images.apps.trust.all() == []


async def test_a_name_of_another_image_is_left_alone(images: Images, real: RealRegistry) -> None:
    """An archive does not take over the name of an image that came from a registry."""
    pulled = await images.pull(real.push(image([[file("a", "a")]]), "one:latest"))
    await images.tag(pulled.id, "example.com/app", "1.0")
    told: list[str] = []
    made = await add(images, small("example.com/app", "x"), told=told)
    assert images.get("example.com/app:1.0").id == pulled.id
    assert made.repo_tags == ()
    assert "example.com/app:1.0 stays the name of another image" in told


if __name__ == "__main__":
    asyncio.run(_fill(Path(sys.argv[1]), sys.argv[2]))

"""``oci:``, ``oci-archive:`` and ``docker-archive:``: what is meant, what of it is sent, and what is wrong with it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tools import imagebuilder
from tools.imagebuilder import Image, file

from hyper.cli import transport
from hyper.cli.flags import LocalError, UsageError
from hyper.cli.imagebox import Box, opened_archive, opened_folder
from hyper.cli.layout import Plan, archive, plan_docker, plan_oci
from tests.support.local_engine import saved, tar_of

ONE = imagebuilder.image([[file("one", "1" * 5000)], [file("more", "m")]])
TWO = imagebuilder.image([[file("two", "2")]])
ARM = imagebuilder.image([[file("arm", "a")]], architecture="arm64")
REF = "org.opencontainers.image.ref.name"


def amd64() -> str:
    """The daemon's machine."""
    return "amd64"


def never() -> str:
    """Asked where nothing depends on it."""
    raise AssertionError


@pytest.mark.parametrize(
    "name", ["nginx", "nginx:1", "localhost:5000/oci:x", "oci", "x@sha256:1", ""]
)
def test_names_are_no_transports(name: str) -> None:
    """Of an image called oci there still is the registry's name of it."""
    assert transport.parse(name) is None


@pytest.mark.parametrize(
    ("text", "kind", "path", "choice"),
    [
        ("oci:/dir", "oci", "/dir", ""),
        ("oci:dir:1.27", "oci", "dir", "1.27"),
        ("oci:/dir:a/b:c", "oci", "/dir", "a/b:c"),
        ("oci-archive:f.tar:t", "oci-archive", "f.tar", "t"),
        (
            "docker-archive:f.tar:localhost:5000/a:b",
            "docker-archive",
            "f.tar",
            "localhost:5000/a:b",
        ),
        ("docker-daemon:localhost:5000/a:b", "docker-daemon", "localhost:5000/a:b", ""),
    ],
)
def test_what_is_meant(text: str, kind: str, path: str, choice: str) -> None:
    """A path ends at its first colon."""
    source = transport.parse(text)
    assert source is not None
    assert (source.kind, source.path, source.choice) == (kind, path, choice)


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("oci:", "oci:FOLDER[:TAG]"),
        ("oci::tag", "oci:FOLDER[:TAG]"),
        ("oci-archive:f:", "oci-archive:FILE[:TAG]"),
        ("docker-archive:", "docker-archive:FILE[:NAME[:TAG]]"),
        ("docker-daemon:", "docker-daemon:NAME[:TAG]"),
    ],
)
def test_what_means_nothing(text: str, form: str) -> None:
    """The error says the form."""
    with pytest.raises(UsageError, match="names no image") as error:
        transport.parse(text)
    assert error.value.hint == f"the form is {form}"


def entry(image: Image, tag: str = "", **more: Any) -> dict[str, Any]:
    """An entry of an index."""
    made = {
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": image.digest,
        "size": len(image.manifest),
    }
    return made | ({"annotations": {REF: tag}} if tag else {}) | more


def layout(*images: Image, entries: list[dict[str, Any]]) -> dict[str, bytes]:
    """The files of an OCI layout."""
    blobs = {digest: data for image in images for digest, data in image.blobs.items()}
    files = {f"blobs/sha256/{digest[7:]}": data for digest, data in blobs.items()}
    index = json.dumps({"schemaVersion": 2, "manifests": entries}).encode()
    return {**files, "oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": index}


def in_folder(path: Path, files: dict[str, bytes]) -> AbstractContextManager[Box]:
    """The files as a folder."""
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return opened_folder(str(path))


def in_tar(path: Path, files: dict[str, bytes]) -> AbstractContextManager[Box]:
    """The files as an archive."""
    return packed("")(path, files)


def packed(how: str) -> Callable[[Path, dict[str, bytes]], AbstractContextManager[Box]]:
    """The files as an archive, compressed."""

    def make(path: Path, files: dict[str, bytes]) -> AbstractContextManager[Box]:
        data = tar_of(files)
        if how:
            data = subprocess.run([how, "-c"], input=data, capture_output=True, check=True).stdout
        (path / "x.tar").write_bytes(data)
        return opened_archive(str(path / "x.tar"))

    return make


def sent(box: Box, plan: Plan) -> dict[str, bytes]:
    """What the daemon gets."""
    data = b"".join(archive(box, plan))
    assert len(data) % 512 == 0
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]


BOXES = pytest.mark.parametrize(
    "make", [in_folder, in_tar, packed("gzip"), packed("xz")], ids=["folder", "tar", "gzip", "xz"]
)


@BOXES
def test_only_what_a_tag_needs_is_sent(tmp_path: Path, make: Any) -> None:
    """Its entry of the index, its documents and layers; nothing of its neighbours."""
    files = layout(ONE, TWO, entries=[entry(ONE, "1"), entry(TWO, "docker.io/library/two:2")])
    for number, choice in enumerate(("1", "two:2")):
        image = (ONE, TWO)[number]
        folder = tmp_path / str(number)
        folder.mkdir()
        with make(folder, files) as box:
            plan = plan_oci(box, choice, never)
            got = sent(box, plan)
        assert plan.image_id == image.id
        assert json.loads(got.pop("index.json"))["manifests"] == [
            json.loads(files["index.json"])["manifests"][number]
        ]
        del got["oci-layout"]
        assert {name[13:]: data for name, data in got.items()} == {
            digest[7:]: data for digest, data in image.blobs.items()
        }


def test_the_only_image_needs_no_tag(tmp_path: Path) -> None:
    """Also when it has several."""
    with in_folder(tmp_path, layout(ONE, entries=[entry(ONE, "a"), entry(ONE, "b")])) as box:
        assert plan_oci(box, "", never).image_id == ONE.id


def test_of_an_index_only_the_daemons_machine_is_sent(tmp_path: Path) -> None:
    """An image for two machines; and two images under one name."""
    data, blobs = imagebuilder.index({"linux/arm64": ARM, "linux/amd64": ONE})
    index = replace(ONE, manifest=data, blobs=blobs)
    with in_folder(tmp_path / "index", layout(index, entries=[entry(index, "x")])) as box:
        plan = plan_oci(box, "x", amd64)
        names = set(sent(box, plan))
        assert plan.image_id == ONE.id
        assert f"blobs/sha256/{index.digest[7:]}" in names
        assert f"blobs/sha256/{ARM.digest[7:]}" not in names
        with pytest.raises(LocalError, match="has no image for linux/s390x"):
            plan_oci(box, "x", lambda: "s390x")
    entries = [
        entry(one, "x", platform={"os": "linux", "architecture": machine})
        for one, machine in ((ARM, "arm64"), (ONE, "amd64"))
    ]
    with in_folder(tmp_path / "flat", layout(ARM, ONE, entries=entries)) as box:
        assert plan_oci(box, "x", amd64).image_id == ONE.id


@pytest.mark.parametrize(
    ("files", "choice", "why", "hint"),
    [
        ({}, "", "is no OCI image layout: it has no index.json", None),
        ({"index.json": b"[]"}, "", "invalid manifest list", None),
        (layout(entries=[]), "", "has no image\\n", "its images have no names"),
        (layout(entries=[entry(ONE, "a"), entry(TWO, "b")]), "c", "has no image 'c'", "it has: a, b"),
        (layout(entries=[entry(ONE, "a"), entry(TWO, "b")]), "", "has several images", "it has: a, b"),
        (layout(entries=[entry(ONE, "a")]), "a", f"has no blobs/sha256/{ONE.digest[7:]}", None),
        (layout(entries=[{**entry(ONE), "digest": "sha256:../../x"}]), "", "unsupported digest", None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("make", [in_folder, in_tar])
def test_bad_layouts(
    tmp_path: Path, make: Any, files: dict[str, bytes], choice: str, why: str, hint: str | None
) -> None:
    """What is missing, and what there is instead."""
    tmp_path.joinpath("x").mkdir()
    with make(tmp_path / "x", files) as box, pytest.raises(LocalError, match=why) as error:
        plan_oci(box, choice, amd64)
    if hint is not None:
        assert error.value.hint == hint


def members(data: bytes) -> dict[str, bytes]:
    """The files of an archive."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {one.name: tar.extractfile(one).read() for one in tar}  # type: ignore[union-attr]


@pytest.mark.parametrize("how", ["", "gzip", "bzip2", "xz"])
def test_an_image_of_docker_save(tmp_path: Path, how: str) -> None:
    """The one that is named, with that name only, or the only one with all its names."""
    both = members(saved(ONE, TWO))
    listed = json.loads(both["manifest.json"])
    listed[0]["RepoTags"] = ["one:latest", "docker.io/library/one:2"]
    listed[1]["RepoTags"] = ["localhost:5000/two:1"]
    both["manifest.json"] = json.dumps(listed).encode()
    with packed(how)(tmp_path, both) as box:
        for choice, tag in (("one", "one:latest"), ("one:2", "docker.io/library/one:2")):
            plan = plan_docker(box, choice)
            got = sent(box, plan)
            assert plan.image_id == ONE.id
            assert json.loads(got["manifest.json"]) == [{**listed[0], "RepoTags": [tag]}]
            assert sorted(got) == sorted(
                ["manifest.json", listed[0]["Config"], *listed[0]["Layers"]]
            )
        with pytest.raises(LocalError, match="several images") as error:
            plan_docker(box, "")
        assert (
            error.value.hint == "it has: docker.io/library/one:2, localhost:5000/two:1, one:latest"
        )
        with pytest.raises(LocalError, match="has no image 'three'"):
            plan_docker(box, "three")
        with pytest.raises(LocalError, match="is no OCI image layout"):
            plan_oci(box, "", never)
    with in_tar(tmp_path, members(saved(TWO, tags=("a:1", "b:2")))) as box:
        plan = plan_docker(box, "")
        assert json.loads(plan.documents[0][1])[0]["RepoTags"] == ["a:1", "b:2"]


def test_layers_that_are_links(tmp_path: Path) -> None:
    """As Docker writes a layer that was there before; links that lead nowhere are an error and end."""
    files = members(saved(ONE))
    (listed,) = json.loads(files["manifest.json"])
    real = listed["Layers"][0]
    listed["Layers"][0] = "link/layer.tar"
    for target, why in (
        (f"../{real}", ""),
        ("layer.tar", "has no link"),
        ("/etc/x", "has no link"),
    ):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            link = tarfile.TarInfo("link/layer.tar")
            link.type, link.linkname = tarfile.SYMTYPE, target
            tar.addfile(link)
            for name, data in {**files, "manifest.json": json.dumps([listed]).encode()}.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        (tmp_path / "x.tar").write_bytes(buffer.getvalue())
        with opened_archive(str(tmp_path / "x.tar")) as box:
            plan = plan_docker(box, "")
            if why:
                with pytest.raises(LocalError, match=why):
                    sent(box, plan)
            else:
                assert sent(box, plan)["link/layer.tar"] == ONE.tars[0]


def test_bad_archives(tmp_path: Path) -> None:
    """No file, a folder, nonsense, a compression that is not read, an archive that ends early."""
    path = tmp_path / "x.tar"

    def refused(why: str) -> LocalError:
        with pytest.raises(LocalError, match=why) as error, opened_archive(str(path)) as box:
            plan_docker(box, "")
        return error.value

    refused(f"cannot open {path}: no such file or directory")
    path.mkdir()
    assert refused("is a folder").hint == "an OCI layout is oci:FOLDER[:TAG]"
    path.rmdir()
    for data in (b"", b"nonsense" * 1000, b"\x28\xb5\x2f\xfd" + bytes(600)):
        path.write_bytes(data)
        refused("is no tar archive, or compressed")
    whole = saved(ONE)
    path.write_bytes(tar_of({"manifest.json": b"[{"}))
    refused("invalid manifest.json")
    path.write_bytes(tar_of({"manifest.json": b" " * (5 << 20)}))
    refused("is too long")
    zipped = subprocess.run(["gzip", "-c"], input=whole, capture_output=True, check=True).stdout
    path.write_bytes(zipped[: len(zipped) // 2])
    refused("is a broken archive|no tar archive")


def test_bad_folders(tmp_path: Path) -> None:
    """No folder, a file; a blob that is a pipe does not hold us up; one that changes is told of."""
    with pytest.raises(LocalError, match="cannot open the folder"), opened_folder(f"{tmp_path}/no"):
        pass
    (tmp_path / "file").write_text("")
    with pytest.raises(LocalError, match="is no folder"), opened_folder(f"{tmp_path}/file"):
        pass
    with in_folder(tmp_path / "x", layout(ONE, entries=[entry(ONE, "a")])) as box:
        plan = plan_oci(box, "", never)
        blob = tmp_path / "x" / plan.files[-1]
        pieces = archive(box, plan)
        next(pieces)
        blob.write_bytes(blob.read_bytes() + b"more")
        blob.unlink()
        os.mkfifo(blob)
        with pytest.raises(LocalError, match="is no file"):
            list(pieces)


def test_a_path_with_a_colon(tmp_path: Path) -> None:
    """It cannot be said, and the error says what to do."""
    folder = tmp_path / "a:b"
    with in_folder(folder, layout(ONE, entries=[entry(ONE, "a")])):
        pass
    source = transport.parse(f"oci:{folder}")
    assert source is not None
    with pytest.raises(LocalError, match=f"there is no {tmp_path}/a\\n") as error:
        transport._opened(source)
    assert (
        error.value.hint
        == f"a path ends at its first colon: {folder} needs a link or a name without one"
    )

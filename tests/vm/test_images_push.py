"""Pushing, logging in and asking registries with the stock docker client; nothing boots here."""

from __future__ import annotations

import io
import json
import sqlite3
import tarfile
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tools import imagebuilder

from tests.support import images
from tests.support.api import ApiError
from tests.support.dockerd import busybox_rootfs
from tests.support.hyperd import Hyperd, hyperd
from tests.support.registry import PASSWORD, USER, RealRegistry, registry


@pytest.fixture(scope="module")
def other_registry() -> Iterator[RealRegistry]:
    """One more registry, empty at first."""
    with registry() as running:
        yield running


@pytest.fixture(scope="module")
def private() -> Iterator[RealRegistry]:
    """A registry that wants a password."""
    with registry(auth=True) as running:
        yield running


def _aux(daemon: Hyperd, name: str) -> dict[str, Any]:
    """What a push says at its end."""
    status, body = daemon.api.raw(
        "POST", f"/images/{name}/push?tag=1", b"", **{"X-Registry-Auth": "e30="}
    )
    assert status == 200
    lines = [json.loads(line) for line in body.splitlines()]
    (found,) = [line["aux"] for line in lines if "aux" in line]
    return dict(found)


def test_a_tag_beside_a_name_that_has_one(
    own_daemon: Hyperd, real_registry: RealRegistry, private: RealRegistry
) -> None:
    """As in dockerd: ``tag`` wins at a push and at a pull, and a header that is no JSON is nobody's credentials.

    A registry that wants a password still refuses (a pull's 401 is a 404, as in the contract).
    """
    api, bad = own_daemon.api, {"X-Registry-Auth": "FAKE"}
    name = f"{real_registry.host}/beside"
    own_daemon.run("pull", "-q", real_registry.push(images.deep(1), "beside:one"))
    own_daemon.run("tag", f"{name}:one", f"{name}:two")
    for written in (f"{name}:two", f"{name}:nosuch"):
        status, body = api.raw("POST", f"/images/{written}/push?tag=two", b"", **bad)
        assert (status, b'"Tag":"two"' in body, b"error" in body) == (200, True, False), body
    own_daemon.run("rmi", f"{name}:one", f"{name}:two")
    for written in (f"{name}:one", name):
        status, body = api.raw("POST", f"/images/create?fromImage={written}&tag=two", b"", **bad)
        assert status == 200, body
        named = api.get(f"/images/{name}:two/json")["RepoTags"]
        assert [one for one in named if one.startswith(name)] == [f"{name}:two"]
        own_daemon.run("rmi", f"{name}:two")
    closed = f"/images/create?fromImage={private.host}/closed&tag=1"
    assert api.raw("POST", closed, b"", **bad)[0] == 404


def test_a_pulled_image_keeps_its_digest_elsewhere(
    own_daemon: Hyperd, real_registry: RealRegistry, other_registry: RealRegistry
) -> None:
    """To another registry: sent once, then there; to another repository: mounted; the digest is the pulled one's."""
    image = images.deep(3)
    name = real_registry.push(image, "origin:latest")
    own_daemon.run("pull", "-q", name)
    target = f"{other_registry.host}/copies/one"
    own_daemon.run("tag", name, f"{target}:1")
    said = own_daemon.run("push", f"{target}:1").decode()
    assert f"The push refers to repository [{target}]" in said
    assert said.count(": Pushed") == 3
    assert f"1: digest: {image.digest} size: {len(image.manifest)}" in said
    assert own_daemon.run("push", f"{target}:1").decode().count("Layer already exists") == 3
    own_daemon.run("tag", name, f"{other_registry.host}/copies/two:1")
    said = own_daemon.run("push", f"{other_registry.host}/copies/two:1").decode()
    assert said.count(": Mounted from copies/one") == 3
    assert _aux(own_daemon, target) == {
        "Tag": "1",
        "Digest": image.digest,
        "Size": len(image.manifest),
    }
    assert f"{target}@{image.digest}" in own_daemon.api.get(f"/images/{name}/json")["RepoDigests"]
    own_daemon.run("rmi", "-f", image.id)
    assert f"Digest: {image.digest}" in own_daemon.run("pull", f"{target}:1").decode()
    events = own_daemon.run(
        "events", "--since", "1", "--until", f"{time.time():.9f}", "--filter", "event=push"
    )
    assert f"image push {target}:1".encode() in events


def test_an_image_made_here_is_pushed_and_pulled_back(
    own_daemon: Hyperd, other_registry: RealRegistry
) -> None:
    """An import goes out compressed, with a manifest of ours; it comes back as the same image."""
    target = f"{other_registry.host}/made/here:1"
    made = own_daemon.run("import", "-", target, stdin=busybox_rootfs()).decode().strip()
    own_daemon.run("push", "-q", target)
    url = f"http://{other_registry.host}/v2/made/here/manifests/1"
    accept = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
    with urllib.request.urlopen(urllib.request.Request(url, headers=accept)) as answer:
        (layer,) = json.load(answer)["layers"]
    assert layer["mediaType"].endswith("tar+gzip")
    own_daemon.run("rmi", "-f", made)
    own_daemon.run("pull", "-q", target)
    assert own_daemon.api.get(f"/images/{target}/json")["Id"] == made


def test_blobs_that_are_not_kept_are_fetched_again(
    own_daemon: Hyperd, real_registry: RealRegistry
) -> None:
    """An older store, or one with lost blobs: save has them again from the registry, or says that it cannot."""
    image = images.deep(2)
    name = real_registry.push(image, "lost:latest")
    own_daemon.run("pull", "-q", name)
    whole = own_daemon.run("save", name)
    _lose_blobs(own_daemon)
    assert own_daemon.run("save", name) == whole
    _lose_blobs(own_daemon)
    with registry() as short_lived:
        gone = short_lived.push(imagebuilder.image([[imagebuilder.file("gone", "x")]]), "gone:1")
        own_daemon.run("pull", "-q", gone)
    _lose_blobs(own_daemon)
    done = own_daemon.docker("save", gone)
    assert (done.returncode, b"is not kept here" in done.stderr) == (1, True), done.stderr


def test_blobs_that_are_discarded_are_fetched_again(
    real_registry: RealRegistry, other_registry: RealRegistry
) -> None:
    """``--discard-blobs``: a pull keeps none; save and push have them again meanwhile, or say why not.

    What no registry has (an import) is kept all the same.
    """
    image = images.deep(3)
    with hyperd("--discard-blobs") as daemon:
        kept = daemon.data_root / "image/blobs"
        name = real_registry.push(image, "discarded:latest")
        daemon.run("pull", "-q", name)
        assert list(kept.iterdir()) == []
        with tarfile.open(fileobj=io.BytesIO(daemon.run("save", name))) as archive:
            index = json.load(archive.extractfile("index.json") or io.BytesIO())
        assert {entry["digest"] for entry in index["manifests"]} == {image.digest}
        assert list(kept.iterdir()) == []
        target = f"{other_registry.host}/discarded:1"
        daemon.run("tag", name, target)
        assert f"1: digest: {image.digest}" in daemon.run("push", target).decode()
        with ThreadPoolExecutor(4) as pool:
            copies = set(pool.map(lambda _: daemon.run("save", name), range(8)))
        assert len(copies) == 1
        assert list(kept.iterdir()) == []
        daemon.run("rmi", "-f", image.id)
        assert f"Digest: {image.digest}" in daemon.run("pull", target).decode()
        assert list(kept.iterdir()) == []

        made = daemon.run("import", "-", "made:1", stdin=busybox_rootfs()).decode().strip()
        assert len(list(kept.iterdir())) == 1
        saved = daemon.run("save", "made:1")
        daemon.run("rmi", "-f", made)
        daemon.run("load", stdin=saved)
        assert daemon.run("save", "made:1") == saved
        daemon.run("rmi", "-f", made)

        with registry() as short_lived:
            gone = short_lived.push(imagebuilder.image([[imagebuilder.file("g", "x")]]), "gone:1")
            daemon.run("pull", "-q", gone)
        daemon.run("tag", gone, f"{other_registry.host}/gone:1")
        for words in (("save", gone), ("push", f"{other_registry.host}/gone:1")):
            done = daemon.docker(*words)
            assert (done.returncode, b"is not kept here" in done.stderr) == (1, True), done.stderr
        assert list(kept.iterdir()) == []


def _lose_blobs(daemon: Hyperd) -> None:
    """As if the store had been made by a Hyper that did not keep them."""
    daemon.stop()
    with sqlite3.connect(daemon.data_root / "image/images.db") as database:
        database.execute("DELETE FROM blobs")
    database.close()
    daemon.start()
    assert list((daemon.data_root / "image/blobs").iterdir()) == []


def test_push_without_credentials_is_refused(
    own_daemon: Hyperd, private: RealRegistry, tmp_path: Path
) -> None:
    """docker login is checked and kept by the client's own store; a push without it is refused in Docker's words."""
    config = {"DOCKER_CONFIG": str(tmp_path)}
    target = f"{private.host}/secret:1"
    own_daemon.run("import", "-", target, stdin=busybox_rootfs())
    refused = own_daemon.docker("push", target)
    assert (refused.returncode, b"authentication required" in refused.stderr) == (1, True), (
        refused.stderr
    )
    login = ("login", "-u", USER, "--password-stdin", private.host)
    wrong = own_daemon.docker(*login, stdin=b"wrong", **config)
    assert (wrong.returncode, b"unauthorized" in wrong.stderr) == (1, True), wrong.stderr
    assert b"Login Succeeded" in own_daemon.docker(*login, stdin=PASSWORD.encode(), **config).stdout
    done = own_daemon.docker("push", target, **config)
    assert done.returncode == 0, done.stderr
    assert PASSWORD not in own_daemon.log.read_text()


def test_distribution_and_search_answer_for_a_registry(
    own_daemon: Hyperd, real_registry: RealRegistry
) -> None:
    """distribution says what is there; search says that there is none, or that nobody answers."""
    both, blobs = imagebuilder.index(
        {"linux/arm64/v8": images.deep(2), "linux/amd64": images.busybox()}
    )
    name = real_registry.push_raw(both, blobs, "both:asked")
    answer = own_daemon.api.get(f"/distribution/{name}/json")
    assert answer["Descriptor"]["digest"] == imagebuilder.digest(both)
    assert {one["architecture"] for one in answer["Platforms"]} == {"arm64", "amd64"}
    one = real_registry.push(images.busybox(), "single:asked")
    assert (
        own_daemon.api.get(f"/distribution/{one}/json")["Platforms"][0]["architecture"] == "amd64"
    )
    done = own_daemon.docker("search", f"{real_registry.host}/busybox")
    assert (done.returncode, b"has no search" in done.stderr) == (1, True), done.stderr
    with pytest.raises(ApiError) as caught:
        own_daemon.api.get("/images/search?term=busybox&limit=101")
    assert str(caught.value) == "400: limit 101 is outside the range of [1, 100]"


def test_push_of_what_cannot_be_pushed_is_refused(
    own_daemon: Hyperd, real_registry: RealRegistry
) -> None:
    """No image, no such tag, nobody there, a digest."""
    own_daemon.run("import", "-", f"{real_registry.host}/x:1", stdin=busybox_rootfs())
    own_daemon.run("tag", f"{real_registry.host}/x:1", "localhost:1/x:1")
    for name, words in (
        (f"{real_registry.host}/nosuch:1", b"An image does not exist locally with the tag"),
        (f"{real_registry.host}/x:2", b"tag does not exist"),
        ("localhost:1/x:1", b"connection refused"),
    ):
        done = own_daemon.docker("push", name)
        assert (done.returncode, words in done.stderr) == (1, True), done.stderr


def test_system_df_counts_each_layer_once(
    own_daemon: Hyperd, real_registry: RealRegistry, busybox: str
) -> None:
    """Layers count once; a container's own size is what it has written."""
    one = real_registry.push(images.deep(2), "usage:2")
    two = real_registry.push(images.deep(4), "usage:4")
    for name in (one, two):
        own_daemon.run("pull", "-q", name)
    usage = own_daemon.api.get("/system/df")
    sizes = {tag: item for item in usage["Images"] for tag in item["RepoTags"]}
    assert usage["LayersSize"] < sizes[one]["Size"] + sizes[two]["Size"]
    assert sizes[one]["SharedSize"] == sizes[one]["Size"]
    script = "head -c 5000000 /dev/zero >/f; sync"
    events = own_daemon.api.lines("/events")
    own_daemon.run("run", "--name", "writer", "-v", "spare:/spare", one, "sh", "-c", script)
    # Until its machine is gone, which tells by letting go of the volume, it may still write.
    assert any(event["Action"] == "unmount" for event in events)
    events.close()
    shown = own_daemon.api.get("/containers/writer/json?size=1")
    assert 5_000_000 <= shown["SizeRw"] < 6_000_000
    assert shown["SizeRootFs"] == shown["SizeRw"] + sizes[one]["Size"]
    (listed,) = own_daemon.api.get("/containers/json?all=1&size=1")
    assert listed["SizeRw"] == shown["SizeRw"]
    assert (
        own_daemon.api.get("/system/df?type=container")["Containers"][0]["SizeRw"]
        == shown["SizeRw"]
    )
    own_daemon.run("system", "df", "-v")

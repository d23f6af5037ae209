"""Pulling through the daemon with the stock docker client; nothing boots here."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tools import imagebuilder

from tests.support import images
from tests.support.dockerd import Engine
from tests.support.forward_proxy import forward_proxy
from tests.support.hyperd import Hyperd, hyperd
from tests.support.registry import PASSWORD, USER, RealRegistry, registry


def test_pull_by_tag_and_by_digest_is_one_image(
    daemon: Hyperd, real_registry: RealRegistry
) -> None:
    """Both names lead to one image; the second pull downloads nothing."""
    image = images.deep(3)
    reference = real_registry.push(image, "three:latest")
    first = daemon.run("pull", reference).decode()
    assert "Status: Downloaded newer image" in first
    assert f"Digest: {image.digest}" in first
    assert "Status: Image is up to date" in daemon.run("pull", reference).decode()
    repository = reference.rpartition(":")[0]
    daemon.run("pull", f"{repository}@{image.digest}")
    found = {
        daemon.api.get(f"/images/{name}/json")["Id"]
        for name in (reference, f"{repository}@{image.digest}")
    }
    assert found == {image.id}
    daemon.run("rmi", reference)
    assert daemon.docker("inspect", reference).returncode == 1


def test_pull_of_what_is_not_there_fails_in_dockers_words(
    daemon: Hyperd, real_registry: RealRegistry
) -> None:
    """An unknown image, a digest nobody has, a name that is none."""
    for name, words in (
        ("nosuch:latest", b"not found: manifest unknown"),
        (f"busybox@sha256:{'0' * 64}", b"manifest unknown"),
    ):
        done = daemon.docker("pull", f"{real_registry.host}/{name}")
        assert (done.returncode, words in done.stderr) == (1, True), done.stderr
    done = daemon.docker("run", "--rm", f"{real_registry.host}/UPPER")
    assert done.returncode == 125
    assert b"invalid reference format" in done.stderr


def test_an_index_without_our_platform_is_refused(
    daemon: Hyperd, real_registry: RealRegistry
) -> None:
    """And one with it is resolved; the index's digest is the one people know it by."""
    foreign, blobs = imagebuilder.index({"linux/s390x": images.busybox()})
    name = real_registry.push_raw(foreign, blobs, "foreign:latest")
    done = daemon.docker("pull", name)
    assert done.returncode == 1
    assert b"no matching manifest for linux/amd64" in done.stderr
    both, blobs = imagebuilder.index(
        {"linux/s390x": images.deep(2), "linux/amd64": images.busybox()}
    )
    name = real_registry.push_raw(both, blobs, "both:latest")
    assert f"Digest: {imagebuilder.digest(both)}" in daemon.run("pull", name).decode()
    assert daemon.api.get(f"/images/{name}/json")["Architecture"] == "amd64"


def test_through_a_companys_proxy_from_a_registry_of_its_own_authority() -> None:
    """hyperd's words: the proxy alone knows the registry's name, and --registry-ca alone who signed for it."""
    name = "registry.corp.example"
    with registry(tls=True, name=name) as secure:
        secure.push(images.busybox(), "x:1")
        hosts = {name: secure.host.replace("localhost", "127.0.0.1")}
        with forward_proxy(hosts) as far:
            authority = ("--registry-ca", str(secure.folder / "ca.pem"))
            through = ("--https-proxy", f"http://joe:pw@{far.address}")
            with hyperd(*authority, *through) as started:
                assert b"Status: Downloaded newer image" in started.run("pull", f"{name}/x:1")
                shown = started.run("info", "--format", "{{.HTTPSProxy}}").decode().strip()
                assert shown == f"http://xxxxx:xxxxx@{far.address}"
            assert {method for method, _ in far.asked} == {"CONNECT"}
            with hyperd(*through) as started:
                refused = started.docker("pull", f"{name}/x:1")
                assert (refused.returncode, b"signed by unknown authority" in refused.stderr) == (
                    1,
                    True,
                )


@pytest.fixture(scope="module")
def private() -> Iterator[RealRegistry]:
    """A registry that wants a password."""
    with registry(auth=True) as running:
        yield running


def test_credentials_of_docker_s_own_configuration_are_used(
    daemon: Hyperd, private: RealRegistry, tmp_path: Path
) -> None:
    """With the right ones it works; without, or with others, the error says what is wrong."""
    reference = private.push(images.busybox(), "secret:latest")
    refused = daemon.docker("pull", reference)
    assert refused.returncode == 1
    assert b"unauthorized: authentication required" in refused.stderr
    for password, code in (("wrong", 1), (PASSWORD, 0)):
        token = base64.b64encode(f"{USER}:{password}".encode()).decode()
        config = {"auths": {private.host: {"auth": token}}}
        (tmp_path / "config.json").write_text(json.dumps(config))
        done = daemon.docker("pull", reference, DOCKER_CONFIG=str(tmp_path))
        assert done.returncode == code, done.stderr
    assert PASSWORD not in daemon.log.read_text()


def test_a_mirror_stands_in_for_docker_hub(real_registry: RealRegistry) -> None:
    """--registry-mirror: ``busybox`` without a host comes from it, under its own name."""
    real_registry.push(images.busybox(), "library/busybox:latest")
    with hyperd("--registry-mirror", f"http://{real_registry.host}") as daemon:
        daemon.run("pull", "busybox")
        assert daemon.api.get("/images/busybox/json")["RepoTags"] == ["busybox:latest"]
        assert daemon.run("images", "--format", "{{.Repository}}") == b"busybox\n"


def test_an_image_in_use_is_not_removed(daemon: Hyperd, real_registry: RealRegistry) -> None:
    """Docker's rule, in its words; once the container is gone the image can go."""
    reference = real_registry.push(images.deep(4), "inuse:latest")
    daemon.run("pull", "-q", reference)
    daemon.run("create", "--name", "user", reference, "true")
    refused = daemon.docker("rmi", reference)
    assert refused.returncode == 1
    assert b"conflict" in refused.stderr
    daemon.run("rm", "user")
    daemon.run("rmi", reference)


def test_pull_of_all_tags_has_one_image_a_tag(daemon: Hyperd, real_registry: RealRegistry) -> None:
    """-a of both clients: one image a tag, one event each; a tag and -a exclude each other."""
    for tag, depth in (("one", 2), ("two", 3)):
        reference = real_registry.push(images.deep(depth), f"many:{tag}")
    repository = reference.rpartition(":")[0]
    since = time.time_ns()
    assert b"two: Pulling from many" in daemon.run("pull", "-a", repository)
    names = sorted(daemon.run("images", "--format", "{{.Tag}}", repository).split())
    assert names == [b"one", b"two"]
    query = f"since={since // 10**9}.{since % 10**9:09d}&until={time.time_ns() // 10**9 + 1}"
    pulled = [
        item["id"] for item in daemon.api.lines(f"/events?{query}") if item["Action"] == "pull"
    ]
    assert sorted(pulled) == [f"{repository}:one", f"{repository}:two"]
    daemon.run("rmi", f"{repository}:one", f"{repository}:two")
    hyper = [sys.executable, "-m", "hyper.cli.main", "pull", "-a"]
    environ = Engine(daemon.host, "").environ()
    done = subprocess.run([*hyper, repository], env=environ, capture_output=True, check=True)
    assert done.stdout.splitlines()[-1].decode() == repository
    assert len(daemon.run("images", "-q", repository).split()) == 2
    refused = subprocess.run([*hyper, reference], env=environ, capture_output=True, check=False)
    assert (refused.returncode, b"tag can't be used" in refused.stderr) == (2, True)

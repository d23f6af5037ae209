"""Older clients: the docker command line pinned to older versions of the API, and what those versions have."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.containers import create
from tests.support.hyperd import Hyperd

pytestmark = pytest.mark.vm

VERSIONS = ("1.24", "1.30", "1.40", "1.43", "1.47")


@pytest.fixture(scope="module")
def running(shared_daemon: Hyperd, busybox: str) -> Iterator[Hyperd]:
    """The daemon with a container ``old`` that has said something and goes on, and a volume."""
    shared_daemon.run("volume", "create", "kept")
    shared_daemon.run(
        "run",
        "-d",
        "--name",
        "old",
        "-v",
        "kept:/data",
        "-l",
        "a=b",
        busybox,
        "sh",
        "-c",
        "echo said; exec sleep 1000",
    )
    with shared_daemon.api.open("/containers/old/logs?follow=1&stdout=1") as log:
        log.readline()
    yield shared_daemon
    shared_daemon.clear()


@pytest.mark.parametrize("version", VERSIONS)
def test_the_docker_client_works_at_an_older_version(
    running: Hyperd, busybox: str, version: str, tmp_path: Path
) -> None:
    """Its main verbs end well and print what they print today."""

    def docker(*words: str) -> str:
        done = running.docker(*words, DOCKER_API_VERSION=version)
        assert done.returncode == 0, (words, done.stderr)
        return done.stdout.decode().strip()

    assert docker("version", "--format", "{{.Client.APIVersion}}") == version
    assert docker("run", "--rm", busybox, "echo", "hi") == "hi"
    assert docker("ps", "--format", "{{.Names}} {{.State}} {{.Mounts}}") == "old running kept"
    assert docker("ps", "-q", "--filter", "label=a=b")
    assert docker("images", "--format", "{{.Repository}}:{{.Tag}}", busybox) == busybox
    assert docker("images", "-q", "--filter", "reference=nosuch") == ""
    assert json.loads(docker("inspect", "old"))[0]["State"]["Running"] is True
    assert docker("inspect", "-f", "{{.Size}}", busybox).isdecimal()
    assert docker("logs", "old") == "said"
    assert docker("exec", "old", "echo", "there") == "there"
    assert docker("exec", "-t", "old", "echo", "there") == "there"
    docker("cp", "old:/etc/passwd", str(tmp_path / "passwd"))
    docker("cp", str(tmp_path / "passwd"), "old:/tmp/p")
    assert docker("stats", "--no-stream", "--format", "{{.Name}}") == "old"
    assert "bridge" in docker("network", "ls", "--format", "{{.Name}}").split()
    assert "kept" in docker("volume", "ls", "-q").split()
    assert docker("info", "--format", "{{.Driver}}") == "squashfs"
    assert docker("top", "old")
    assert docker("port", "old") == ""


def test_what_older_versions_have(running: Hyperd, busybox: str) -> None:
    """Members and media types that clients of that age read, and later ones do not get."""
    api = running.api

    def at(version: str, path: str) -> Any:
        status, content = api.raw("GET", f"/v{version}{path}")
        assert status == 200, content
        return json.loads(content)

    size = api.get(f"/images/{busybox}/json")["Size"]
    for version, older in (("1.43", True), ("1.44", False)):
        images = [at(version, f"/images/{busybox}/json"), *at(version, "/images/json")]
        images += at(version, "/system/df")["Images"]
        for image in images:
            assert image.get("VirtualSize") == (image["Size"] if older else None)
    assert size == at("1.24", f"/images/{busybox}/json")["VirtualSize"]
    assert at("1.24", "/info")["SecurityOptions"] == ["vm", "seccomp"]
    assert at("1.25", "/info")["SecurityOptions"][0] == "name=vm"
    [listed] = [item for item in at("1.27", "/networks") if item["Name"] == "bridge"]
    assert [item["Name"] for item in listed["Containers"].values()] == ["old"]
    [listed] = [item for item in at("1.28", "/networks") if item["Name"] == "bridge"]
    assert listed["Containers"] == {}
    for version, media in (("1.41", "raw"), ("1.42", "multiplexed")):
        with api.open(f"/v{version}/containers/old/logs?stdout=1") as log:
            assert log.headers["Content-Type"] == f"application/vnd.docker.{media}-stream"
            assert log.read() == b"\x01\0\0\0\0\0\0\x05said\n"


def test_own_names_are_aliases_until_they_have_a_place_of_their_own(
    daemon: Hyperd, busybox: str
) -> None:
    """Short id and host name on users' networks; nothing on the default one."""
    network = daemon.api.post("/networks/create", {"Name": "mine"})["Id"]
    asked = {"mine": {"Aliases": ["x"]}}
    container = create(
        daemon,
        busybox,
        "true",
        Hostname="h",
        HostConfig={"NetworkMode": "mine"},
        NetworkingConfig={"EndpointsConfig": asked},
    )
    for version, expected in (("1.44", ["x", container[:12], "h"]), ("1.45", ["x"])):
        _, content = daemon.api.raw("GET", f"/v{version}/containers/{container}/json")
        found = json.loads(content)["NetworkSettings"]["Networks"]["mine"]
        assert found["Aliases"] == expected
    daemon.api.delete(f"/containers/{container}")
    daemon.api.delete(f"/networks/{network}")

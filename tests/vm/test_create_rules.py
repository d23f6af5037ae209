"""What dockerd checks when a container is made, what it leaves to the start, and with which status: nothing boots here.

The right values were seen of dockerd 28.5.2.
"""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest

from tests.support.containers import create
from tests.support.hyperd import Hyperd

pytestmark = pytest.mark.vm


def made(daemon: Hyperd, image: str, query: str = "", **body: Any) -> Any:
    """A new container as inspect shows it."""
    answer = daemon.api.post(f"/containers/create?{query}", {"Image": image, **body})
    return daemon.api.get(f"/containers/{answer['Id']}/json")


def status_of(daemon: Hyperd, method: str, path: str, body: Any = None) -> tuple[int, str]:
    """Status and message."""
    data = None if body is None else json.dumps(body).encode()
    status, content = daemon.api.raw(method, path, data)
    return status, json.loads(content)["message"] if status >= 400 else ""


def test_an_image_of_another_platform(daemon: Hyperd, busybox: str) -> None:
    """404 when another was asked for, which makes clients pull it."""
    for platform in ("linux/arm64", "linux/386", "windows/amd64"):
        path = f"/containers/create?platform={platform}"
        got = status_of(daemon, "POST", path, {"Image": busybox})
        assert got == (
            404,
            f"image with reference {busybox} was found but its platform (linux/amd64) does not match the specified "
            f"platform ({platform})",
        )
    for platform in ("linux/amd64", "linux", "amd64", "linux/x86_64", ""):
        made(daemon, busybox, f"platform={platform}", Cmd=["true"])


def test_create_with_missing_objects_is_404_for_an_image_alone(
    daemon: Hyperd, busybox: str
) -> None:
    """Only a missing image is a 404; a network may come later; links of the default network and VolumesFrom are 400."""
    body = {"Image": busybox, "Cmd": ["true"]}
    late = made(daemon, busybox, HostConfig={"NetworkMode": "late"}, Cmd=["true"])
    assert late["NetworkSettings"]["Networks"]["late"]["NetworkID"] == ""
    endpoints = {"late2": {"Aliases": ["a"], "IPAMConfig": {"IPv4Address": "10.77.0.9"}}}
    other = made(daemon, busybox, NetworkingConfig={"EndpointsConfig": endpoints}, Cmd=["true"])
    assert other["NetworkSettings"]["Networks"]["late2"]["Aliases"] == ["a"]
    for container, name in ((late, "late"), (other, "late2")):
        path = f"/containers/{container['Id']}/start"
        words = f"failed to set up container networking: network {name} not found"
        assert status_of(daemon, "POST", path) == (404, words)
        state = daemon.api.get(f"/containers/{container['Id']}/json")["State"]
        assert (state["Status"], state["Error"]) == ("created", words)
    daemon.api.post("/networks/create", {"Name": "mine"})
    # On a user's network a link is a name, for whoever will be called so.
    made(daemon, busybox, HostConfig={"NetworkMode": "mine", "Links": ["nobody:x"]}, Cmd=["true"])
    made(daemon, busybox, HostConfig={"NetworkMode": "container:nobody"}, Cmd=["true"])
    refusals = {
        "could not get container for nobody: No such container: nobody": {"Links": ["nobody:x"]},
        "No such container: nobody": {"VolumesFrom": ["nobody"]},
    }
    for words, host in refusals.items():
        got = status_of(daemon, "POST", "/containers/create", {**body, "HostConfig": host})
        assert got == (400, words)
    daemon.clear()
    daemon.api.delete("/networks/mine")


def test_the_client_pulls_for_a_missing_image_only(daemon: Hyperd, busybox: str) -> None:
    """``docker create`` with a network that is not there makes the container, and asks no registry."""
    done = daemon.docker("create", "--network", "nosuch", busybox, "true")
    assert (done.returncode, done.stderr) == (0, b"")
    for option in ("--link=nosuch:x", "--volumes-from=nosuch"):
        done = daemon.docker("create", option, busybox, "true")
        assert done.returncode == 1
        assert b"Unable to find image" not in done.stderr


def test_create_options_are_kept_as_inspect_shows_them(daemon: Hyperd, busybox: str) -> None:
    """Names in any case, one string for a list, a clean directory, and annotations in lists since 1.46."""
    data = json.dumps(
        {
            "image": busybox,
            "CMD": "ls",
            "workingdir": "/tmp//a/../b/",
            "hostconfig": {"memory": 134217728, "binds": ["/tmp:/t"], "annotations": {"a": "b"}},
        }
    ).encode()
    status, content = daemon.api.raw("POST", "/containers/create", data)
    assert status == 201, content
    found = daemon.api.get(f"/containers/{json.loads(content)['Id']}/json")
    assert found["Config"]["Cmd"] == ["ls"]
    assert found["Config"]["WorkingDir"] == "/tmp/b"
    assert found["HostConfig"]["Memory"] == 128 << 20
    assert found["HostConfig"]["Binds"] == ["/tmp:/t"]
    for version, shown in (("1.45", None), ("1.46", {"a": "b"})):
        _, content = daemon.api.raw("GET", f"/v{version}/containers/json?all=1")
        [listed] = json.loads(content)
        assert listed["HostConfig"].get("Annotations") == shown


def test_defaults_of_older_clients_and_small_limits(daemon: Hyperd, busybox: str) -> None:
    """IPC was shareable before 1.40; less than a hundredth of a CPU is one, with a warning."""
    for version, mode in (("1.39", "shareable"), ("1.40", "private")):
        data = json.dumps({"Image": busybox, "Cmd": ["true"]}).encode()
        _, content = daemon.api.raw("POST", f"/v{version}/containers/create", data)
        path = f"/containers/{json.loads(content)['Id']}/json"
        assert daemon.api.get(path)["HostConfig"]["IpcMode"] == mode
    answer = daemon.api.post(
        "/containers/create",
        {"Image": busybox, "Cmd": ["true"], "HostConfig": {"NanoCpus": 500_000}},
    )
    assert answer["Warnings"] == ["Less than 0.01 CPUs are not possible: that is the limit."]
    privileged = made(daemon, busybox, Cmd=["true"], HostConfig={"Privileged": True})["HostConfig"]
    assert privileged["MaskedPaths"] is privileged["ReadonlyPaths"] is None
    unmasked = {"MaskedPaths": [], "ReadonlyPaths": []}
    host = made(daemon, busybox, Cmd=["true"], HostConfig=unmasked)["HostConfig"]
    assert host["MaskedPaths"] == host["ReadonlyPaths"] == []


def test_the_working_directory_is_there_from_the_creation_on(daemon: Hyperd, busybox: str) -> None:
    """docker cp of a container that never ran finds it."""
    box = made(daemon, busybox, Cmd=["true"], WorkingDir="/made/here")["Id"]
    assert daemon.run("cp", f"{box}:/made/here", "-").startswith(b"here/")


@pytest.mark.parametrize("cpus", ["1-42,,", "a", "1-", "-1"])
def test_sets_of_cpus_that_cannot_be_read_are_refused(
    daemon: Hyperd, busybox: str, cpus: str
) -> None:
    """At the creation, in dockerd's words."""
    body = {"Image": busybox, "Cmd": ["true"], "HostConfig": {"CpusetCpus": cpus}}
    status, message = status_of(daemon, "POST", "/containers/create", body)
    assert (status, message.partition(":")[0]) == (400, f"Invalid value {cpus} for cpuset cpus")


def test_connecting_a_stopped_container_twice(daemon: Hyperd, busybox: str) -> None:
    """200 both times; what was asked first stays."""
    container = create(daemon, busybox, "true", name="twice")
    daemon.api.post("/networks/create", {"Name": "mine"})
    for alias in ("one", "two"):
        body = {"Container": container, "EndpointConfig": {"Aliases": [alias]}}
        daemon.api.post("/networks/mine/connect", body)
    networks = daemon.api.get("/containers/twice/json")["NetworkSettings"]["Networks"]
    assert networks["mine"]["Aliases"] == ["one"]
    daemon.clear()
    daemon.api.delete("/networks/mine")


def test_ps_when_the_tag_has_moved_shows_the_images_id(daemon: Hyperd, busybox: str) -> None:
    """``docker ps`` shows the image's id then, as for one without a name."""
    daemon.run("tag", busybox, "moving:latest")
    create(daemon, "moving:latest", "true", name="old")
    image = daemon.api.get("/containers/old/json")["Image"]

    def shown() -> str:
        [listed] = daemon.api.get("/containers/json?all=1")
        return str(listed["Image"])

    assert shown() == "moving:latest"
    daemon.run("import", "-c", 'CMD ["sh"]', "-", "moving:latest", stdin=b"\0" * 1024)
    assert shown() == image
    daemon.run("rmi", "moving:latest")
    assert shown() == image


def test_container_by_a_links_path_is_found(daemon: Hyperd, busybox: str) -> None:
    """A container may be called owner/alias there, and a link be removed so."""
    create(daemon, busybox, "true", name="db")
    create(daemon, busybox, "true", name="web", HostConfig={"Links": ["db:store"]})
    for prefix in ("", "/v1.47"):
        status, content = daemon.api.raw("GET", f"{prefix}/containers/web/store/json")
        assert (status, json.loads(content)["Name"]) == (200, "/db")
    assert daemon.api.raw("DELETE", "/containers/web/store?link=1") == (204, b"")
    gone = status_of(daemon, "GET", "/containers/web/store/json")
    assert gone == (404, "No such container: web/store")


def test_malformed_body_is_told_before_a_missing_object(daemon: Hyperd) -> None:
    """A malformed request is told so whatever it is about; text/plain is no JSON, and nothing is made of it."""
    paths = ("containers/nosuch/update", "containers/nosuch/exec", "exec/nosuch/start")
    paths += ("networks/nosuch/connect", "networks/nosuch/disconnect", "commit?container=nosuch")
    paths += ("volumes/create", "networks/create", "containers/create")
    volumes = daemon.api.get("/volumes")["Volumes"]
    for path in paths:
        for data, kind, words in (
            (b"{i", "application/json", "invalid JSON: invalid character 'i' looking for"),
            (b"{} x", "application/json; charset=utf-8", "unexpected content after JSON"),
            (b"{}", "text/plain", "unsupported Content-Type header (text/plain): must be"),
            (b"{}", "", "malformed Content-Type header (): mime: no media type"),
        ):
            headers = {"Content-Type": kind}
            status, content = daemon.api.raw("POST", f"/{path}", data, **headers)
            assert (status, words in json.loads(content)["message"]) == (400, True), (path, content)
    assert daemon.api.get("/volumes")["Volumes"] == volumes
    for data, words in ((b"", "got EOF"), (b"{}", "config cannot be empty"), (b"[]", "an object")):
        status, content = daemon.api.raw("POST", "/containers/create", data)
        assert (status, words in json.loads(content)["message"]) == (400, True)


def test_volumes_that_are_mounted_have_a_device(daemon: Hyperd) -> None:
    """As for dockerd; types of Hyper's own need none."""
    for options, missing in (
        ({"type": "tmpfs"}, "device"),
        ({"type": "tmpfs", "o": "size=1m"}, "device"),
        ({"device": "x"}, "type"),
        ({"o": "x"}, "device"),
    ):
        got = status_of(daemon, "POST", "/volumes/create", {"Name": "vol", "DriverOpts": options})
        assert got == (400, f'create vol: missing required option: "{missing}"')
    for options in ({"type": "tmpfs", "device": "tmpfs"}, {"type": "directory"}, {"size": "1G"}):
        daemon.api.post("/volumes/create", {"DriverOpts": options})


def test_inspect_of_an_unknown_object_asks_every_kind(daemon: Hyperd) -> None:
    """``docker inspect`` asks everywhere, for plugins and a swarm's objects last: none is there."""
    done = daemon.docker("inspect", "nosuch")
    assert done.returncode == 1
    assert b"o such object: nosuch" in done.stderr
    assert b"not implemented" not in done.stderr
    assert daemon.run("plugin", "ls", "-q") == b""


def test_buildkits_clients_are_told_that_nothing_is_built(daemon: Hyperd) -> None:
    """buildx calls gRPC at /grpc before anything else; without an answer there it would run BuildKit in a container."""
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000 04 00 00000000")
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(daemon.socket))
        client.sendall(
            b"POST /grpc HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
        )
        with client.makefile("rb") as answer:
            assert answer.readline().startswith(b"HTTP/1.1 101 ")
            while answer.readline().strip():
                pass
            client.sendall(preface + bytes.fromhex("000001 01 05 00000001 82"))
            client.shutdown(socket.SHUT_WR)
            frames = answer.read()
    assert b"building images is not implemented by Hyper yet: build with docker" in frames
    assert status_of(daemon, "POST", "/grpc")[0] == 501

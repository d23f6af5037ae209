"""Docker's local images, with a real dockerd: the session word for word, and every example of docs/images.md."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tools import imagebuilder

from tests.support import page
from tests.support.dockerd import Engine, dockerd, why_not
from tests.support.hyperd import Hyperd, hyperd
from tests.support.local_engine import FakeEngine, Reply, saved_by_containerd
from tests.support.registry import RealRegistry, registry
from tests.support.shop import BIN, PAGE, nginx

pytestmark = [pytest.mark.vm, pytest.mark.root]

USUAL = Path("/var/run/docker.sock")


class Host:
    """A host with Docker and Hyper on it."""

    def __init__(self, docker: Engine, hyper: Hyperd, environ: dict[str, str]) -> None:
        self.docker_engine = docker
        self.hyperd = hyper
        self.environ = environ

    def shell(self, line: str, folder: Path | None = None) -> str:
        """What a command line prints, errors and all."""
        return page.shell(line, self.environ, folder)

    def inspect(self, name: str) -> Any:
        """What Hyper knows of an image."""
        return self.hyperd.api.get(f"/images/{name}/json")


def started(stack: ExitStack, real: RealRegistry) -> Host:
    """Docker and Hyper serve, with the registry as the mirror of Docker Hub for both.

    Docker listens where it always does, unless the machine has a Docker of its own.
    """
    mirror = ("--registry-mirror", f"http://{real.host}")
    environ = {"PATH": f"{BIN}:{os.environ['PATH']}", "HOME": "/nonexistent", "LC_ALL": "C.UTF-8"}
    if USUAL.exists():
        docker = stack.enter_context(dockerd(*mirror))
        environ["DOCKER_HOST"] = docker.host
        ours = stack.enter_context(hyperd(*mirror, "--local-engines", docker.host))
    else:
        docker = stack.enter_context(dockerd("-H", f"unix://{USUAL}", *mirror))
        ours = stack.enter_context(hyperd(*mirror, "--local-engines", "true"))
    return Host(docker, ours, environ | {"HYPER_HOST": ours.host})


@pytest.fixture(autouse=True)
def needs_dockerd() -> None:
    """Without one there is nothing to see."""
    if (reason := why_not()) is not None:
        pytest.skip(reason)


@pytest.fixture(scope="module")
def hub() -> Iterator[RealRegistry]:
    """A registry that has nginx."""
    with registry() as running:
        running.push(nginx(), "library/nginx:latest")
        yield running


@pytest.fixture
def host(hub: RealRegistry) -> Iterator[Host]:
    """Both engines, and a registry that answers."""
    with ExitStack() as stack:
        yield started(stack, hub)


def test_session_with_dockers_local_images_prints_what_was_promised() -> None:
    """The registry has ended before hyper runs: there is nothing that could be downloaded a second time."""
    image = nginx()
    with ExitStack() as stack:
        with registry() as running:
            running.push(image, "library/nginx:latest")
            host = started(stack, running)
            assert "Downloaded newer image for nginx:latest" in host.shell(
                "docker pull nginx:latest"
            )
        before = json.loads(host.shell("docker image inspect nginx:latest"))[0]
        said = host.shell("hyper run -d nginx:latest")
        identifier = said.splitlines()[-1]
        assert re.fullmatch("[0-9a-f]{64}", identifier), said
        assert host.shell("docker ps").splitlines()[1:] == []
        assert host.shell("docker ps -aq") == ""
        (row,) = host.shell("hyper list").splitlines()[1:]
        assert row.startswith(identifier[:12])
        assert " Up " in row
        after = host.inspect("nginx:latest")
        assert after["Id"] == before["Id"] == image.id
        assert after["RepoDigests"] == before["RepoDigests"] == [f"nginx@{image.digest}"]
        assert after["RepoTags"] == ["nginx:latest"]
        assert after["RootFS"]["Layers"] == before["RootFS"]["Layers"]
        assert json.loads(host.shell("docker image inspect nginx:latest"))[0] == before
        pushed = json.loads(host.shell(f"hyper inspect {identifier}"))[0]
        assert pushed["Image"] == image.id
        assert pushed["Hyper"]["Image"]["From"] == "docker"
        assert host.shell(f"hyper run --rm nginx@{image.digest} nginx -v").startswith(
            "nginx version"
        )
        assert "No such image" in host.shell("hyper run --rm --pull never nginx:1")
        failed = host.shell("hyper run --rm --pull always nginx:latest nginx -v")
        assert "nginx version" not in failed


def test_examples_of_the_images_page_print_what_it_says(host: Host, tmp_path: Path) -> None:
    """In the page's order; each prints what the page says."""
    commands = page.examples(page.without(PAGE.read_text(), "podman's local images"))
    assert len(commands) > 15
    for command, lines in commands:
        page.check(command, lines, host.environ, tmp_path)


def test_an_explicit_pull_brings_the_newest(host: Host, hub: RealRegistry) -> None:
    """Docker's is old: run takes it, pull and --pull always ask the registry, of both clients."""
    old = imagebuilder.busybox()
    hub.push(old, "library/moving:latest")
    host.shell("docker pull moving:latest")
    new = nginx()
    hub.push(new, "library/moving:latest")
    host.shell("hyper create moving:latest")
    assert host.inspect("moving:latest")["Id"] == old.id
    assert host.inspect("moving:latest")["Hyper"]["Origin"]["From"] == "docker"
    host.shell("hyper create --pull always moving:latest")
    assert host.inspect("moving:latest")["Id"] == new.id
    assert host.inspect("moving:latest")["Hyper"]["Origin"] | {"At": "", "TookMs": 0} == {
        "From": "registry",
        "Place": "moving:latest",
        "At": "",
        "TookMs": 0,
    }
    # docker-daemon: means Docker's, though there is one of that name; the stock client's pull the registry's.
    assert "Taken from Docker" in host.shell("hyper create docker-daemon:moving")
    assert host.inspect("moving:latest")["Id"] == old.id
    host.hyperd.run("pull", "-q", "moving:latest")
    assert host.inspect("moving:latest")["Id"] == new.id
    # Neither has it: the registry; nobody has it: one error.
    hub.push(new, "library/unknown:latest")
    assert host.shell("hyper run --rm unknown nginx -v").endswith("nginx version: nginx/1.27.3\n")
    assert host.shell("hyper run --rm docker-daemon:nowhere").startswith(
        "hyper: No such image: nowhere:latest (asked: Docker ("
    )
    assert "cannot be said of oci:x" in host.shell("hyper run --pull never oci:x")
    assert "cannot be said of oci:x" in host.shell("hyper pull -a oci:x")


def test_by_docker_s_id(host: Host) -> None:
    """What `docker images` prints first is a name to hyper, too; and what Docker has no digest of."""
    short = host.shell("docker images -q busybox").strip()
    assert host.shell(f"hyper run --rm {short} echo works").endswith("\nworks\n")
    assert host.inspect(short)["RepoTags"] == []
    host.shell("docker tag busybox:latest here.example/mine:1")
    printed = host.shell("hyper run --rm here.example/mine:1 echo works")
    assert "Already here" in printed
    assert host.inspect(short)["RepoTags"] == ["here.example/mine:1"]
    assert host.inspect(short)["RepoDigests"] == []


async def test_by_a_newer_docker_s_id(tmp_path: Path) -> None:
    """Docker with containerd's image store calls an image by its digest: hyper finds it so, and uses its own id."""
    image = imagebuilder.busybox()
    engine = FakeEngine(image, digests=(f"app@{image.digest}",))
    engine.about["Id"] = image.digest
    engine.replies["get"] = Reply(body=saved_by_containerd(image, image.manifest, image.blobs))
    short = image.digest[7:19]
    async with engine.serving(tmp_path / "s") as where:
        with hyperd("--local-engines", f"unix://{where}") as ours:
            environ = {"HYPER_HOST": ours.host, "PATH": os.environ["PATH"], "HOME": "/nonexistent"}
            for reference in (short, image.digest, f"docker-daemon:{short}"):
                process = await asyncio.create_subprocess_exec(
                    BIN / "hyper", "create", reference, stdout=subprocess.PIPE, env=environ
                )
                created, _ = await process.communicate()
                container = ours.api.get(f"/containers/{created.decode().strip()}/json")
                assert container["Image"] == image.id
            assert len(engine.asked("get")) == 1


def test_docker_s_socket_may_be_ours(hub: RealRegistry) -> None:
    """hyperd that serves the socket it would look at asks nobody, and the registry as ever."""
    with hyperd(
        "--registry-mirror", f"http://{hub.host}", "--local-engines", "unix:///nowhere"
    ) as ours:
        ours.stop()
        ours.options = (*ours.options[:2], "--local-engines", ours.host)
        ours.start()
        done = subprocess.run(
            [BIN / "hyper", "run", "--rm", "nginx", "nginx", "-v"],
            env={"HYPER_HOST": ours.host, "PATH": os.environ["PATH"], "HOME": "/nonexistent"},
            capture_output=True,
            timeout=120,
        )
        assert done.stdout == b"nginx version: nginx/1.27.3\n", done.stderr
        assert b"local engine" not in done.stderr
        assert b"GET /images/docker.io" not in ours.log.read_bytes()
        status, answer = ours.api.raw("POST", "/images/create?fromImage=nginx&source=local", b"")
        assert (status, b"no other container engine is here" in answer) == (404, True), answer
        status, answer = ours.api.raw("POST", "/images/create?fromImage=nginx&source=moon", b"")
        assert (status, b"no source 'moon'" in answer) == (400, True), answer


@pytest.mark.parametrize("kind", ["oci-archive", "docker-archive"])
def test_archives_of_others_are_loaded(daemon: Hyperd, tmp_path: Path, kind: str) -> None:
    """What skopeo writes, to `hyper load` and to the reference alike: same image, and it runs."""
    image = nginx()
    imagebuilder.write_layout(tmp_path / "layout", image.manifest, image.blobs)
    path = tmp_path / "made.tar"
    subprocess.run(
        ["skopeo", "--insecure-policy", "copy", "--quiet", f"oci:{tmp_path}/layout:image", f"{kind}:{path}:made:1"],
        check=True,
    )  # fmt: skip
    assert daemon.run("load", stdin=path.read_bytes()) == b"Loaded image: made:1\n"
    assert daemon.api.get("/images/made:1/json")["Id"] == image.id
    assert daemon.api.get("/images/made:1/json")["Hyper"]["Origin"]["From"] == "archive"
    daemon.run("rmi", "made:1")
    environ = {"HYPER_HOST": daemon.host, "PATH": os.environ["PATH"], "HOME": "/nonexistent"}
    for choice in ("", ":made:1"):
        done = subprocess.run(
            [BIN / "hyper", "run", "--rm", f"{kind}:{path}{choice}", "nginx", "-v"],
            env=environ,
            capture_output=True,
            timeout=120,
        )
        assert done.stdout == b"nginx version: nginx/1.27.3\n", done.stderr
    daemon.run("rmi", "-f", image.id)

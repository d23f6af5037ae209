"""docker-py against hyperd: the client most tools are built on."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import docker
import pytest
from docker.errors import APIError, ContainerError, ImageNotFound, NotFound

from tests.support.hyperd import Hyperd

pytestmark = [
    pytest.mark.vm,
    # docker-py leaves the sockets of taken-over connections to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def client(daemon: Hyperd) -> Iterator[docker.DockerClient]:
    """A client with everything negotiated."""
    made = docker.DockerClient(base_url=daemon.host, version="auto", timeout=120)
    yield made
    made.close()
    gc.collect()


def test_run_and_its_errors(client: docker.DockerClient, busybox: str) -> None:
    """Output of a program, its failure as ContainerError, a missing image as ImageNotFound."""
    assert client.containers.run(busybox, ["echo", "hello"], remove=True) == b"hello\n"
    with pytest.raises(ContainerError) as failed:
        client.containers.run(busybox, ["sh", "-c", "echo bad >&2; exit 3"], remove=True)
    assert (failed.value.exit_status, failed.value.stderr) == (3, b"bad\n")
    with pytest.raises(ImageNotFound):
        client.images.get("localhost:1/nosuch")
    with pytest.raises(NotFound):
        client.containers.get("nosuch")


def test_a_life(client: docker.DockerClient, busybox: str) -> None:
    """create, start, exec, logs, attach, stop, wait, remove, through its objects."""
    box = client.containers.create(busybox, ["sh", "-c", "echo up; exec sleep 600"], name="py")
    box.start()
    box.reload()
    assert box.status == "running"
    assert box.exec_run(["sh", "-c", "echo $A; exit 5"], environment={"A": "1"}) == (5, b"1\n")
    out, err = box.exec_run(["sh", "-c", "echo o; echo e >&2"], demux=True).output
    assert (out, err) == (b"o\n", b"e\n")
    stream = box.logs(stream=True, follow=True)
    assert next(stream) == b"up\n"
    stream.close()
    box.kill("SIGKILL")
    assert box.wait()["StatusCode"] == 137
    box.remove()
    with pytest.raises(NotFound):
        box.reload()


def test_an_exec_socket_carries_input(client: docker.DockerClient, busybox: str) -> None:
    """The raw connection docker-py hands out, with a half-close."""
    box = client.containers.run(busybox, ["sleep", "600"], detach=True)
    made = client.api.exec_create(box.id, ["cat"], stdin=True)
    sock = client.api.exec_start(made["Id"], socket=True)
    raw = sock._sock
    raw.sendall(b"through and back\n")
    raw.shutdown(1)
    answer = b""
    while piece := raw.recv(4096):
        answer += piece
    sock.close()
    assert answer == b"\x01\0\0\0\0\0\0\x11through and back\n"
    assert client.api.exec_inspect(made["Id"])["ExitCode"] == 0


def test_lists_and_filters(client: docker.DockerClient, busybox: str) -> None:
    """By label and status; images by name; the daemon's own words."""
    client.containers.create(busybox, ["true"], labels={"k": "v"}, name="one")
    client.containers.create(busybox, ["true"], name="two")
    assert [c.name for c in client.containers.list(all=True, filters={"label": "k=v"})] == ["one"]
    repository = busybox.rpartition(":")[0]
    assert [image.tags for image in client.images.list(name=repository)] == [[busybox]]
    assert client.ping()
    assert client.version()["ApiVersion"] == "1.47"
    assert client.info()["Containers"] == 2


def test_what_is_not_there_yet_says_so(client: docker.DockerClient) -> None:
    """501 with one clear sentence."""
    with pytest.raises(APIError, match="not implemented by Hyper yet") as refused:
        client.plugins.install("nosuch")
    assert refused.value.status_code == 501


def test_nothing_of_an_attach_is_lost(client: docker.DockerClient, busybox: str) -> None:
    """What was written before comes right after the head of the answer, and docker-py would lose it with that."""
    box = client.containers.run(busybox, ["sh", "-c", "echo a; echo b >&2; echo c"], detach=True)
    assert box.wait()["StatusCode"] == 0
    for _ in range(30):
        assert sorted(box.attach(logs=True, stream=False).split()) == [b"a", b"b", b"c"]
    box.remove()


def test_a_disabled_network_is_none(client: docker.DockerClient, busybox: str) -> None:
    """``NetworkDisabled``, which older clients say instead of a mode: there is the loopback and nothing else."""
    words = ["ls", "/sys/class/net"]
    made = client.api.create_container(busybox, words, network_disabled=True)
    client.api.start(made)
    assert client.api.wait(made)["StatusCode"] == 0
    assert client.api.logs(made) == b"lo\n"
    assert client.api.inspect_container(made)["HostConfig"]["NetworkMode"] == "none"
    client.api.remove_container(made)


def test_a_runtime_is_read_where_docker_py_says_it(
    client: docker.DockerClient, busybox: str
) -> None:
    """Beside HostConfig: kept and warned about like there, and one that there is not is refused."""
    made = client.api.create_container(busybox, ["true"], runtime="runc")
    assert made["Warnings"] == ["HostConfig.Runtime runc has no effect: hyper runs it."]
    assert client.api.inspect_container(made["Id"])["HostConfig"]["Runtime"] == "runc"
    client.api.remove_container(made["Id"])
    with pytest.raises(APIError, match="unknown or invalid runtime name: nosuch"):
        client.api.create_container(busybox, ["true"], runtime="nosuch")

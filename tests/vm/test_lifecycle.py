"""Names, lists, waiting and tidying up: through docker-py and the stock client."""

from __future__ import annotations

import asyncio
import gc
import json
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp
import docker
import pytest
from docker.errors import APIError

from tests.support.api import ApiError, contract
from tests.support.containers import create, inspect, listed, until
from tests.support.hyperd import Hyperd, hyperd

pytestmark = [
    pytest.mark.vm,
    # docker-py leaves the sockets of taken-over connections to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def test_container_when_renamed_frees_its_old_name(daemon: Hyperd, busybox: str) -> None:
    """The old name is free, the new one is kept, and who is in the way is named."""
    events = daemon.api.lines("/events")
    first, second = (create(daemon, busybox, "true", name=name) for name in ("one", "two"))
    daemon.run("rename", "one", "three")
    renamed = until(events, "rename", "three")["Actor"]["Attributes"]
    assert renamed["oldName"] == "/one"
    assert inspect(daemon, "three")["Id"] == first
    create(daemon, busybox, "true", name="one")
    cases = {
        "two": (409, f'already in use by container "{second}"'),
        "three": (400, "Renaming a container with the same name"),
        "": (400, "Neither old nor new names may be empty"),
        "a%20b": (400, "Invalid container name"),
    }
    for name, (status, words) in cases.items():
        with pytest.raises(ApiError, match=words) as refused:
            daemon.api.post(f"/containers/three/rename?name={name}")
        assert refused.value.status == status
    events.close()


def test_inspect_shows_what_nobody_asked_for(daemon: Hyperd, busybox: str, tmp_path: Path) -> None:
    """Every member of HostConfig but those that dockerd leaves out, too: tools look at them without asking first."""
    file = tmp_path / "id"
    daemon.run("create", "--name", "plain", "--cidfile", str(file), busybox, "true")
    shown = inspect(daemon, "plain")["HostConfig"]
    members = set(definition("HostConfig")) | set(definition("Resources"))
    assert members - set(shown) == {
        *("Annotations", "Init", "KernelMemoryTCP", "MemorySwappiness", "Mounts"),
        *("StorageOpt", "Sysctls", "Tmpfs"),
    }
    assert shown["ContainerIDFile"] == str(file)
    assert not any(shown[name] for name in ("Devices", "BlkioWeight", "CgroupParent", "CpuCount"))


def definition(name: str) -> dict[str, Any]:
    """The members of one of the contract's definitions that are its own."""
    found = contract()["definitions"][name]
    own: dict[str, Any] = found.get("properties") or found["allOf"][1]["properties"]
    return own


def test_container_prune_removes_what_does_not_run(daemon: Hyperd, busybox: str) -> None:
    """What does not run goes, if its labels and age say so."""
    client = docker.DockerClient(base_url=daemon.host, version="auto")
    for name, label in (("aa", "keep"), ("bb", "drop"), ("cc", "drop")):
        client.containers.create(busybox, "true", name=name, labels={label: "1"})
    daemon.run("run", "-d", "--name", "up", "-l", "drop=1", busybox, "sleep", "600")
    assert client.containers.prune({"until": "1h"})["ContainersDeleted"] is None
    pruned = client.containers.prune({"label": "drop"})
    assert (len(pruned["ContainersDeleted"]), pruned["SpaceReclaimed"] >= 0) == (2, True)
    assert listed(daemon) == ["up", "aa"]
    with pytest.raises(APIError, match="invalid value for 'until'"):
        client.containers.prune({"until": "soon"})
    assert client.containers.prune({"label!": "keep"})["ContainersDeleted"] is None
    assert b"Total reclaimed space" in daemon.run("container", "prune", "-f")
    assert listed(daemon) == ["up"]
    client.close()


def test_wait_returns_at_the_moment_of_its_condition(daemon: Hyperd, busybox: str) -> None:
    """Each condition has its own moment; the answer's head comes at once."""
    client = docker.DockerClient(base_url=daemon.host, version="auto")
    box = client.containers.create(busybox, ["sh", "-c", "read x; exit $x"], stdin_open=True)
    assert box.wait(condition="not-running")["StatusCode"] == 0
    waiting = {
        word: daemon.api.begin("POST", f"/containers/{box.id}/wait?condition={word}")
        for word in ("next-exit", "removed")
    }
    answers = {word: connection.getresponse() for word, connection in waiting.items()}
    sock = box.attach_socket(params={"stdin": 1, "stream": 1})
    box.start()
    sock._sock.sendall(b"5\n")
    assert json.loads(answers["next-exit"].read())["StatusCode"] == 5
    sock._sock.close()
    sock.close()
    box.remove()
    assert json.loads(answers["removed"].read())["StatusCode"] == 5
    for connection in waiting.values():
        connection.close()
    refused = daemon.api.raw("POST", "/containers/x/wait?condition=never")
    assert refused[0] in (400, 404)
    client.close()
    gc.collect()


def test_attach_through_a_websocket(daemon: Hyperd, busybox: str) -> None:
    """Input and output, the program's end, detach keys, resize; and who speaks no WebSocket is told."""
    box = create(daemon, busybox, "cat", name="cat", OpenStdin=True, StdinOnce=True)
    term = create(daemon, busybox, "sh", OpenStdin=True, Tty=True)
    for container in (box, term):
        daemon.api.post(f"/containers/{container}/start")
    words = "stream=1&stdin=1&stdout=1&stderr=1"
    asyncio.run(_websockets(daemon.socket, box, term, words))
    assert daemon.api.post(f"/containers/{box}/wait")["StatusCode"] == 0
    assert inspect(daemon, term)["State"]["Running"]
    status, body = daemon.api.raw("GET", f"/containers/{term}/attach/ws?{words}")
    assert (status, json.loads(body)) == (400, {"message": "not websocket protocol"})


async def _websockets(path: Path, box: str, term: str, words: str) -> None:
    connector = aiohttp.UnixConnector(str(path))
    async with aiohttp.ClientSession("http://docker", connector=connector) as session:
        route = f"/v1.47/containers/{box}/attach/ws?{words}"
        async with session.ws_connect(route, protocols=("chat",)) as socket:
            assert socket.protocol == "chat"
            await socket.send_str("text\n")
            assert (await socket.receive()).data == b"text\n"
            await socket.send_bytes(b"\xff\n")
            assert (await socket.receive()).data == b"\xff\n"
        async with session.ws_connect(f"/v1.24/containers/{term}/attach/ws?{words}") as socket:
            async with session.post(f"/containers/{term}/resize?h=33&w=99") as answer:
                assert answer.status == 200
            await socket.send_str("stty size\n")
            seen = ""
            while "33 99" not in seen:
                seen += (await socket.receive()).data
            await socket.send_bytes(b"\x10\x11")
            while (await socket.receive()).type not in (
                aiohttp.WSMsgType.CLOSE,
                aiohttp.WSMsgType.CLOSED,
            ):
                pass


def test_requests_during_a_start_are_about_the_container_that_runs_then(busybox: str) -> None:
    """It is about the container that runs then, as with dockerd: Compose stops all when one has ended early."""
    # Without templates, and of a size that no machine waits with: the log has a machine once the start is under way.
    with hyperd("--templates=false") as daemon:
        daemon.run("pull", "-q", busybox)
        container = create(daemon, busybox, "sleep", "1000", HostConfig={"Memory": 200 << 20})
        path = f"/containers/{container}"
        ends = {"stop?t=0": "exited", "kill": "exited", "exec": "running", "pause": "paused"}
        for verb, status in ends.items():
            mark = daemon.log.stat().st_size
            with closing(daemon.api.begin("POST", f"{path}/start")) as starting:
                next(daemon.lines(r"machine [0-9a-f]{16} is made", after=mark))
                daemon.api.post(f"{path}/{verb}", {"Cmd": ["true"]} if verb == "exec" else None)
                assert starting.getresponse().status == 204
            assert inspect(daemon, container)["State"]["Status"] == status
            if status == "running":
                daemon.api.post(f"{path}/stop?t=0")

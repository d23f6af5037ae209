"""Clients that vanish, stall, or speak no HTTP: the container goes on and the daemon keeps nothing of them."""

from __future__ import annotations

import contextlib
import json
import os
import random
import select
import signal
import socket
import threading
from collections.abc import Iterator

import pytest

from hyper.api.connections import MAX_BODIES, MAX_BODY
from tests.support.connections import FLOOD, STREAMS, TIMEOUT_S, connect, head, send
from tests.support.containers import create, follow
from tests.support.daemon_log import bugs
from tests.support.descriptors import nothing_is_kept
from tests.support.hyperd import Hyperd

pytestmark = pytest.mark.vm


@pytest.fixture
def box(daemon: Hyperd, busybox: str) -> str:
    """A running container that is silent."""
    container = create(daemon, busybox, "sleep", "3600")
    daemon.api.post(f"/containers/{container}/start")
    return container


@pytest.mark.parametrize("seed", range(3))
def test_garbage_instead_of_http(daemon: Hyperd, seed: int) -> None:
    """Random bytes, endless lines, half requests: each connection ends, the daemon serves on."""
    noise = random.Random(seed)
    garbage = [
        noise.randbytes(10_000),
        b"\0" * 100_000,
        b"GET /" + b"x" * 1_000_000,
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 100_000,
        b"\x16\x03\x01\x02\x00\x01\x00" + noise.randbytes(500),
        b"POST /containers/create HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nZZZ\r\n",
        b"POST /containers/create HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
        b"POST /containers/create HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n123456",
        b"GET /info HTTP/9.9\r\n\r\n",
    ]
    with nothing_is_kept(daemon):
        for data in garbage:
            with connect(daemon) as sock, contextlib.suppress(ConnectionError):
                sock.sendall(data)
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(65536):
                    pass
    assert bugs(daemon) == []
    log = daemon.log.read_text()
    assert "a malformed request was refused: " in log
    assert "Traceback" not in log


@pytest.mark.parametrize("lie", [10**6, 10**18])
def test_a_content_length_that_lies(daemon: Hyperd, lie: int) -> None:
    """More is promised than comes: the request ends with its connection."""
    with nothing_is_kept(daemon):
        for _ in range(20):
            with connect(daemon) as sock:
                text = f"POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: {lie}\r\n\r\n{{"
                sock.sendall(text.encode())
    assert daemon.api.get("/containers/json?all=1") == []


def test_two_hundred_connections_opened_and_dropped(daemon: Hyperd) -> None:
    """Some with nothing, some with half a request, all open at once."""
    with nothing_is_kept(daemon), contextlib.ExitStack() as stack:
        for number in range(200):
            sock = stack.enter_context(connect(daemon))
            sock.sendall(b"GET /info HT"[: number % 12])
        assert daemon.api.get("/_ping") == b"OK"


def test_unfinished_bodies_have_a_common_bound(daemon: Hyperd) -> None:
    """Large bodies that do not come to their end: so many are kept, the others are refused in words, and
    ordinary requests are served meanwhile."""
    most = MAX_BODIES // (MAX_BODY // 2) + 4
    head_ = f"POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: {MAX_BODY}\r\n\r\n"
    with nothing_is_kept(daemon), contextlib.ExitStack() as stack:
        opened = [stack.enter_context(connect(daemon)) for _ in range(most)]
        for sock in opened:
            sock.sendall(head_.encode() + b"{" * (MAX_BODY // 2))
        refusals = [sock.recv(4096) for sock in select.select(opened, [], [], 60)[0]]
        assert refusals
        for answer in refusals:
            assert answer.startswith(b"HTTP/1.1 503 "), answer
            assert b"too many large requests are under way" in answer
        assert daemon.api.get("/_ping") == b"OK"
        status, _ = daemon.api.raw("POST", "/containers/create", b'{"Image": "nosuch"}')
        assert status == 404


def test_a_queue_for_all_who_come_at_once(own_daemon: Hyperd) -> None:
    """The daemon has no time for them, and hundreds of clients connect: none is turned away, and all are served."""
    os.kill(own_daemon.pid, signal.SIGSTOP)
    try:
        with contextlib.ExitStack() as stack:
            socks = [
                stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
                for _ in range(800)
            ]
            for sock in socks:
                sock.setblocking(False)
                sock.connect(str(own_daemon.socket))  # BlockingIOError: the queue is full
            os.kill(own_daemon.pid, signal.SIGCONT)
            for sock in socks:
                sock.setblocking(True)
                sock.sendall(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n")
            assert all(sock.recv(64).startswith(b"HTTP/1.1 200 ") for sock in socks)
    finally:
        os.kill(own_daemon.pid, signal.SIGCONT)


@pytest.mark.parametrize("half_closed", [False, True])
@pytest.mark.parametrize("stream", STREAMS)
def test_a_client_that_disappears_from_a_silent_stream(
    daemon: Hyperd, box: str, stream: str, half_closed: bool
) -> None:
    """Ten of each; docker closes its half at once where it has no input, and then nothing tells of its death."""
    method, path, upgrade = STREAMS[stream]
    with nothing_is_kept(daemon):
        for _ in range(10):
            with send(daemon, method, path.format(id=box), upgrade=upgrade) as sock:
                head(sock)
                if half_closed:
                    sock.shutdown(socket.SHUT_WR)
                    daemon.api.get("/_ping")
    assert daemon.api.get(f"/containers/{box}/json")["State"]["Running"]
    assert daemon.api.get("/info")["NEventsListener"] == 0


@pytest.mark.parametrize("tty", [False, True])
def test_a_client_that_disappears_from_a_flood_both_ways(
    daemon: Hyperd, busybox: str, tty: bool
) -> None:
    """What was typed comes back as fast as it can; the client dies; the next one finds the program alive."""
    container = create(daemon, busybox, "sh", "-c", "stty raw -echo 2>/dev/null; echo up; exec cat",
                       OpenStdin=True, Tty=tty)  # fmt: skip
    daemon.api.post(f"/containers/{container}/start")
    follow(daemon, container, "up")
    path = f"/containers/{container}/attach?stream=1&stdin=1&stdout=1&detachKeys=ctrl-@"
    with nothing_is_kept(daemon):
        for _ in range(3):
            sock = send(daemon, "POST", path, upgrade=True)
            head(sock)
            got, sent = 0, 0
            sock.setblocking(False)
            while got < 1_000_000:
                readable, writable, _ = select.select([sock], [sock], [], TIMEOUT_S)
                assert readable or writable
                if writable:
                    with contextlib.suppress(BlockingIOError):
                        sent += sock.send(b"x" * 65536)
                if readable:
                    got += len(sock.recv(65536))
            sock.close()
    with send(daemon, "POST", path, upgrade=True) as sock:
        head(sock)
        sock.sendall(b"\nalive\n")
        seen = b""
        while b"alive" not in seen:
            piece = sock.recv(65536)
            assert piece
            seen = seen[-10:] + piece


def test_a_client_that_disappears_from_a_flood_it_does_not_read(
    daemon: Hyperd, busybox: str
) -> None:
    """It held the program up; without it the program goes on."""
    container = create(
        daemon, busybox, "sh", "-c", "head -c 30000000 /dev/zero | tr '\\0' '\\n'; echo end"
    )
    path = f"/containers/{container}/attach?stream=1&stdout=1"
    with nothing_is_kept(daemon):
        with send(daemon, "POST", path, upgrade=True) as sock:
            head(sock)
            daemon.api.post(f"/containers/{container}/start")
            sock.recv(1)
        assert daemon.api.post(f"/containers/{container}/wait")["StatusCode"] == 0
        daemon.api.post(f"/containers/{container}/stop")
    assert daemon.api.get(f"/containers/{container}/logs?stdout=1&tail=1").endswith(b"end\n")


@pytest.mark.parametrize("verb", ["kill", "stop?t=1", "rm"])
def test_a_client_that_does_not_read_cannot_keep_a_container_from_ending(
    daemon: Hyperd, busybox: str, verb: str
) -> None:
    """Somebody's terminal is held by ctrl-s, and somebody else ends the container."""
    container = create(daemon, busybox, "sh", "-c", FLOOD)
    with send(
        daemon, "POST", f"/containers/{container}/attach?stream=1&stdout=1", upgrade=True
    ) as sock:
        head(sock)
        daemon.api.post(f"/containers/{container}/start")
        sock.recv(1)
        exec_id = daemon.api.post(f"/containers/{container}/exec",
                                  {"Cmd": ["cat", "/dev/zero"], "AttachStdout": True})["Id"]  # fmt: skip
        with send(daemon, "POST", f"/exec/{exec_id}/start", b"{}", upgrade=True) as other:
            head(other)
            other.recv(1)
            if verb == "rm":
                daemon.api.delete(f"/containers/{container}?force=1")
                assert daemon.api.get("/containers/json?all=1") == []
            else:
                daemon.api.post(f"/containers/{container}/{verb}")
                assert daemon.api.get(f"/containers/{container}/json")["State"]["ExitCode"] == 137
            for stream in (sock, other):  # what was on its way is still there, and then the end
                while stream.recv(1 << 20):
                    pass
            if verb != "rm":
                assert not daemon.api.get(f"/exec/{exec_id}/json")["Running"]
    assert bugs(daemon) == []


def test_a_client_that_disappears_from_an_exec(daemon: Hyperd, box: str) -> None:
    """Its program goes on without it, as in Docker, and finds the end of its input."""
    script = "cat > /dev/null; until [ -e /go ]; do :; done; exit 7"
    body = {"Cmd": ["sh", "-c", script], "AttachStdin": True, "AttachStdout": True}
    exec_id = daemon.api.post(f"/containers/{box}/exec", body)["Id"]
    events = daemon.api.lines("/events")
    told = (item["Actor"]["Attributes"] | {"Action": item["Action"]} for item in events)
    mine = (item for item in told if item.get("execID") == exec_id)
    with nothing_is_kept(daemon):
        with send(daemon, "POST", f"/exec/{exec_id}/start", b"{}", upgrade=True) as sock:
            head(sock)
            sock.sendall(b"x" * 100_000)
        assert next(mine)["Action"].startswith("exec_start")
    assert daemon.api.get(f"/exec/{exec_id}/json")["Running"]
    daemon.run("exec", box, "touch", "/go")
    assert next(mine)["exitCode"] == "7"
    events.close()


def test_the_size_of_an_execs_terminal_comes_with_its_start(daemon: Hyperd, box: str) -> None:
    """Clients say it once they are connected, which is before the program runs: it is waited for, as by dockerd."""
    body = {"Cmd": ["sh", "-c", "read go; stty size"], "Tty": True}
    body |= {"AttachStdin": True, "AttachStdout": True}
    exec_id = daemon.api.post(f"/containers/{box}/exec", body)["Id"]
    start = f"/exec/{exec_id}/start"
    with send(daemon, "POST", start, b'{"Tty": true}', upgrade=True) as sock:
        head(sock)
        status, answer = daemon.api.raw("POST", f"/exec/{exec_id}/resize?h=33&w=77")
        assert status == 200, answer
        sock.sendall(b"go\n")
        said = b""
        while piece := sock.recv(1000):
            said += piece
    assert b"33 77" in said


@pytest.mark.parametrize("verb", ["start", "stop?t=0", "restart?t=0", "kill"])
def test_what_was_begun_is_done_without_the_client(daemon: Hyperd, busybox: str, verb: str) -> None:
    """The client is gone before the answer: the container is not left half way."""
    container = create(daemon, busybox, "sleep", "3600")
    if verb != "start":
        daemon.api.post(f"/containers/{container}/start")
    last = {"start": "start", "stop": "stop", "restart": "restart", "kill": "die"}[
        verb.partition("?")[0]
    ]
    events = daemon.api.lines("/events")
    with nothing_is_kept(daemon, more=8 if verb == "start" else 0):
        send(daemon, "POST", f"/containers/{container}/{verb}").close()
        assert next(item for item in events if item["Action"] == last)["Actor"]["ID"] == container
    events.close()
    running = daemon.api.get(f"/containers/{container}/json")["State"]["Running"]
    assert running == (verb in ("start", "restart?t=0"))


def test_a_removal_is_finished_without_the_client(daemon: Hyperd, box: str) -> None:
    """rm -f of a running one."""
    events = daemon.api.lines("/events")
    send(daemon, "DELETE", f"/containers/{box}?force=1").close()
    assert next(item for item in events if item["Action"] == "destroy")["Actor"]["ID"] == box
    events.close()
    assert list((daemon.data_root / "containers").iterdir()) == []


def test_readers_of_a_container_that_is_removed_find_an_end(daemon: Hyperd, busybox: str) -> None:
    """attach, logs -f and wait, of one that runs and of one that never did."""
    for started in (False, True):
        container = create(daemon, busybox, "sh", "-c", "echo up; exec sleep 3600")
        if started:
            daemon.api.post(f"/containers/{container}/start")
        streams = []
        for method, path, upgrade in STREAMS.values():
            if "events" not in path and (started or "logs" not in path):
                full = path.format(id=container)
                full += "?condition=next-exit" if path.endswith("wait") else ""
                streams.append(send(daemon, method, full, upgrade=upgrade))
                head(streams[-1])
        daemon.api.delete(f"/containers/{container}?force=1")
        for stream in streams:
            rest = b""
            while (piece := stream.recv(65536)) and not rest.endswith(b"0\r\n\r\n"):
                rest += piece
                if rest.endswith(b"0\r\n\r\n"):
                    break
            stream.close()
    assert bugs(daemon) == []


def test_a_client_that_disappears_from_a_pull(daemon: Hyperd) -> None:
    """The registry sends slowly; the pull ends with its client, and nothing of it is kept."""
    with stalling_registry() as (host, asked):
        with nothing_is_kept(daemon):
            sock = send(daemon, "POST", f"/images/create?fromImage={host}/x&tag=latest")
            assert asked.wait(TIMEOUT_S)
            sock.close()
        status, content = daemon.api.raw("GET", f"/images/{host}/x/json")
        assert (status, "No such image" in json.loads(content)["message"]) == (404, True)


@contextlib.contextmanager
def stalling_registry() -> Iterator[tuple[str, threading.Event]]:
    """A registry that takes a request and never answers; its address, and whether it was asked."""
    asked = threading.Event()
    held: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    sock, _ = server.accept()
                    held.append(sock)
                    sock.recv(1)
                    asked.set()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}", asked
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()
            for sock in held:
                sock.close()

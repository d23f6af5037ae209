"""A daemon that knows pods as /hyper/v1/pods describes them, and runs nothing: for the command line's own tests.

What real machines do is tested in tests/vm/test_pod_cli.py.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from hyper.proto.docker_stream import STDOUT, encode_piece

#: Longer than any of these tests takes.
_PATIENCE_S = 30.0


class FakePods:
    """``images`` it has; ``output``: what each container writes in its first run; ``later``: in its second."""

    def __init__(self, address: str) -> None:
        self.host = f"unix://{address}"
        self.images: set[str] = set()
        self.output: dict[str, bytes] = {}
        self.later: dict[str, bytes] = {}
        self.status = 0
        #: A start answers with this error.
        self.start_error: str | None = None
        self.start_kind = ""
        #: Who waits until it is ready is told this; "": it is.
        self.unready = ""
        #: The pod runs until it is told to stop.
        self.until_stopped = False
        #: Its start takes until then.
        self.starts_for_ever = False
        self.requests: list[tuple[str, str]] = []
        self.bodies: list[dict[str, Any]] = []
        self.pods: dict[str, dict[str, Any]] = {}
        self.started, self.stopped = threading.Event(), threading.Event()
        self.ended, self.again = threading.Event(), threading.Event()

    def asked(self, method: str) -> list[str]:
        """Paths of the requests with ``method``, in order."""
        return [path for verb, path in self.requests if verb == method]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def address_string(self) -> str:
        return "client"

    def log_message(self, format: str, *arguments: object) -> None:
        """Silence."""

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def _serve(self) -> None:
        self.close_connection = True
        fake, url = self.server.fake, urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fake.requests.append((self.command, self.path))
        for verb, pattern, action in _ROUTES:
            found = re.fullmatch(pattern, url.path)
            if verb == self.command and found:
                query = {name: values[-1] for name, values in parse_qs(url.query).items()}
                action(self, fake, *found.groups(), query, json.loads(body or b"{}"))
                return
        self._answer(404, {"message": f"no route {self.command} {url.path}"})

    def _answer(self, status: int, body: object = None) -> None:
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if data:
            self.wfile.write(data)

    def _stream(self, status: int = 200) -> None:
        """Headers of an answer that ends with its connection."""
        self.send_response(status)
        self.end_headers()

    def _make(self, fake: FakePods, query: Any, body: dict[str, Any]) -> None:
        boxes = [*body["Init"], *body["Containers"]]
        missing = [b["Body"]["Image"] for b in boxes if b["Body"]["Image"] not in fake.images]
        name = body["Name"] or "made_up"
        if missing:
            self._answer(404, {"message": f"No such image: {missing[0]}"})
        elif name in fake.pods:
            self._answer(409, {"message": f"the name {name} is taken"})
        else:
            fake.bodies.append(body)
            fake.pods[name] = view(name, body)
            self._answer(201, {"Id": "1" * 64, "Name": name, "Warnings": ["beware"]})

    def _list(self, fake: FakePods, query: Any, body: Any) -> None:
        self._answer(200, list(fake.pods.values()))

    def _find(self, fake: FakePods, name: str) -> dict[str, Any] | None:
        pods = fake.pods.values()
        found = next((pod for pod in pods if name in (pod["Name"], pod["Id"])), None)
        if found is None:
            self._answer(404, {"message": f"No such pod: {name}"})
        return found

    def _pod(self, fake: FakePods, name: str, query: Any, body: Any) -> None:
        if (pod := self._find(fake, name)) is not None:
            self._answer(200, pod)

    def _start(self, fake: FakePods, name: str, query: Any, body: Any) -> None:
        if (pod := self._find(fake, name)) is None:
            return
        if fake.start_error:
            self._answer(500, {"message": fake.start_error, "kind": fake.start_kind})
            return
        if fake.starts_for_ever:
            fake.started.set()
            assert fake.stopped.wait(_PATIENCE_S)
            self._answer(409, {"message": f"pod {name} is being ended"})
            return
        for box in pod["Containers"]:
            box["Status"] = "exited"
            box["Restarts"] = int(f"{pod['Name']}-{box['Name']}" in fake.later)
        fake.started.set()
        self._answer(204)

    def _wait(self, fake: FakePods, name: str, query: dict[str, str], body: Any) -> None:
        if query["condition"] == "ready" and fake.unready:
            self._answer(409, {"message": fake.unready})
            return
        if query["condition"] == "ready":
            self._answer(200, {"StatusCode": 0})
            return
        assert query["condition"] == "exited"
        if fake.until_stopped:
            assert fake.stopped.wait(_PATIENCE_S)
        if fake.later:
            assert fake.again.wait(_PATIENCE_S)
        fake.ended.set()
        self._answer(200, {"StatusCode": fake.status})

    def _stop(self, fake: FakePods, name: str, query: Any, body: Any) -> None:
        if self._find(fake, name) is not None:
            fake.stopped.set()
            self._answer(204)

    def _remove(self, fake: FakePods, name: str, query: Any, body: Any) -> None:
        if (pod := self._find(fake, name)) is not None:
            del fake.pods[pod["Name"]]
            self._answer(204)

    def _attach(self, fake: FakePods, box: str, query: Any, body: Any) -> None:
        self._stream(101)
        self.wfile.flush()
        if fake.start_error:
            # What never runs ends no stream: the client has to go.
            self.rfile.read()
            return
        assert fake.started.wait(_PATIENCE_S)
        self.wfile.write(encode_piece(STDOUT, fake.output.get(box, b"")))

    def _events(self, fake: FakePods, query: Any, body: Any) -> None:
        self._stream()
        assert fake.started.wait(_PATIENCE_S)
        for box in fake.later:
            for action, time_ns in (("start", 1), ("die", 2_000_000_003), ("start", 4)):
                label = {"hyper.pod.container": box.rpartition("-")[2]}
                actor = {"ID": "x", "Attributes": label}
                event = {"Action": action, "Actor": actor, "timeNano": time_ns}
                self.wfile.write(json.dumps(event).encode())
        self.wfile.flush()
        fake.ended.wait(_PATIENCE_S)

    def _logs(self, fake: FakePods, box: str, query: dict[str, str], body: Any) -> None:
        self._stream()
        output = fake.later if "since" in query else fake.output
        self.wfile.write(encode_piece(STDOUT, output.get(box, b"")))
        fake.again.set()

    def _container(self, fake: FakePods, box: str, query: Any, body: Any) -> None:
        self._answer(200, {"Id": box, "Config": {"Tty": False}})

    def _image(self, fake: FakePods, name: str, query: Any, body: Any) -> None:
        known = name in fake.images
        self._answer(200 if known else 404, {} if known else {"message": f"No such image: {name}"})

    def _pull(self, fake: FakePods, query: dict[str, str], body: Any) -> None:
        fake.images |= {query["fromImage"], f"{query['fromImage']}:{query['tag']}"}
        self._answer(200, {"status": "fetched"})


_ROUTES: list[tuple[str, str, Any]] = [
    ("POST", "/hyper/v1/pods", _Handler._make),
    ("GET", "/hyper/v1/pods", _Handler._list),
    ("GET", "/hyper/v1/pods/([^/]+)", _Handler._pod),
    ("DELETE", "/hyper/v1/pods/([^/]+)", _Handler._remove),
    ("POST", "/hyper/v1/pods/([^/]+)/start", _Handler._start),
    ("POST", "/hyper/v1/pods/([^/]+)/stop", _Handler._stop),
    ("GET", "/hyper/v1/pods/([^/]+)/wait", _Handler._wait),
    ("POST", "/containers/([^/]+)/attach", _Handler._attach),
    ("GET", "/containers/([^/]+)/logs", _Handler._logs),
    ("GET", "/containers/([^/]+)/json", _Handler._container),
    ("GET", "/events", _Handler._events),
    ("GET", "/images/(.+)/json", _Handler._image),
    ("POST", "/images/create", _Handler._pull),
]


def view(name: str, body: dict[str, Any]) -> dict[str, Any]:
    """A PodView of a pod that was just made."""
    boxes = [
        (box, init) for key, init in (("Init", True), ("Containers", False)) for box in body[key]
    ]
    return {
        "Id": "1" * 64,
        "Name": name,
        "Hostname": name,
        "Created": "2026-01-01T00:00:00Z",
        "Labels": {},
        "Status": "running",
        "Ready": True,
        "Cpus": 1,
        "Memory": 2**28,
        "Ip": "172.17.0.2",
        "Network": "bridge",
        "Ports": {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]},
        "Volumes": [],
        "Error": "",
        "Containers": [
            {
                "Id": f"{name}-{box['Name']}",
                "Name": box["Name"],
                "Init": init,
                "Image": box["Body"]["Image"],
                "Status": "created",
                "Ready": not init,
                "ExitCode": 0,
                "Restarts": 0,
                "Error": "",
            }
            for box, init in boxes
        ],
    }


class _Server(ThreadingUnixStreamServer):
    daemon_threads = False
    block_on_close = True

    def __init__(self, fake: FakePods, address: str) -> None:
        self.fake = fake
        super().__init__(address, _Handler)


@contextmanager
def fake_pods(folder: Path) -> Iterator[FakePods]:
    """A daemon that serves until the end."""
    address = str(folder / "fake.sock")
    fake = FakePods(address)
    with _Server(fake, address) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield fake
        finally:
            for event in (fake.started, fake.stopped, fake.ended, fake.again):
                event.set()
            server.shutdown()
            thread.join()

"""The Engine API as a test speaks it: plain HTTP over the socket, every JSON answer checked against the contract.

The contract is Docker's own description of the API (tests/contract/engine-api), a Swagger 2.0 document.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import json
import re
import socket
from collections.abc import Generator
from pathlib import Path
from typing import Any

import jsonschema
import yaml

CONTRACT = Path(__file__).parents[1] / "contract/engine-api/v1.47.yaml"
TIMEOUT_S = 120.0


class ApiError(AssertionError):
    """The daemon answered with an error; ``status`` and ``message`` are its."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message


class Connection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=TIMEOUT_S)
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(TIMEOUT_S)
        self.sock.connect(self._path)


class Api:
    """Requests to one daemon. Raises: ApiError for answers ≥ 400, jsonschema's error for bad ones."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def get(self, path: str) -> Any:
        """The parsed answer to GET."""
        return self.request("GET", path)

    def post(self, path: str, body: Any = None) -> Any:
        """The parsed answer to POST."""
        return self.request("POST", path, body)

    def delete(self, path: str) -> Any:
        """The parsed answer to DELETE."""
        return self.request("DELETE", path)

    def request(self, method: str, path: str, body: Any = None) -> Any:
        """The parsed answer; None when it has no body."""
        data = None if body is None else json.dumps(body).encode()
        status, content = self.raw(method, path, data)
        if status >= 400:
            # Those of attach are text, as dockerd's.
            text = json.loads(content)["message"] if content[:1] == b"{" else content.decode()
            raise ApiError(status, text)
        if not path.startswith(
            "/hyper/"
        ):  # of what Docker has no word for its contract says nothing
            check(method, path, status, content)
        return json.loads(content) if content[:1] in (b"{", b"[") else content or None

    def raw(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, bytes]:
        """Status and body, unchecked."""
        connection = Connection(self._path)
        try:
            fields = (
                {"Content-Type": "application/json", **headers} if body is not None else headers
            )
            connection.request(method, path, body, fields)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def open(self, path: str) -> http.client.HTTPResponse:
        """A streamed answer; the caller closes it, and the connection with it."""
        connection = Connection(self._path)
        connection.request("GET", path, headers={"Connection": "close"})
        return connection.getresponse()

    def begin(self, method: str, path: str, body: Any = None) -> Connection:
        """A request whose answer nobody has waited for; the caller closes it."""
        connection = Connection(self._path)
        data = None if body is None else json.dumps(body).encode()
        connection.request(method, path, data, {"Content-Type": "application/json"})
        return connection

    def lines(self, path: str) -> Generator[Any, None, None]:
        """The objects of a streamed answer as they come; the stream is open on return. Closing ends it."""
        return self._lines(self.open(path))

    def _lines(self, answer: http.client.HTTPResponse) -> Generator[Any, None, None]:
        with contextlib.closing(answer):
            while line := answer.readline():
                yield json.loads(line)


@functools.cache
def contract() -> dict[str, Any]:
    """The contract as JSON Schema: ``x-nullable`` members may be null."""
    document = yaml.load(CONTRACT.read_text(), Loader=yaml.CSafeLoader)
    made = dict(_nullable(document))
    # dockerd answers null while an exec runs, and clients look for that.
    answer = made["paths"]["/exec/{id}/json"]["get"]["responses"][200]["schema"]
    answer["properties"]["ExitCode"]["type"] = ["integer", "null"]
    return made


def _nullable(node: Any) -> Any:
    if isinstance(node, list):
        return [_nullable(item) for item in node]
    if not isinstance(node, dict):
        return node
    made = {key: _nullable(value) for key, value in node.items()}
    # dockerd itself sends null for empty lists and maps everywhere; clients live with it.
    loose = made.pop("x-nullable", False) is True or made.get("type") in ("array", "object")
    if loose and isinstance(made.get("type"), str):
        made["type"] = [made["type"], "null"]
    return made


@functools.cache
def _patterns() -> list[tuple[re.Pattern[str], str]]:
    paths = sorted(contract()["paths"], key=lambda path: path.count("{"))
    made = [re.sub(r"\{name\}", ".+", path) for path in paths]
    return [
        (re.compile(re.sub(r"\{[^}]+\}", "[^/]+", text)), path)
        for text, path in zip(made, paths, strict=True)
    ]


def check(method: str, path: str, status: int, content: bytes) -> None:
    """The answer is one that the contract has.

    Raises:
        AssertionError: the contract has no such status. jsonschema.ValidationError: another body.
    """
    bare = re.sub(r"^/v[\d.]+", "", path.partition("?")[0])
    name = next(name for pattern, name in _patterns() if pattern.fullmatch(bare))
    responses = contract()["paths"][name][method.lower()]["responses"]
    answer = responses.get(status, responses.get(str(status)))
    assert answer is not None, f"{method} {name} may not answer {status}"
    schema = answer.get("schema")
    if schema is None or content[:1] not in (b"{", b"["):
        return
    whole = {**schema, "definitions": contract()["definitions"]}
    jsonschema.Draft4Validator(whole).validate(json.loads(content))

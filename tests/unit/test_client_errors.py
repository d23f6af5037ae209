"""Failures of a daemon as the client tells them: words for people, a kind for programs."""

from __future__ import annotations

import json
import socket
import threading

import pytest

from hyper.client import foreign
from hyper.client.address import parse_address
from hyper.client.engine import Engine
from hyper.client.errors import ApiError


def failure(server: str, body: dict[str, str]) -> ApiError:
    """What a request raises that a daemon calling itself ``server`` answers with 400 and ``body``."""
    data = json.dumps(body).encode()
    head = f"HTTP/1.1 400 Bad\r\nServer: {server}\r\nContent-Length: {len(data)}\r\n\r\n".encode()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with listener.accept()[0] as stream:
                stream.recv(65536)
                stream.sendall(head + data)

        thread = threading.Thread(target=serve)
        thread.start()
        engine = Engine(parse_address(f"tcp://127.0.0.1:{listener.getsockname()[1]}"))
        with pytest.raises(ApiError) as caught:
            engine.get("/info")
        thread.join()
    return caught.value


def test_hyperd_says_the_kind_itself() -> None:
    """Its words mean nothing to programs, whatever they are."""
    words = "exec: x: executable file not found in $PATH"
    said = {"message": words, "kind": "program-not-executable"}
    assert failure("Hyper/0.1 (linux)", said).kind == "program-not-executable"
    assert failure("Hyper/0.1 (linux)", {"message": words}).kind == ""


def test_of_another_daemon_the_words_are_read() -> None:
    """As docker does: dockerd has nothing else."""
    words = 'exec: "x": executable file not found in $PATH: unknown'
    found = failure("Docker/20.10 (linux)", {"message": words})
    assert (found.kind, found.message) == ("program-not-found", words)


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ('exec: "/x": stat /x: no such file or directory', "program-not-found"),
        ('exec: "/tmp": permission denied: unknown', "program-not-executable"),
        ('exec: "/tmp": is a directory', "program-not-executable"),
        ("No such image: x:latest", "image-not-found"),
        ("port is already allocated", ""),
    ],
)
def test_words_of_dockerd(words: str, kind: str) -> None:
    """Each kind that the command line acts on, in the words of dockerd and runc."""
    assert foreign.kind_of(words) == kind

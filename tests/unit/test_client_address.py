"""Where the client thinks the daemon is, and with whose credentials it pulls."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from hyper import config
from hyper.client.address import default_socket, find_address, parse_address
from hyper.client.credentials import auth_header, registry_of
from hyper.client.engine import Engine, container_path, image_path
from hyper.client.errors import DaemonUnreachable
from hyper.errors import InvalidRequest


@pytest.mark.parametrize("uid", [0, 1000])
@pytest.mark.parametrize("runtime", [None, "/run/user/7"])
def test_the_default_is_the_daemons(
    uid: int, runtime: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    environ = {} if runtime is None else {"XDG_RUNTIME_DIR": runtime}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert default_socket(uid, environ) == str(config.default_socket(uid=uid))


def test_order() -> None:
    environ = {"HYPER_HOST": "unix:///h", "DOCKER_HOST": "unix:///d"}
    assert find_address("unix:///f", environ).path == "/f"
    assert find_address(None, environ).path == "/h"
    assert find_address(None, {"DOCKER_HOST": "unix:///d"}).path == "/d"
    assert find_address(None, {"HYPER_HOST": "", "DOCKER_HOST": "unix:///d"}).path == "/d"
    assert find_address(None, environ).chosen
    assert not find_address(None, {}).chosen


def test_addresses() -> None:
    assert parse_address("tcp://box:99").peer == ("box", 99)
    assert parse_address("tcp://box").peer == ("box", 2375)
    assert parse_address("tcp://[::1]:99").peer == ("::1", 99)
    assert parse_address("tcp://[::1]").peer == ("::1", 2375)
    assert parse_address("http://box:1/").peer == ("box", 1)
    assert parse_address("tcp://:5").peer == ("127.0.0.1", 5)
    assert parse_address("/a/b").path == "/a/b"
    for bad in ("ssh://box", "unix://", "tcp://", "tcp://box:x", "tcp://box:0", "fd://3"):
        with pytest.raises(InvalidRequest):
            parse_address(bad)


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(DaemonUnreachable, match="Is the daemon running") as caught:
        parse_address(f"unix://{tmp_path}/none").connect()
    assert caught.value.refused


def test_a_start_is_asked_for_once(tmp_path: Path) -> None:
    asked: list[int] = []
    engine = Engine(parse_address(f"unix://{tmp_path}/none"), start=lambda: asked.append(1))
    for _ in range(2):
        with pytest.raises(DaemonUnreachable):
            engine.get("/info")
    assert asked == [1]


def test_paths() -> None:
    assert container_path("a/../b", "/json") == "/containers/a%2F..%2Fb/json"
    assert (
        image_path("localhost:5000/a@sha256:b", "/json") == "/images/localhost:5000/a@sha256:b/json"
    )
    for make in (container_path, image_path):
        with pytest.raises(InvalidRequest, match="empty"):
            make(" ")


def test_registries() -> None:
    hub = "https://index.docker.io/v1/"
    assert [registry_of(name) for name in ("nginx", "me/nginx", "docker.io/a/b")] == [hub] * 3
    assert registry_of("localhost/x") == "localhost"
    assert registry_of("localhost:5000/x:1") == "localhost:5000"
    assert registry_of("ghcr.io/a/b") == "ghcr.io"


def test_saved_credentials(tmp_path: Path) -> None:
    auth = base64.b64encode(b"me:pass:word").decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {"localhost:5000": {"auth": auth}}}))
    environ = {"DOCKER_CONFIG": str(tmp_path)}
    header = auth_header("localhost:5000/x", environ)
    assert header is not None
    assert json.loads(base64.urlsafe_b64decode(header)) == {
        "username": "me",
        "password": "pass:word",
        "serveraddress": "localhost:5000",
    }
    assert auth_header("ghcr.io/x", environ) is None
    assert auth_header("localhost:5000/x", {"DOCKER_CONFIG": "/nowhere"}) is None
    (tmp_path / "config.json").write_text("no json")
    assert auth_header("localhost:5000/x", environ) is None

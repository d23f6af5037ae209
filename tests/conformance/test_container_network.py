"""``--network container:X`` as dockerd has it: what goes together, what is said, what is shown."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.command import DOCKER, call
from tests.support.dockerd import Engine

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def engine(full_engine: Engine) -> Iterator[Engine]:
    """An engine on which a container ``owner`` runs."""
    owner = ("run", "-d", "--init", "--name", "owner", full_engine.image, "sleep", "6000")
    assert call(full_engine, DOCKER, *owner).returncode == 0
    yield full_engine
    left = call(full_engine, DOCKER, "ps", "-aq").stdout.decode().split()
    call(full_engine, DOCKER, "rm", "-f", "-v", *left)


REFUSED = {
    "-h foo": "conflicting options: hostname and the network mode",
    "--dns 1.1.1.1": "conflicting options: dns and the network mode",
    "--add-host a:1.2.3.4": "conflicting options: custom host-to-IP mapping and the network mode",
    "-p 80": "conflicting options: port publishing and the container type network mode",
    "-P": "conflicting options: port publishing and the container type network mode",
    "--expose 80": "conflicting options: port exposing and the container type network mode",
    "--link owner": "conflicting options: container type network can't be used with links. "
    "This would result in undefined behavior",
}


@pytest.mark.parametrize("flags", REFUSED)
def test_what_does_not_go_together(engine: Engine, flags: str) -> None:
    """Each with dockerd's reason."""
    words = ("create", "--network", "container:owner", *flags.split(), engine.image, "true")
    done = call(engine, DOCKER, *words)
    assert (done.returncode, done.stdout) == (1, b"")
    assert REFUSED[flags] in done.stderr.decode()


def test_the_container_may_come_later(engine: Engine) -> None:
    """A name is kept as it is while nobody is called so; the start says what is missing."""
    mode = ("create", "--name", "early", "--network", "container:nobody")
    assert call(engine, DOCKER, *mode, engine.image, "true").returncode == 0
    seen = call(engine, DOCKER, "inspect", "-f", "{{.HostConfig.NetworkMode}}", "early")
    assert seen.stdout == b"container:nobody\n"
    done = call(engine, DOCKER, "start", "early")
    assert (done.returncode, b"No such container: nobody" in done.stderr) == (1, True)
    malformed = call(engine, DOCKER, "create", "--network", "container:", engine.image, "true")
    assert b"invalid container format container:<name|id>" in malformed.stderr


def test_a_chain(engine: Engine) -> None:
    """One joins another that has joined a third: one network, one name; no network of its own can be had."""
    for name, other in (("middle", "owner"), ("last", "middle")):
        words = ("run", "-d", "--name", name, "--network", f"container:{other}", "--init")
        assert call(engine, DOCKER, *words, engine.image, "sleep", "6000").returncode == 0
    shape = "{{.Config.Hostname}} {{.NetworkSettings.Networks}} {{.State.Running}}"
    seen = [
        call(engine, DOCKER, "inspect", "-f", shape, name).stdout for name in ("middle", "last")
    ]
    assert seen[0] == seen[1]
    assert seen[0].endswith(b" map[] true\n")
    hosts = [call(engine, DOCKER, "exec", name, "cat", "/etc/hosts").stdout
             for name in ("owner", "middle", "last")]  # fmt: skip
    assert hosts[0] == hosts[1] == hosts[2] != b""
    assert call(engine, DOCKER, "network", "create", "other").returncode == 0
    refused = call(engine, DOCKER, "network", "connect", "other", "last")
    assert b"cannot be connected to any other network" in refused.stderr
    assert call(engine, DOCKER, "network", "rm", "other").returncode == 0
    assert call(engine, DOCKER, "stop", "-t", "0", "middle").returncode == 0
    assert call(engine, DOCKER, "exec", "last", "true").returncode == 0
    assert call(engine, DOCKER, "rm", "-f", "last", "middle").returncode == 0

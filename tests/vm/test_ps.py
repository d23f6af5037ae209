"""Lists of containers: every filter in docker's own words, through the stock client; sizes through the API."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.containers import inspect, listed
from tests.support.hyperd import Hyperd

pytestmark = pytest.mark.vm


@pytest.fixture(scope="module")
def daemon(shared_daemon: Hyperd, busybox: str) -> Iterator[Hyperd]:
    """The shared daemon with ``alpha``, never started, ``beta``, which ended with 3, and ``gamma``, which runs."""
    daemon = shared_daemon
    daemon.run("create", "--name", "alpha", "-l", "k=v", "-l", "a", "-p", "81", "--expose", "90-92/udp",
               "-v", "/data", busybox, "true")  # fmt: skip
    daemon.run("create", "--name", "beta", "-l", "k=w", busybox, "sh", "-c", "exit 3")
    daemon.run("run", "-d", "--name", "gamma", "--network", "none", busybox, "sleep", "600")
    daemon.docker("start", "-a", "beta")
    yield daemon
    daemon.clear()


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ("", "gamma beta alpha"),
        ("name=^/?a", "alpha"),
        ("name=a$", "gamma beta alpha"),
        ("label=k", "beta alpha"),
        ("label=k=w", "beta"),
        ("status=exited", "beta"),
        ("status=created", "alpha"),
        ("exited=3", "beta"),
        ("exited=0", ""),
        ("ancestor=nosuch", ""),
        ("before=beta", "alpha"),
        ("since=beta", "gamma"),
        ("expose=80-91/udp", "alpha"),
        ("publish=81", ""),
        ("health=none", "gamma beta alpha"),
        ("health=healthy", ""),
        ("is-task=true", ""),
        ("volume=/data", "alpha"),
        ("network=none", "gamma"),
    ],
)
def test_ps_with_a_filter_lists_who_passes(daemon: Hyperd, filters: str, names: str) -> None:
    """Who passes, the newest first."""
    name, _, value = filters.partition("=")
    assert listed(daemon, **({name: value} if filters else {})) == names.split()


def test_ps_by_id_and_by_image_lists_who_passes(daemon: Hyperd, busybox: str) -> None:
    """The beginning of an id, and an image by the name that it was made with."""
    assert listed(daemon, id=inspect(daemon, "beta")["Id"][:6]) == ["beta"]
    assert listed(daemon, ancestor=busybox) == ["gamma", "beta", "alpha"]


def test_ps_without_all_lists_who_runs(daemon: Hyperd) -> None:
    """``-l`` and ``-n`` are of all containers."""
    assert daemon.run("ps", "-q", "--filter", "name=alpha") == b""
    assert daemon.run("ps", "-l", "--format", "{{.Names}}") == b"gamma\n"
    assert daemon.run("ps", "-n", "2", "--format", "{{.Names}}").split() == [b"gamma", b"beta"]


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ("status=up", "invalid filter 'status=up'"),
        ("health=fine", "unrecognised filter value for health: fine"),
        ("exited=x", "invalid filter 'exited=x'"),
        ("publish=99999", "invalid filter 'publish=99999'"),
        ("name=(a+)+$", "the pattern is too complex"),
        ("before=nosuch", "No such container: nosuch"),
    ],
)
def test_ps_with_a_bad_filter_is_refused(daemon: Hyperd, wanted: str, words: str) -> None:
    """Docker's words, and ours for a pattern that would keep the daemon busy."""
    refused = daemon.docker("ps", "--filter", wanted)
    assert refused.returncode == 1
    assert words in refused.stderr.decode()


def test_sizes_are_told_if_asked(daemon: Hyperd) -> None:
    """What a container wrote is less than that with its image; whoever does not ask is spared the counting."""
    sizes = daemon.api.get("/containers/json?all=1&size=1")
    assert len(sizes) == 3
    assert all(0 <= row["SizeRw"] < row["SizeRootFs"] for row in sizes)
    assert "SizeRw" not in daemon.api.get("/containers/json?all=1")[0]
    assert "SizeRw" not in inspect(daemon, "beta")
    assert daemon.api.get("/containers/beta/json?size=1")["SizeRw"] >= 0

"""Several daemons on one host: their machines are strangers, and none takes another's things for its own."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from hyper.engine.lifecycle.host import DAEMONS
from hyper.system import numbers
from tests.support.hyperd import Hyperd, hyperd
from tests.support.numbers import number_of

pytestmark = [pytest.mark.vm, pytest.mark.root]


def owners(daemon: Hyperd) -> set[int]:
    """Who its machines run as."""
    return {Path(f"/proc/{pid}").stat().st_uid for pid in daemon.machines()}


def bridges() -> set[str]:
    """Of all daemons."""
    return {path.name for path in Path("/sys/class/net").glob("hb-*")}


def rename(daemon: Hyperd, id: str) -> None:
    """The daemon, which does not run, has this id."""
    with closing(sqlite3.connect(daemon.data_root / "hyper.db")) as db, db:
        db.execute("UPDATE meta SET value = ? WHERE key = 'daemon_id'", (id,))


def run(daemon: Hyperd, image: str) -> None:
    """It has a network and a container on it."""
    daemon.run("network", "create", "lan")
    daemon.run("run", "-d", "--name", "one", "--network", "lan", image, "sleep", "3600")


def test_daemons_with_ids_that_begin_alike_share_no_number(
    own_daemon: Hyperd, busybox: str
) -> None:
    """What is made of an id's beginning is made of a number nobody else has: user ids, names of bridges. It is kept
    while machines run, also by a daemon that was killed, and given back by one that ends without any.
    """
    first = own_daemon.api.get("/info")["ID"]
    second = first[:3] + first[3:].translate(str.maketrans("0123456789abcdef", "123456789abcdef0"))
    run(own_daemon, busybox)
    before = bridges()
    with hyperd() as other:
        assert other.stop() == 0
        rename(other, second)
        other.start()
        other.run("pull", "-q", busybox)
        run(other, busybox)
        theirs = owners(other)
        assert len(owners(own_daemon)) == len(theirs) == 1
        assert owners(own_daemon).isdisjoint(theirs)
        number = number_of(DAEMONS, second)
        assert number not in (None, number_of(DAEMONS, first))
        other.kill()
        # Whoever asks meanwhile does not get it.
        preferred, count = number or 0, 4096
        assert numbers.claim(DAEMONS, "stranger", preferred=preferred, count=count) != number
        numbers.give_back(DAEMONS, "stranger")
        other.start()
        assert (number_of(DAEMONS, second), owners(other)) == (number, theirs)
        other.run("rm", "-f", "one")
        other.run("network", "rm", "lan")
        assert other.stop() == 0
        assert number_of(DAEMONS, second) is None
        assert before - bridges() == set()
        assert owners(own_daemon) != set()
        other.start()

"""Guests' clocks follow the host's."""

from __future__ import annotations

import time

import pytest

from tests.support.hyperd import Hyperd

pytestmark = [pytest.mark.vm, pytest.mark.root]


def year(daemon: Hyperd, name: str) -> int:
    """What the container takes it for."""
    return int(daemon.run("exec", name, "date", "-u", "+%Y"))


def test_guests_are_told_when_the_hosts_clock_is_set(daemon: Hyperd, busybox: str) -> None:
    """As after a sleep of the host: the kernel tells of both in one way. The host's clock is set to what it is."""
    for name in ("one", "two"):
        daemon.run("run", "-d", "--name", name, "--cap-add", "SYS_TIME", busybox, "sleep", "6000")
    daemon.run("exec", "one", "date", "-s", "2001-02-03 04:05:06")
    assert year(daemon, "one") == 2001
    said = daemon.log.stat().st_size
    time.clock_settime(time.CLOCK_REALTIME, time.time())
    told = next(daemon.lines("the host's clock was set", after=said))
    assert "2 machines were told" in told
    now = time.gmtime().tm_year
    assert year(daemon, "one") - now in (0, -1, 1) and year(daemon, "two") - now in (0, -1, 1)


def test_a_paused_guest_is_told_when_it_goes_on(daemon: Hyperd, busybox: str) -> None:
    """Nothing executes in it while it is paused, its agent included."""
    daemon.run("run", "-d", "--name", "one", "--cap-add", "SYS_TIME", busybox, "sleep", "6000")
    daemon.run("exec", "one", "date", "-s", "2001-02-03 04:05:06")
    daemon.run("pause", "one")
    said = daemon.log.stat().st_size
    time.clock_settime(time.CLOCK_REALTIME, time.time())
    assert "0 machines were told" in next(daemon.lines("was set: 0 machines", after=said))
    daemon.run("unpause", "one")
    assert abs(year(daemon, "one") - time.gmtime().tm_year) <= 1

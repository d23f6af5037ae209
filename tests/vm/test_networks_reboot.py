"""Networks after the host's end, which takes bridges and rules along. Real machines."""

from __future__ import annotations

import subprocess

import pytest

from hyper.engine.lifecycle.host import DAEMONS, MAX_DAEMONS
from hyper.system import link, numbers
from tests.support.containers import port_of
from tests.support.hyperd import Hyperd
from tests.support.networks import SERVER, address_of, fetch, resolves, says, up
from tests.support.numbers import number_of
from tests.support.processes import end

pytestmark = [pytest.mark.vm, pytest.mark.root]


def test_networks_and_ports_are_back_after_a_reboot(own_daemon: Hyperd, busybox: str) -> None:
    """Machines, bridges and tables are gone: the next daemon makes them anew, with the same subnet, addresses, names
    and ports; a network nobody is on is there for whoever joins it."""
    daemon = own_daemon
    for name in ("net", "idle"):
        daemon.run("network", "create", name)
    always = ("--network", "net", "--restart", "always")
    web = up(daemon, busybox, "web", *always, "-p", "127.0.0.1::80", script=SERVER)
    up(daemon, busybox, "client", *always)
    subnets = {name: subnet_of(daemon, name) for name in ("net", "idle")}
    own = daemon.api.get("/info")["ID"]
    pids = [
        daemon.api.get(f"/containers/{name}/json")["Hyper"]["Pid"] for name in ("web", "client")
    ]
    daemon.kill()
    for pid in pids:
        end(pid)
    number = number_of(DAEMONS, own)
    assert number is not None
    bridges = link.names(f"hb-{number:03x}")
    assert len(bridges) == 2
    for bridge in bridges:
        link.end_bridge(bridge)
    for family in ("ip", "netdev"):
        subprocess.run(["nft", "delete", "table", family, f"hyper_{own[:12]}"], check=True)
    # The book of numbers is gone, too, and another daemon was there first.
    numbers.give_back(DAEMONS, own)
    numbers.claim(DAEMONS, "first", preferred=number, count=MAX_DAEMONS)
    try:
        daemon.start()
        assert number_of(DAEMONS, own) not in (None, number)
    finally:
        numbers.give_back(DAEMONS, "first")
    events = daemon.api.lines("/events?since=0")
    waiting = {"web", "client"}
    while waiting:
        told = next(events)
        if told["Action"] == "start":
            waiting.discard(told["Actor"]["Attributes"]["name"])
    events.close()
    assert {name: subnet_of(daemon, name) for name in subnets} == subnets
    assert address_of(daemon, "web") == web
    with daemon.api.open("/containers/web/logs?follow=1&stdout=1") as log:
        for _ in range(2):  # before the end, and now
            assert b"serving" in log.readline()
    assert fetch("127.0.0.1", port_of(daemon, "web", "80/tcp")).endswith(b"hello\n")
    assert resolves(daemon, "client", "web") == [web]
    daemon.run("network", "connect", "idle", "client")
    assert address_of(daemon, "client", "idle") in says(daemon, "client", "ip addr")[1]


def subnet_of(daemon: Hyperd, network: str) -> str:
    return str(daemon.api.get(f"/networks/{network}")["IPAM"]["Config"][0]["Subnet"])

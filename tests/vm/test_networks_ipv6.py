"""IPv6 between neighbours on a network: names, addresses, and what hostile guests try. Real machines."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.support.api import ApiError
from tests.support.hyperd import Hyperd
from tests.support.networks import address6_of, reaches, says, up

pytestmark = [pytest.mark.vm, pytest.mark.root]


@pytest.fixture
def daemon(shared_daemon: Hyperd) -> Iterator[Hyperd]:
    """The shared daemon with two networks that have IPv6; without them and any container after the test."""
    for name in ("six", "other"):
        config = [{"Subnet": f"fd00:{len(name)}::/64"}]
        body = {"Name": name, "EnableIPv6": True, "IPAM": {"Config": config}}
        shared_daemon.api.post("/networks/create", body)
    yield shared_daemon
    shared_daemon.clear()
    shared_daemon.run("network", "prune", "-f")


def test_neighbours_meet_over_ipv6_and_only_they(daemon: Hyperd, busybox: str) -> None:
    """By name and fixed address, joined while running, after a restart; no way into another network."""
    up(daemon, busybox, "one", "--network", "six", "--ip6", "fd00:3::9")
    up(daemon, busybox, "two", "--network", "six")
    up(daemon, busybox, "far", "--network", "other", "--privileged")
    assert address6_of(daemon, "one", "six") == "fd00:3::9"
    assert address6_of(daemon, "two", "six") == "fd00:3::2"
    assert reaches(daemon, "two", "one")
    assert "fd00:3::9" in says(daemon, "two", "nslookup -type=aaaa one")[1]
    assert "fd00:3::2\t" in says(daemon, "two", "cat /etc/hosts")[1]
    says(daemon, "one", "mkdir /w; echo hello >/w/index.html; httpd -p '[::]:80' -h /w")
    assert says(daemon, "two", "wget -qO- 'http://[fd00:3::9]/'")[1] == "hello\n"
    # Not from elsewhere, whatever route a guest sets itself.
    assert not reaches(daemon, "far", "fd00:3::9", wait_s=2)
    says(daemon, "far", "ip -6 addr add fd00:3::77/64 dev eth0")
    assert not reaches(daemon, "far", "fd00:3::9", wait_s=2)
    assert reaches(daemon, "two", "fd00:3::1")
    daemon.run("network", "connect", "--ip6", "fd00:3::50", "six", "far")
    assert reaches(daemon, "two", "fd00:3::50")
    daemon.run("network", "disconnect", "six", "far")
    assert not reaches(daemon, "two", "fd00:3::50", wait_s=2)
    daemon.run("restart", "-t", "0", "one")
    assert reaches(daemon, "two", "fd00:3::9")
    shown = daemon.api.get("/networks/six")
    assert (shown["EnableIPv6"], shown["IPAM"]["Config"][1]["Gateway"]) == (True, "fd00:3::1")
    addresses = {item["IPv6Address"] for item in shown["Containers"].values()}
    assert addresses == {"fd00:3::9/64", "fd00:3::2/64"}


def test_a_hostile_neighbour_is_nobody_else(daemon: Hyperd, busybox: str) -> None:
    """With every capability: neither packets nor advertisements in another's name; but it may be itself."""
    up(daemon, busybox, "victim", "--network", "six")
    up(daemon, busybox, "friend", "--network", "six")
    up(daemon, busybox, "bad", "--network", "six", "--privileged")
    victim = address6_of(daemon, "victim", "six")
    mac = daemon.api.get("/containers/victim/json")["NetworkSettings"]["Networks"]["six"]
    assert reaches(daemon, "friend", victim)
    assert reaches(daemon, "bad", victim)
    # The victim cannot answer for itself: who answers now is the forger, or nobody.
    says(daemon, "bad", f"ip -6 addr add {victim}/64 dev eth0 nodad")
    daemon.run("pause", "victim")
    says(daemon, "friend", "ip -6 neigh flush dev eth0")
    assert not reaches(daemon, "friend", victim, wait_s=2)
    daemon.run("unpause", "victim")
    assert reaches(daemon, "friend", victim)
    assert mac["MacAddress"] in says(daemon, "friend", f"ip -6 neigh show {victim}")[1]
    friend = address6_of(daemon, "friend", "six")
    assert says(daemon, "bad", f"ping6 -c 1 -W 2 -I {victim} {friend}")[0] != 0
    says(daemon, "bad", f"ip -6 addr del {victim}/64 dev eth0")
    assert reaches(daemon, "bad", friend)


def test_what_ipv6_networks_cannot_be(daemon: Hyperd, busybox: str) -> None:
    """With a subnet that is none or another's, or a wish outside of it: 400 or 403. Without one it is chosen."""
    bad = [
        (True, [{"Subnet": "fe80::/64"}], 400),
        (True, [{"Subnet": "fd00:9::/127"}], 400),
        (True, [{"Subnet": "fd00:9::/64", "Gateway": "fd00:8::1"}], 400),
        (True, [{"Subnet": "fd00:3::/80"}], 403),
    ]
    for enabled, config, status in bad:
        with pytest.raises(ApiError) as error:
            body = {"Name": "x", "EnableIPv6": enabled, "IPAM": {"Config": config}}
            daemon.api.post("/networks/create", body)
        assert error.value.status == status, config
    refused = daemon.docker("run", "--network", "six", "--ip6", "fd00:9::9", busybox)
    assert re.search(b"no configured subnet", refused.stderr)
    for name in ("chosen", "another"):
        daemon.run("network", "create", "--ipv6", name)
    subnets = {
        daemon.api.get(f"/networks/{name}")["IPAM"]["Config"][1]["Subnet"]
        for name in ("chosen", "another")
    }
    assert len(subnets) == 2
    assert all(re.fullmatch(r"fd[0-9a-f:]+::/64", subnet) for subnet in subnets)

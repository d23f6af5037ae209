"""IPv6 from networks to what is around the host, and what may come back. Real machines and a real neighbour."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.hyperd import Hyperd, hyperd
from tests.support.networks import Greeter, address6_of, reaches, says, up
from tests.support.outside import HOST, THERE, outside

pytestmark = [pytest.mark.vm, pytest.mark.root]

NO_MASQUERADE = "com.docker.network.bridge.enable_ip_masquerade=false"
SERVE = "mkdir -p /w; echo hello >/w/index.html; httpd -p '[::]:80' -h /w"


@pytest.fixture
def daemon(shared_daemon: Hyperd) -> Iterator[Hyperd]:
    """The shared daemon; after the test it has no container, and no network but those all have."""
    yield shared_daemon
    shared_daemon.clear()
    shared_daemon.run("network", "prune", "-f")


def asks(daemon: Hyperd, name: str, address: str, port: int) -> str:
    return says(daemon, name, f"nc -w 5 {address} {port} </dev/null")[1]


def test_the_outside_is_reached_and_nobody_comes_in(daemon: Hyperd, busybox: str) -> None:
    """Pings and connections go out with the host's address (without masquerading with their own) and are answered; what
    was not asked for does not come in, whatever route the outside has; also by a network joined while running, and
    after a restart. The gateway is told as dockerd tells it."""
    daemon.run("network", "create", "--ipv6", "six")
    plain = ["--subnet", "fd00:99::/64", "-o", NO_MASQUERADE]
    daemon.run("network", "create", "--ipv6", *plain, "routed")
    subnet, gateway = daemon.api.get("/networks/six")["IPAM"]["Config"][1].values()
    assert gateway == f"{subnet.removesuffix('/64')}1"
    up(daemon, busybox, "one", "--network", "six")
    up(daemon, busybox, "own", "--network", "routed")
    up(daemon, busybox, "four")
    shown = daemon.api.get("/containers/one/json")["NetworkSettings"]
    assert shown["Networks"]["six"]["IPv6Gateway"] == gateway
    assert f"default via {gateway}" in says(daemon, "one", "ip -6 route")[1]
    with outside() as there:
        for network in (subnet, "fd00:99::/64"):
            assert there.run("ip", "-6", "route", "add", network, "via", HOST).returncode == 0
        assert reaches(daemon, "one", THERE)
        assert asks(daemon, "one", THERE, there.port) == HOST
        assert asks(daemon, "own", THERE, there.port) == address6_of(daemon, "own", "routed")
        assert says(daemon, "four", f"ping6 -c 1 -W 1 {THERE}")[0] != 0
        for name, network in (("one", "six"), ("own", "routed")):
            says(daemon, name, SERVE)
            address = address6_of(daemon, name, network)
            with socket.create_connection((address, 80), timeout=10):  # the host itself comes in
                assert not there.connects(address, 80)
            assert there.run("ping", "-6", "-c", "1", "-W", "1", address).returncode != 0
        daemon.run("network", "connect", "six", "four")
        assert asks(daemon, "four", THERE, there.port) == HOST
        daemon.run("restart", "-t", "0", "one")
        assert asks(daemon, "one", THERE, there.port) == HOST


def test_networks_do_not_lead_into_each_other(daemon: Hyperd, busybox: str) -> None:
    """The host leads from no network into another, nor back into one whose containers may not meet."""
    daemon.run("network", "create", "--ipv6", "left")
    daemon.run("network", "create", "--ipv6", "right")
    alone = ["-o", "com.docker.network.bridge.enable_icc=false"]
    daemon.run("network", "create", "--ipv6", *alone, "alone")
    up(daemon, busybox, "ll", "--network", "left")
    up(daemon, busybox, "rr", "--network", "right")
    for name in ("aa", "bb"):
        up(daemon, busybox, name, "--network", "alone", "--cap-add", "NET_ADMIN")
    assert not reaches(daemon, "ll", address6_of(daemon, "rr", "right"), wait_s=2)
    assert not reaches(daemon, "rr", address6_of(daemon, "ll", "left"), wait_s=2)
    gateway = daemon.api.get("/networks/alone")["IPAM"]["Config"][1]["Gateway"]
    assert reaches(daemon, "aa", gateway)
    for name, other in (("aa", "bb"), ("bb", "aa")):
        there = address6_of(daemon, other, "alone")
        assert says(daemon, name, f"ip -6 route add {there}/128 via {gateway}")[0] == 0
    assert not reaches(daemon, "aa", address6_of(daemon, "bb", "alone"), wait_s=2)


def test_an_internal_network_has_no_way_out(daemon: Hyperd, busybox: str) -> None:
    """Neither a route nor an answer of the host, whatever route a guest sets itself."""
    daemon.run("network", "create", "--internal", "--ipv6", "--subnet", "fd00:98::/64", "inner")
    up(daemon, busybox, "box", "--network", "inner", "--cap-add", "NET_ADMIN")
    up(daemon, busybox, "peer", "--network", "inner")
    shown = daemon.api.get("/containers/box/json")["NetworkSettings"]["Networks"]["inner"]
    assert shown["IPv6Gateway"] == ""
    assert "default" not in says(daemon, "box", "ip -6 route")[1]
    assert reaches(daemon, "box", address6_of(daemon, "peer", "inner"))
    assert says(daemon, "box", "ip -6 route add default via fd00:98::1")[0] == 0
    assert not reaches(daemon, "box", "fd00:98::1", wait_s=2)
    with outside():
        assert not reaches(daemon, "box", THERE, wait_s=2)


def test_services_of_the_host_are_for_who_asked_for_them(daemon: Hyperd, busybox: str) -> None:
    """A listener on every IPv6 address of the host is not there for a container, neither by the gateway's address, nor
    by its card's, nor by another; it is for one with a name for the host and on a network that says so. Published ports
    are there for all."""
    daemon.run("network", "create", "--ipv6", "six")
    daemon.run("network", "create", "--ipv6", "-o", "hyper.host_services=true", "open")
    asking = ["--add-host", "host.docker.internal:host-gateway"]
    up(daemon, busybox, "plain", "--network", "six")
    up(daemon, busybox, "asking", "--network", "six", *asking)
    up(daemon, busybox, "on-open", "--network", "open")
    published = ["-p", f"[{HOST}]::80", "-p", "[::]::80"]
    gateways = {
        name: daemon.api.get(f"/networks/{name}")["IPAM"]["Config"][1]["Gateway"]
        for name in ("six", "open")
    }
    with outside() as there, Greeter("::") as port:
        local = _link_local_of(daemon, "six")
        for name, address, fine in (
            ("plain", gateways["six"], False),
            ("plain", HOST, False),
            ("plain", f"{local}%eth0", False),
            ("asking", gateways["six"], True),
            ("asking", HOST, True),
            ("on-open", gateways["open"], True),
        ):
            text = asks(daemon, name, address, port)
            assert ("hello" if fine else "refused") in text, (name, address, text)
        up(daemon, busybox, "web", *published)
        says(daemon, "web", SERVE)
        bindings = daemon.api.get("/containers/web/json")["NetworkSettings"]["Ports"]["80/tcp"]
        ports = {item["HostIp"]: int(item["HostPort"]) for item in bindings}
        for address, number in ((HOST, ports[HOST]), (gateways["six"], ports["::"])):
            ask = f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 9 {address} {number}"
            assert "hello" in says(daemon, "plain", ask)[1], address
        assert there.connects(HOST, ports[HOST])
        assert "refused" in asks(daemon, "plain", gateways["six"], ports[HOST])
        daemon.run("kill", "web")
        assert "refused" in asks(daemon, "plain", HOST, ports[HOST])


def _link_local_of(daemon: Hyperd, network: str) -> str:
    bridge = f"hb-*{daemon.api.get(f'/networks/{network}')['Id'][:8]}"
    (name,) = (path.name for path in Path("/sys/class/net").glob(bridge))
    told = subprocess.run(
        ["ip", "-j", "-6", "address", "show", "dev", name], capture_output=True, check=True
    )
    addresses = json.loads(told.stdout)[0]["addr_info"]
    return str(next(item["local"] for item in addresses if item["scope"] == "link"))


def test_ipv6_connections_when_the_daemon_is_killed_go_on(own_daemon: Hyperd, busybox: str) -> None:
    """Connections out work while the daemon is dead and after it is back, which leaves the rules as they were."""
    own_daemon.run("network", "create", "--ipv6", "six")
    up(own_daemon, busybox, "one", "--network", "six")
    with outside() as there:
        assert asks(own_daemon, "one", THERE, there.port) == HOST
        before = _rules(own_daemon)
        own_daemon.kill()
        own_daemon.start()
        assert _rules(own_daemon) == before
        assert asks(own_daemon, "one", THERE, there.port) == HOST
        own_daemon.run("rm", "-f", "one")
        own_daemon.run("network", "rm", "six")
    table = _table(own_daemon)
    assert table in _tables()
    own_daemon.stop()
    assert table not in _tables()
    own_daemon.start()


def _tables() -> str:
    listed = subprocess.run(["nft", "list", "tables", "ip6"], capture_output=True, check=True)
    return listed.stdout.decode()


def _table(daemon: Hyperd) -> str:
    return f"hyper_{daemon.api.get('/info')['ID'][:12]}"


def _rules(daemon: Hyperd) -> list[bytes]:
    """All but what is counted."""
    argv = ["nft", "-s", "list", "table", "ip6", _table(daemon)]
    listed = subprocess.run(argv, capture_output=True, check=True).stdout
    return [line for line in listed.splitlines() if b"ct count over" not in line]


class Stuck(Hyperd):
    """A daemon of a host whose kernel does not let itself be told to forward IPv6."""

    def argv(self) -> list[str]:
        (stuck := self.folder / "stuck").write_text("0\n")
        key = "/proc/sys/net/ipv6/conf/all/forwarding"
        script = f'mount --bind {stuck} {key} && mount -o remount,bind,ro {key} && exec "$@"'
        return ["unshare", "--mount", "sh", "-c", script, "sh", *super().argv()]


def test_ipv6_networks_on_a_host_that_does_not_forward_say_so(busybox: str) -> None:
    """Networks with IPv6 are made and connect neighbours; the creation and `info` say that there is no way out, and
    why."""
    with hyperd(kind=Stuck) as daemon:
        daemon.run("pull", "-q", busybox)
        made = daemon.api.post("/networks/create", {"Name": "six", "EnableIPv6": True})
        said = "by IPv6 containers reach their own network alone, not the outside: cannot have the kernel forward IPv6"
        assert made["Warning"].startswith(said)
        assert any(said in warning for warning in daemon.api.get("/info")["Warnings"])
        up(daemon, busybox, "one", "--network", "six")
        up(daemon, busybox, "two", "--network", "six")
        assert reaches(daemon, "two", address6_of(daemon, "one", "six"))
        shown = daemon.api.get("/containers/one/json")["NetworkSettings"]["Networks"]["six"]
        assert shown["IPv6Gateway"] == ""
        assert "default" not in says(daemon, "one", "ip -6 route")[1]

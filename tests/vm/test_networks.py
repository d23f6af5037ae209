"""Networks as root: names, isolation, ports, joining and leaving, and what hostile guests try. Real machines."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import dockerd
from tests.support.api import ApiError
from tests.support.containers import port_of
from tests.support.hyperd import Hyperd
from tests.support.networks import (
    SERVER,
    Greeter,
    address_of,
    fetch,
    hosts_own_address,
    resolves,
    says,
    up,
)

pytestmark = [pytest.mark.vm, pytest.mark.root]


@pytest.fixture
def daemon(shared_daemon: Hyperd) -> Iterator[Hyperd]:
    """The shared daemon; after the test it has no container, and no network but those all have."""
    yield shared_daemon
    shared_daemon.clear()
    shared_daemon.run("network", "prune", "-f")


def reaches(daemon: Hyperd, name: str, target: str, *, wait_s: int = 30) -> bool:
    """Whether a packet comes back."""
    return says(daemon, name, f"ping -c 1 -W {wait_s} {target}")[0] == 0


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A program that sends datagrams back."""
    binary = tmp_path_factory.mktemp("echo") / "echo"
    source = Path(__file__).parents[1] / "support/echo.c"
    subprocess.run(["musl-gcc", "-static", "-Os", "-o", binary, source], check=True)
    return binary.read_bytes()


def test_containers_know_each_other_by_name_and_only_within_their_networks(
    daemon: Hyperd, busybox: str
) -> None:
    """Names, aliases, short ids, links; fixed addresses; no way into another network, nor to its name server."""
    daemon.run("network", "create", "--subnet", "10.201.7.0/24", "front")
    daemon.run("network", "create", "back")
    web = up(daemon, busybox, "web", "--network", "front", "--ip", "10.201.7.9")
    assert web == "10.201.7.9"
    options = ["--network", "front", "--network-alias", "api", "--link", "web:www"]
    app = up(daemon, busybox, "app", *options)
    db = up(daemon, busybox, "db", "--network", "back")
    short = daemon.run("inspect", "-f", "{{.Id}}", "web").decode()[:12]
    for name in ("web", "WEB", "web.front", short, "www"):
        assert resolves(daemon, "app", name) == [web], name
    assert resolves(daemon, "web", "api") == [app]
    assert resolves(daemon, "web", "www") == []  # a link is its owner's
    assert reaches(daemon, "web", "app")
    assert f"{web}\tweb" not in says(daemon, "app", "cat /etc/hosts")[1]
    assert "ndots:0\n" in says(daemon, "app", "cat /etc/resolv.conf")[1]
    code, text = says(daemon, "app", f"nslookup {web}")
    assert (code, "name = web.front" in text) == (0, True)
    # Across: no name, no packet, no question to its server.
    assert resolves(daemon, "web", "db") == []
    assert not reaches(daemon, "web", db, wait_s=2)
    assert not reaches(daemon, "db", web, wait_s=2)
    other = daemon.api.get("/networks/back")["IPAM"]["Config"][0]["Gateway"]
    assert resolves(daemon, "web", "db", other) == []
    shown = daemon.api.get("/networks/front")["Containers"]
    assert {(item["Name"], item["IPv4Address"]) for item in shown.values()} == {
        ("web", f"{web}/24"),
        ("app", f"{app}/24"),
    }
    names = daemon.api.get("/containers/app/json")["NetworkSettings"]["Networks"]["front"]
    assert names["DNSNames"][:2] == ["app", "api"]
    listed = daemon.run("ps", "--filter", "network=back", "--format", "{{.Names}}")
    assert listed.split() == [b"db"]


def test_networks_are_joined_and_left_while_a_container_runs(daemon: Hyperd, busybox: str) -> None:
    """Interface, address, names, hosts, default route follow at once, and events tell; also across a restart."""
    for name in ("zz", "mm", "aa"):
        daemon.run("network", "create", name)
    one = up(daemon, busybox, "one", "--network", "mm")
    two = up(daemon, busybox, "two", "--network", "zz")
    assert not reaches(daemon, "one", two, wait_s=2)
    daemon.run("network", "connect", "--alias", "uno", "zz", "one")
    assert reaches(daemon, "one", "two")
    assert resolves(daemon, "two", "uno") == [address_of(daemon, "one", "zz")]
    assert address_of(daemon, "one", "zz") in says(daemon, "one", "cat /etc/hosts")[1]
    # The default route is that of the first network by name, as Docker chooses it.
    assert " dev eth0" in says(daemon, "one", "ip route show default")[1]
    daemon.run("network", "connect", "aa", "one")
    assert " dev eth2" in says(daemon, "one", "ip route show default")[1]
    # The card the machine was born with is left; what hangs on it stays.
    daemon.run("network", "disconnect", "mm", "one")
    assert one not in says(daemon, "one", "ip addr; cat /etc/hosts")[1]
    assert reaches(daemon, "one", "two")
    daemon.run("network", "disconnect", "zz", "one")
    assert not reaches(daemon, "one", two, wait_s=2)
    assert resolves(daemon, "two", "uno") == []
    daemon.run("network", "connect", "zz", "one")
    daemon.run("restart", "-t", "0", "one")
    assert reaches(daemon, "one", "two")
    networks = daemon.api.get("/containers/one/json")["NetworkSettings"]["Networks"]
    assert sorted(networks) == ["aa", "zz"]
    told = daemon.run(
        *("events", "--since", "5m", "--until", f"{time.time():.9f}", "--filter", "type=network"),
        *("--filter", "network=zz", "--format", "{{.Action}}"),
    ).split()
    assert told.count(b"connect") >= 3
    assert told.count(b"disconnect") >= 2


def test_an_internal_network_leads_nowhere(daemon: Hyperd, busybox: str) -> None:
    """Names and neighbours, but no route, no host, no other network, no published port."""
    daemon.run("network", "create", "--internal", "inner")
    up(daemon, busybox, "box", "--network", "inner", "-p", "127.0.0.1::80")
    up(daemon, busybox, "peer", "--network", "inner")
    out = up(daemon, busybox, "out", script=SERVER)
    assert reaches(daemon, "box", "peer")
    assert "default" not in says(daemon, "box", "ip route")[1]
    gateway = daemon.api.get("/networks/inner")["IPAM"]["Config"][0]["Gateway"]
    code, text = says(daemon, "box", "nslookup example.org")
    assert code != 0
    assert "SERVFAIL" in text
    with socket.socket() as host:
        host.bind((gateway, 0))
        host.listen()
        port = host.getsockname()[1]
        assert says(daemon, "box", f"nc -w 2 {gateway} {port} </dev/null")[0] != 0
    hostile = up(daemon, busybox, "hostile", "--network", "inner", "--cap-add", "NET_ADMIN")
    assert hostile
    says(daemon, "hostile", f"ip route add default via {gateway}")
    assert not reaches(daemon, "hostile", out, wait_s=2)
    assert not reaches(daemon, "hostile", hosts_own_address(), wait_s=2)


def test_network_without_icc_keeps_neighbours_apart(daemon: Hyperd, busybox: str) -> None:
    """Neither directly nor by way of the gateway, which would lead packets back; the host still reaches them."""
    alone = ["-o", "com.docker.network.bridge.enable_icc=false"]
    daemon.run("network", "create", *alone, "alone")
    (config,) = daemon.api.get("/networks/alone")["IPAM"]["Config"]
    published = ["-p", "127.0.0.1::80"]
    options = ["--network", "alone", "--cap-add", "NET_ADMIN"]
    server = up(daemon, busybox, "server", *options, *published, script=SERVER)
    client = up(daemon, busybox, "client", *options)
    assert reaches(daemon, "client", config["Gateway"])
    assert not reaches(daemon, "client", server, wait_s=2)
    for name, other in (("client", server), ("server", client)):
        assert says(daemon, name, f"ip route add {other}/32 via {config['Gateway']}")[0] == 0
    assert not reaches(daemon, "client", server, wait_s=2)
    address = daemon.run("port", "server", "80").decode().strip()
    assert urllib.request.urlopen(f"http://{address}/").read() == b"hello\n"


def test_published_port_when_container_runs_answers_and_is_free_afterwards(
    daemon: Hyperd, busybox: str, echo: bytes
) -> None:
    """TCP and UDP, on the loopback, on an address, everywhere; conflicts; free at once when the program ends."""
    mine = hosts_own_address()
    ports = ["-p", "127.0.0.1::80", "-p", f"{mine}::80", "-p", "::9/udp", "--expose", "7"]
    ports += ["-p", "[::1]::80"]
    up(daemon, busybox, "web", *ports, script=SERVER)
    bindings = daemon.api.get("/containers/web/json")["NetworkSettings"]["Ports"]
    assert bindings["7/tcp"] is None
    for port, found in ((bindings["80/tcp"][0]["HostPort"], b"web\n"), ("80", b"")):  # as dockerd
        words = ("ps", "--filter", f"publish={port}", "--format", "{{.Names}}")
        assert daemon.run(*words) == found
    assert [item["HostIp"] for item in bindings["9/udp"]] == ["0.0.0.0", "::"]
    by_address = {item["HostIp"]: int(item["HostPort"]) for item in bindings["80/tcp"]}
    assert fetch("::1", by_address["::1"]).endswith(b"hello\n")
    assert fetch("127.0.0.1", by_address["127.0.0.1"]).endswith(b"hello\n")
    assert fetch(mine, by_address[mine]).endswith(b"hello\n")
    with pytest.raises(OSError):
        fetch(mine, by_address["127.0.0.1"])
    daemon.run("exec", "-i", "web", "sh", "-c", "cat >/echo && chmod +x /echo", stdin=echo)
    daemon.run("exec", "web", "/echo", "9")
    everywhere = port_of(daemon, "web", "9/udp")
    talks = [talk(address, everywhere) for address in ("127.0.0.1", mine, "::1")]
    taken = f"127.0.0.1:{by_address['127.0.0.1']}:80"
    refused = daemon.docker("run", "--rm", "-p", taken, busybox, "true")
    assert refused.returncode == 125
    assert b"port is already allocated" in refused.stderr
    # Others on the host see that it is taken, too.
    with socket.socket() as other, pytest.raises(OSError):
        other.bind(("127.0.0.1", by_address["127.0.0.1"]))
    # From within: over the host's address, also where that leads back to the same network.
    up(daemon, busybox, "client")
    ask = f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 5 {mine} {by_address[mine]}"
    assert "hello" in says(daemon, "client", ask)[1]
    daemon.run("network", "create", "apart")
    up(daemon, busybox, "stranger", "--network", "apart")
    assert "hello" in says(daemon, "stranger", ask)[1]
    # A container reaches its own port by the host's address.
    assert "hello" in says(daemon, "web", ask)[1]
    daemon.run("kill", "web")
    for sock in talks:  # the kernel keeps where they go for as long as they go on
        with contextlib.suppress(ConnectionRefusedError):
            sock.send(b"nobody")
    again = ["-p", f"{everywhere}:9/udp"]
    up(daemon, busybox, "next", "-p", taken, *again, script=SERVER)
    assert fetch("127.0.0.1", by_address["127.0.0.1"]).endswith(b"hello\n")
    # Who has been sending datagrams all the time reaches the new machine, from the same socket.
    daemon.run("exec", "-i", "next", "sh", "-c", "cat >/echo && chmod +x /echo", stdin=echo)
    daemon.run("exec", "next", "/echo", "9")
    for sock in talks:
        with contextlib.suppress(ConnectionRefusedError):  # told of before
            sock.send(b"")
        sock.send(b"again")
        answers = iter(lambda sock=sock: sock.recv(16), b"again")  # type: ignore[misc]
        assert set(answers) <= {b"", b"nobody"}
        sock.close()


def test_who_is_on_no_network_has_no_ports(daemon: Hyperd, busybox: str) -> None:
    """`docker port`, `ps` and inspect tell of published ports while a network is there that they lead to, as dockerd's;
    what is exposed is told of in any case."""
    daemon.run("network", "create", "net")
    up(daemon, busybox, "web", "--network", "net", "-p", "127.0.0.1::80", "--expose", "7")
    assert re.fullmatch(rb"80/tcp -> 127\.0\.0\.1:[0-9]+\n", daemon.run("port", "web"))
    daemon.run("network", "disconnect", "net", "web")
    assert daemon.run("port", "web") == b""
    assert b"->" not in daemon.run("ps", "--filter", "name=web", "--format", "{{.Ports}}")
    shown = daemon.api.get("/containers/web/json")["NetworkSettings"]["Ports"]
    assert not any(shown.values())
    assert "7/tcp" in shown
    daemon.run("network", "connect", "net", "web")
    assert b"80/tcp -> 127.0.0.1:" in daemon.run("port", "web")


def talk(address: str, port: int) -> socket.socket:
    """A client's socket that has been answered once by an echo."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    datagrams = socket.socket(family, socket.SOCK_DGRAM)
    datagrams.settimeout(10)
    datagrams.connect((address, port))
    datagrams.send(b"ping")
    assert datagrams.recv(16) == b"ping"
    return datagrams


def test_services_of_the_host_are_for_who_asked_for_them(daemon: Hyperd, busybox: str) -> None:
    """A listener on every address of the host is not there for a container, neither by the gateway nor by another
    address; it is for one with a name for the host, and on a network that says so."""
    mine = hosts_own_address()
    daemon.run("network", "create", "-o", "hyper.host_services=true", "open")
    with Greeter() as port:
        asking = ["--add-host", "host.docker.internal:host-gateway"]
        up(daemon, busybox, "plain")
        up(daemon, busybox, "asking", *asking)
        up(daemon, busybox, "on-open", "--network", "open")
        gateway = daemon.api.get("/networks/bridge")["IPAM"]["Config"][0]["Gateway"]
        inner = daemon.api.get("/networks/open")["IPAM"]["Config"][0]["Gateway"]
        for name, address, fine in (
            ("plain", gateway, False),
            ("plain", mine, False),
            ("asking", "host.docker.internal", True),
            ("asking", mine, True),
            ("on-open", inner, True),
        ):
            text = says(daemon, name, f"nc -w 5 {address} {port} </dev/null")[1]
            assert ("hello" if fine else "refused") in text, (name, address, text)


def test_metadata_of_a_cloud_is_not_for_containers(daemon: Hyperd, busybox: str) -> None:
    """A link-local address of the host, where clouds tell its credentials, does not answer a machine."""
    address = "169.254.77.77"
    subprocess.run(["ip", "address", "add", f"{address}/32", "dev", "lo"], check=True)
    try:
        with Greeter() as port:
            with socket.create_connection((address, port), timeout=10) as stream:
                assert stream.recv(5) == b"hello"
            up(daemon, busybox, "curious", "--add-host", "host.docker.internal:host-gateway")
            code, text = says(daemon, "curious", f"nc -w 5 {address} {port} </dev/null")
            assert (code, "hello" in text) == (1, False)
    finally:
        subprocess.run(["ip", "address", "del", f"{address}/32", "dev", "lo"], check=True)


def test_neighbour_entries_of_a_machine_are_there_before_it_speaks(
    daemon: Hyperd, busybox: str
) -> None:
    """Host and bridge know where each is, on all its networks, before it has said a word: who comes to a published port
    early is not kept waiting for the second question after it, and nobody else is shown what is for it."""
    daemon.run("network", "create", "second")
    daemon.run("create", "--name", "quiet", busybox, "sleep", "3600")
    daemon.run("network", "connect", "second", "quiet")
    daemon.run("start", "quiet")
    networks = daemon.api.get("/containers/quiet/json")["NetworkSettings"]["Networks"]
    assert len(networks) == 2
    for found in networks.values():
        known = told("ip", "-j", "neigh", "show", found["IPAddress"])
        assert [item["lladdr"] for item in known] == [found["MacAddress"]]
        places = told("bridge", "-j", "fdb", "show", "br", known[0]["dev"])
        mine = [item for item in places if item["mac"] == found["MacAddress"]]
        assert [item["state"] for item in mine] == ["static"]
    daemon.run("rm", "-f", "quiet")
    daemon.run("network", "rm", "second")


def told(*argv: str) -> list[dict[str, Any]]:
    """What a program of iproute2 prints as JSON."""
    done = subprocess.run(argv, capture_output=True, check=True)
    return list(json.loads(done.stdout or b"[]"))


def test_ports_and_networks_do_not_need_the_daemon(own_daemon: Hyperd, busybox: str) -> None:
    """Killed: packets go on. Back: the same addresses, names answered again, the port still reserved, nothing lost."""
    daemon = own_daemon
    daemon.run("network", "create", "net")
    published = ["-p", "127.0.0.1::80", "-p", "[::1]::80"]
    web = up(daemon, busybox, "web", "--network", "net", *published, script=SERVER)
    up(daemon, busybox, "client", "--network", "net")
    daemon.run("network", "connect", "bridge", "client")
    found = daemon.api.get("/containers/web/json")["NetworkSettings"]["Ports"]["80/tcp"]
    port, port6 = (int(item["HostPort"]) for item in found)
    daemon.kill()
    assert fetch("127.0.0.1", port).endswith(b"hello\n")
    daemon.start()
    assert fetch("127.0.0.1", port).endswith(b"hello\n")
    # Ports of IPv6 do need it.
    assert fetch("::1", port6).endswith(b"hello\n")
    assert resolves(daemon, "client", "web") == [web]
    assert b"already allocated" in daemon.docker("run", "-p", f"{port}:80", busybox).stderr
    daemon.run("network", "disconnect", "net", "client")
    assert not reaches(daemon, "client", web, wait_s=2)
    daemon.run("rm", "-f", "web", "client")
    with socket.socket() as free:
        free.bind(("127.0.0.1", port))
    # Bridges of a daemon that died with nothing running are its successor's to remove.
    daemon.kill()
    daemon.start()
    daemon.run("network", "rm", "net")


def test_hostile_guest_on_a_network_is_nobody_but_itself(daemon: Hyperd, busybox: str) -> None:
    """With root's power over its card a guest is nobody but itself, and never on the host's loopback."""
    daemon.run("network", "create", "shared")
    victim = up(daemon, busybox, "victim", "--network", "shared", script=SERVER)
    up(daemon, busybox, "friend", "--network", "shared")
    bad = up(daemon, busybox, "bad", "--network", "shared", "--privileged")
    assert reaches(daemon, "friend", victim)
    gateway = daemon.api.get("/networks/shared")["IPAM"]["Config"][0]["Gateway"]
    mac = daemon.api.get("/containers/victim/json")["NetworkSettings"]["Networks"]["shared"]
    # Another's address: neither its packets nor its claims come through.
    says(daemon, "bad", f"ip addr add {victim}/32 dev eth0; arping -c 3 -U -I eth0 {victim}")
    assert mac["MacAddress"] in says(daemon, "friend", f"ip neigh show {victim}")[1]
    assert says(daemon, "bad", f"ping -c 1 -W 2 -I {victim} {gateway}")[0] != 0
    says(daemon, "bad", f"ip addr del {victim}/32 dev eth0; ip neigh flush dev eth0")
    assert reaches(daemon, "bad", gateway)
    # The host's loopback, by way of the gateway's MAC.
    with socket.socket() as service:
        service.bind(("127.0.0.1", 0))
        service.listen()
        port = service.getsockname()[1]
        script = (
            "for f in /proc/sys/net/ipv4/conf/*/route_localnet; do echo 1 >$f; done; "
            "ip addr flush dev lo; ip route del local 127.0.0.0/8 table local; "
            f"ip route add 127.0.0.0/8 via {gateway} src {bad}; "
            f"nc -w 2 127.0.0.1 {port} </dev/null"
        )
        assert says(daemon, "bad", script)[0] != 0
        service.settimeout(0)
        with pytest.raises(BlockingIOError):
            service.accept()
    # Another's card: it is cut off, the victim is not.
    says(daemon, "bad", f"ip link set eth0 address {mac['MacAddress']}")
    assert not reaches(daemon, "bad", gateway, wait_s=2)
    assert reaches(daemon, "friend", victim)


def test_fifty_networks_come_and_go(daemon: Hyperd) -> None:
    """Each has a subnet of its own, none that the host routes elsewhere; nothing is left of them."""
    before = set(Path("/sys/class/net").iterdir())
    routes = json.loads(subprocess.check_output(["ip", "-j", "-4", "route"]))
    taken = [ipaddress.ip_network(route["dst"]) for route in routes if "/" in route["dst"]]
    names = [f"n{number}" for number in range(50)]
    for name in names:
        daemon.api.post("/networks/create", {"Name": name})
    made = daemon.api.get("/networks?filters={%22type%22:[%22custom%22]}")
    subnets = [ipaddress.ip_network(item["IPAM"]["Config"][0]["Subnet"]) for item in made]
    assert len(subnets) == 50
    together = [*subnets, *taken]
    for index, subnet in enumerate(subnets):
        assert not any(subnet.overlaps(other) for other in together[index + 1 :])
    for name in names:
        daemon.api.delete(f"/networks/{name}")
    left = {path.name for path in set(Path("/sys/class/net").iterdir()) - before}
    own = daemon.api.get("/info")["ID"][:4]
    assert not any(name.startswith(f"hb-{own}") for name in left)


@pytest.mark.skipif(dockerd.why_not() is not None, reason=str(dockerd.why_not()))
def test_networks_beside_a_dockerd_do_not_collide() -> None:
    """Ports and names of both work side by side, no subnet is used twice, and info says what dockerd drops."""
    argv = ["unshare", "--net", sys.executable, "-m", "tests.support.beside"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    seen = json.loads(done.stdout.splitlines()[-1])
    assert [seen[key] for key in ("early", "late", "docker", "after")] == [
        "early-web",
        "late-web",
        "docker",
        "early-web",
    ]
    assert "Address: 172." in seen["names"]
    assert "Address" in seen["docker-names"]
    subnets = [ipaddress.ip_network(text) for text in seen["subnets"]]
    assert len(subnets) >= 4
    assert not any(a.overlaps(b) for n, a in enumerate(subnets) for b in subnets[n + 1 :])
    assert any("iptables -I DOCKER-USER" in text for text in seen["warnings"])


def test_link_on_the_default_network_gives_names_and_variables(
    daemon: Hyperd, busybox: str
) -> None:
    """Variables, hosts and names; a link is removed, its owner goes on; what does not run cannot be linked to."""
    api = daemon.api
    db = up(daemon, busybox, "db", "--expose", "5432", "-e", "KEY=v")
    up(daemon, busybox, "again", "-h", "hers")
    up(daemon, busybox, "web", "--link", "db:store", "--link", "again:other", "--link", "db:other")
    told = says(daemon, "web", "env; cat /etc/hosts; tr '\\0' '\\n' </proc/1/environ")[1]
    assert told.count(f"STORE_PORT_5432_TCP=tcp://{db}:5432") == 2
    assert told.count("STORE_ENV_KEY=v") == 2
    assert f"{db}\tstore " in told
    assert f"{address_of(daemon, 'again')}\tother hers again\n" in told  # the first of that name
    daemon.run("rm", "-f", "again")
    names = {tuple(item["Names"]) for item in api.get("/containers/json")}
    assert names == {("/web",), ("/db", "/web/store")}
    assert api.get("/containers/web/json")["HostConfig"]["Links"] == ["/db:/web/store"]
    with pytest.raises(ApiError) as error:
        api.delete("/containers/web?link=1")
    assert error.value.status == 409
    daemon.run("stop", "-t", "0", "db")
    refused = daemon.docker("run", "--rm", "--name", "late", "--link", "db:x", busybox)
    assert b"Cannot link to a non running container: /db AS /late/x" in refused.stderr
    daemon.run("rm", "--link", "web/store")
    assert "store" not in says(daemon, "web", "cat /etc/hosts")[1]
    assert {tuple(item["Names"]) for item in api.get("/containers/json?all=1")} >= {("/db",)}
    assert daemon.docker("rm", "--link", "web/store").returncode == 1

"""A host that learns its default route from a router, and gets a network with IPv6: prints what was seen as JSON.

Run in a network namespace of its own: ``unshare --net python -m tests.support.router``. The router is the other end of
a cable, in a namespace of its own, too, since nobody heeds his own advertisements.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from pathlib import Path

from hyper.network import ipam
from hyper.network.bridge.fabric import Fabric
from hyper.network.bridge.firewall import Firewall
from hyper.network.bridge.machine_rules import MachinePorts
from hyper.network.bridge.rules import Port, Segment
from hyper.network.bridge.rules6 import Relayed

TABLE = "hyper_feedfeedfeed"
TIMEOUT_S = 20.0
_ALL_NODES = "ff02::1"
_CONF = Path("/proc/sys/net/ipv6/conf")


def advertise() -> None:
    """Say on r0, for each line of stdin, to be a router of the prefix that it says. (RFC 4861, 4.2, 4.6.2)"""
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as handle:
        index = socket.if_nametoindex("r0")
        handle.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        handle.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        for line in sys.stdin:
            prefix = IPv6Address(line.strip())
            head = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0)
            option = struct.pack("!BBBBIII", 3, 4, 64, 0xC0, 3600, 3600, 0) + prefix.packed
            handle.sendto(head + option, (_ALL_NODES, 0, 0, index))


def until(what: Callable[[], bool]) -> bool:
    """Whether it came true in time."""
    end = time.monotonic() + TIMEOUT_S
    while not what():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def ip(*words: str) -> str:
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


def default_routes() -> int:
    return ip("-6", "route", "show", "default", "proto", "ra").count("default")


def rules() -> str:
    """What there is for IPv6, but for what is counted."""
    listed = subprocess.run(
        ["nft", "-s", "list", "table", "ip6", TABLE], check=True, capture_output=True, text=True
    )
    return listed.stdout


async def main() -> None:
    """Print what the host has learned, before and after; and what a machine leaves behind."""
    # Not before there is a card.
    argv = ["sh", "-c", 'read _; exec "$@"', "sh"]
    argv += [sys.executable, "-m", "tests.support.router", "advertise"]
    with subprocess.Popen(["unshare", "--net", *argv], stdin=subprocess.PIPE, text=True) as router:
        try:
            print(json.dumps(await _see(router)))
        finally:
            router.kill()


async def _see(router: subprocess.Popen[str]) -> dict[str, object]:
    assert router.stdin is not None
    ns = f"/proc/{router.pid}/ns/net"
    own = Path("/proc/self/ns/net").readlink()
    assert until(lambda: Path(ns).readlink() != own)
    ip("link", "add", "up0", "type", "veth", "peer", "name", "r0", "netns", str(router.pid))
    (_CONF / "up0/accept_ra").write_text("1")
    ip("link", "set", "up0", "up")
    enter = ["nsenter", f"--net={ns}", "ip"]
    subprocess.run([*enter, "link", "set", "r0", "up"], check=True)
    shown = [*enter, "-6", "address", "show", "dev", "r0", "scope", "link", "-tentative"]
    assert until(lambda: b"fe80" in subprocess.run(shown, check=True, capture_output=True).stdout)
    router.stdin.write("\n2001:db8:1::\n")
    router.stdin.flush()
    assert until(lambda: default_routes() == 1)
    seen: dict[str, object] = {}
    forwards = [(_CONF / "all/forwarding").read_text().strip()]
    routes = [default_routes()]
    segment = Segment(
        "hb-fe1", IPv4Network("10.81.0.0/24"), IPv4Address("10.81.0.1"),
        gateway6=IPv6Interface("fd00:81::1/64"),
    )  # fmt: skip
    fabric = Fabric("feedfeedfeedfeed", 0xFEE)
    await fabric.open([], [])
    await fabric.raise_segment(segment)
    try:
        forwards.append((_CONF / "all/forwarding").read_text().strip())
        routes.append(default_routes())
        router.stdin.write("2001:db8:2::\n")
        router.stdin.flush()
        seen["learned while forwarding"] = until(lambda: "2001:db8:2:" in ip("-6", "address"))
        seen |= await _with_machine(fabric, segment)
    finally:
        await fabric.close()
    return {"forwards": forwards, "default routes": routes, **seen}


async def _with_machine(fabric: Fabric, segment: Segment) -> dict[str, object]:
    before = rules()
    address = IPv4Address("10.81.0.2")
    own = IPv6Address("fd00:81::2")
    port = Port(segment, ipam.mac_of(address), address, address6=own)
    name = fabric.name("ht", "1")
    fabric.taps.make(name)
    relayed = (Relayed("tcp", None, 8080), Relayed("udp", IPv6Address("2001:db8::1"), 53))
    firewall = Firewall((IPv6Network("fd00:81::/64"),), (), ())
    place = MachinePorts(name, (port,), firewall=firewall, host_services=True, relayed=relayed)
    await fabric.settle(place)
    await fabric.settle(place)
    between = rules()
    complete = all(text in between for text in (str(own), "wall-", "8080", "2001:db8::1"))
    await fabric.leave(name)
    return {"rules before": before, "rules with a machine": complete, "rules without": rules()}


if __name__ == "__main__":
    if sys.argv[1:] == ["advertise"]:
        advertise()
    else:
        asyncio.run(main())

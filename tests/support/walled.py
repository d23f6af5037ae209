"""What comes through a machine's white lists and where its services lead: frames put into TAPs; prints labels as JSON.

Run in a network namespace of its own: ``unshare --net python -m tests.support.walled``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import subprocess
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_network
from pathlib import Path

from hyper.network import ipam
from hyper.network.bridge.fabric import Fabric
from hyper.network.bridge.firewall import Firewall
from hyper.network.bridge.machine_rules import MachinePorts
from hyper.network.bridge.rules import Port, Publication, Segment
from hyper.network.lease import Service
from tests.support.taps import ether, mac, send, udp, until

GATEWAY, POD = IPv4Address("10.77.0.1"), IPv4Address("10.77.0.2")
#: Neighbours and machines of another network: in the list for inside, in that for outside, in none.
CALLERS = {
    "friend": IPv4Address("10.77.0.3"),
    "client": IPv4Address("10.77.0.4"),
    "stranger": IPv4Address("10.77.0.5"),
    "far friend": IPv4Address("10.78.0.3"),
    "far client": IPv4Address("10.78.0.4"),
    "far stranger": IPv4Address("10.78.0.5"),
}
SEGMENTS = [
    Segment(f"hb-fe{n}", IPv4Network(f"10.{n}.0.0/24"), IPv4Address(f"10.{n}.0.1"))
    for n in (77, 78)
]
SERVICE, FAR_SERVICE = IPv4Address("10.254.0.1"), IPv4Address("10.254.0.2")
INSIDE = ("10.77.0.3/32", "10.78.0.3/32", "10.78.0.0/30", "127.0.0.2/32", "fd00:77::3/128")
OUTSIDE = ("10.77.0.4/32", "10.78.0.4/32", "127.0.0.4/32", "fd00:77::4/128")
OPEN, CLOSED, PUBLISHED = 80, 81, 8080
_BRIDGE_CALLS = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")


def address6(address: IPv4Address) -> IPv6Address:
    return IPv6Address(f"fd00:77::{int(address) & 0xFF:x}")


def tcp(label: str, *, source: IPv4Address, to: IPv4Address, port: int, flags: int = 2) -> bytes:
    """A segment with ``flags`` (2: it opens a connection) that says ``label``; its checksums are right."""
    text = label.encode()
    data = struct.pack("!HHIIBBHHH", 9, port, 7, 7, 0x50, flags, 512, 0, 0) + text
    pseudo = source.packed + to.packed + struct.pack("!BBH", 0, 6, len(data))
    data = data[:16] + struct.pack("!H", checksum(pseudo + data)) + data[18:]
    return packet(data, protocol=6, source=source, to=to)


def packet(
    data: bytes, *, protocol: int, source: IPv4Address, to: IPv4Address, fragment: int = 0
) -> bytes:
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(data), 1, fragment, 64, protocol, 0)
    head += source.packed + to.packed
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + data


def checksum(data: bytes) -> int:
    """Source: RFC 1071."""
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return 0xFFFF - total


def udp6(label: str, *, source: IPv6Address, to: IPv6Address, port: int) -> bytes:
    text = label.encode()
    data = struct.pack("!HHHH", 9, port, 8 + len(text), 0) + text
    pseudo = source.packed + to.packed + struct.pack("!IHBB", len(data), 0, 0, 17)
    data = data[:6] + struct.pack("!H", checksum(pseudo + data)) + data[8:]
    return struct.pack("!IHBB", 6 << 28, len(data), 17, 64) + source.packed + to.packed + data


class World:
    """The fabric with all machines, of which the pod has a firewall. ``taps`` by address."""

    def __init__(self) -> None:
        self.fabric = Fabric("feedfeedfeedfeed", 0xFEE)
        self.places = {address: self.place(address) for address in (POD, *CALLERS.values())}
        self.taps: dict[IPv4Address, int] = {}

    def place(self, address: IPv4Address) -> MachinePorts:
        tap = self.fabric.name("ht", f"{int(address) & 0xFFFFFF:07x}")
        segment = next(segment for segment in SEGMENTS if address in segment.subnet)
        port = Port(segment, ipam.mac_of(address), address, address6=address6(address))
        return walled(tap, port) if address == POD else MachinePorts(tap, (port,))

    async def build(self) -> None:
        await self.fabric.open(SEGMENTS, [])
        for address, place in self.places.items():
            self.taps[address] = self.fabric.taps.make(place.tap)
            await self.fabric.settle(place)
            card = ("dev", place.ports[0].segment.bridge, "lladdr", ipam.mac_of(address))
            # For good: none of these machines answers when the kernel checks.
            subprocess.run(["ip", "neigh", "replace", str(address), *card], check=True)

    async def rebuild(self) -> None:
        """As a new daemon does it."""
        await self.fabric.open(SEGMENTS, self.places.values())

    def put(self, source: IPv4Address, payload: bytes, to: bytes, kind: int = 0x0800) -> None:
        frame = ether(payload, kind=kind, source=mac(source), to=to)
        send(self.taps[source], frame)


def walled(tap: str, port: Port) -> MachinePorts:
    published = tuple(
        Publication(protocol, None, PUBLISHED, POD, OPEN) for protocol in ("tcp", "udp")
    )
    firewall = Firewall(
        tuple(map(ip_network, INSIDE)),
        tuple(map(ip_network, OUTSIDE)),
        (("tcp", OPEN), ("udp", OPEN)),
    )
    hosts = tuple((CALLERS[name], OPEN) for name in ("client", "stranger"))
    services = (
        Service("udp", SERVICE, OPEN, hosts),
        Service("tcp", SERVICE, OPEN, hosts[:1]),
        Service("udp", FAR_SERVICE, OPEN, ((CALLERS["far friend"], OPEN),)),
    )
    return MachinePorts(tap, (port,), published, firewall, services)


def call(world: World) -> Iterator[str]:
    """Every caller asks for everything in every way; the labels of all that was sent."""
    for name, address in CALLERS.items():
        gateway = SEGMENTS[0 if address in SEGMENTS[0].subnet else 1].gateway
        near = gateway == GATEWAY
        for kind, make in (("tcp", tcp), ("udp", udp)):
            for port in (OPEN, CLOSED):
                label = f"{name} {kind} {port};"
                direct = make(label, source=address, to=POD, port=port)
                world.put(address, direct, mac(POD) if near else mac(gateway))
                yield label
            label = f"{name} {kind} published;"
            world.put(
                address, make(label, source=address, to=gateway, port=PUBLISHED), mac(gateway)
            )
            yield label
        for port in (OPEN, CLOSED) if near else ():
            label = f"{name} udp6 {port};"
            source, to = address6(address), address6(POD)
            world.put(address, udp6(label, source=source, to=to, port=port), mac(POD), 0x86DD)
            yield label
    yield from tricks(world)
    yield from at_home()


def tricks(world: World) -> Iterator[str]:
    """A stranger's fragments with flags where nobody looks, and answers nobody asked for or somebody did."""
    stranger = CALLERS["stranger"]
    whole = tcp("xxxxtrick;", source=stranger, to=POD, port=OPEN)[20:]
    first = packet(whole[:8], protocol=6, source=stranger, to=POD, fragment=0x2000)
    world.put(stranger, first + b"\x00\x00\x00\x00\x50\x10first;", mac(POD))
    second = packet(whole[8:], protocol=6, source=stranger, to=POD, fragment=1)
    world.put(stranger, second, mac(POD))
    yield from ("first;", "trick;")
    around = udp("by the gateway;", source=stranger, to=POD, port=OPEN)
    world.put(stranger, around, mac(GATEWAY))
    yield "by the gateway;"
    question = udp("question", source=POD, to=stranger, port=CLOSED)
    world.put(POD, question[:20] + struct.pack("!HH", CLOSED, 9) + question[24:], mac(stranger))
    world.put(stranger, udp("answer;", source=stranger, to=POD, port=CLOSED), mac(POD))
    yield "answer;"


def at_home() -> Iterator[str]:
    """Programs of the host, by the address they send from."""
    for source in ("127.0.0.2", "127.0.0.4", "127.0.0.1", "10.77.0.1"):
        for to, port in (("127.0.0.1", PUBLISHED), (str(POD), OPEN)):
            if source.startswith("127.") == to.startswith("127."):
                label = f"{source} {port};"
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                    sock.bind((source, 0))
                    with contextlib.suppress(OSError):
                        sock.sendto(label.encode(), (to, port))
                yield label


def round_of(world: World, number: int) -> list[str]:
    """What came to the pod of one round, but answers."""
    labels = list(call(world))
    friend = CALLERS["friend"]
    last = ether(
        udp(f"end {number}", source=friend, to=POD), kind=0x0800, source=mac(friend), to=mac(POD)
    )
    send(world.taps[friend], last)
    came = until(world.taps[POD], last)
    return [label for label in labels if any(label.encode() in frame for frame in came)]


def asks(world: World, source: IPv4Address, to: IPv4Address, label: str, kind: str) -> None:
    """A question to a service, from a port of its own."""
    make = tcp if kind == "tcp" else udp
    question = make(label, source=source, to=to, port=OPEN)
    world.put(source, question, mac(GATEWAY))


def served(world: World) -> dict[str, list[str]]:
    """What comes of the pod's questions to its services, and of a neighbour's, who has none; who got the answer."""
    labels = [f"turn {number};" for number in range(4)]
    for number, label in enumerate(labels):
        question = udp(label, source=POD, to=SERVICE, port=OPEN)
        source_port = struct.pack("!H", 1000 + number)
        world.put(POD, question[:20] + source_port + question[22:], mac(GATEWAY))
    asks(world, POD, SERVICE, "tcp;", "tcp")
    asks(world, POD, FAR_SERVICE, "far;", "udp")
    asks(world, CALLERS["friend"], SERVICE, "neighbour's;", "udp")
    labels += ["tcp;", "far;", "neighbour's;"]
    came = {name: arrived(world, name) for name in ("client", "stranger", "far friend")}
    seen = {
        name: [label for label in labels if any(label.encode() in frame for frame in frames)]
        for name, frames in came.items()
    }
    caller = next(frame for frame in came["client"] if b"turn " in frame)
    back, port = IPv4Address(caller[26:30]), int.from_bytes(caller[34:36], "big")
    answer = udp("served;", source=CALLERS["client"], to=back, port=port)
    answer = answer[:20] + struct.pack("!H", OPEN) + answer[22:]
    world.put(CALLERS["client"], answer, mac(GATEWAY))
    told = [frame for frame in arrived(world, "pod") if b"served;" in frame]
    return {**seen, "pod": [str(IPv4Address(frame[26:30])) for frame in told]}


def arrived(world: World, name: str) -> list[bytes]:
    """What came to a machine up to a neighbour's last word."""
    there = CALLERS.get(name, POD)
    near = CALLERS["far client" if name.startswith("far") else "friend"]
    last = ether(udp("last", source=near, to=there), kind=0x0800, source=mac(near), to=mac(there))
    send(world.taps[near], last)
    return until(world.taps[there], last)


def tables() -> list[str]:
    done = subprocess.run(["nft", "list", "tables"], check=True, capture_output=True, text=True)
    return done.stdout.splitlines()


async def main() -> None:
    """Print what came with and without br_netfilter's help, after a new daemon, of services, and what is left."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    world = World()
    result: dict[str, list[str]] = {}
    await world.build()
    try:
        for number, calls in enumerate("01"):
            if _BRIDGE_CALLS.exists():
                _BRIDGE_CALLS.write_text(calls)
            result[f"bridge calls {calls}"] = round_of(world, number)
        await world.rebuild()
        result["again"] = round_of(world, 2)
        result |= served(world)
        for place in world.places.values():
            await world.fabric.leave(place.tap)
        result["tables"] = tables()
    finally:
        await world.fabric.close()
    print(json.dumps(result))


if __name__ == "__main__":
    asyncio.run(main())

"""Frames put straight into TAPs, as a hypervisor that was taken over could: prints what came out where, as JSON.

Run in a network namespace of its own: ``unshare --net python -m tests.support.taps``.
"""

from __future__ import annotations

import asyncio
import json
import os
import select
import socket
import struct
from ipaddress import IPv4Address, IPv4Network, IPv6Address

from hyper.network import ipam
from hyper.network.bridge import fabric as fabric_module
from hyper.network.bridge.budget import MAX_QUESTIONS_AT_ONCE
from hyper.network.bridge.fabric import Fabric
from hyper.network.bridge.machine_rules import MachinePorts
from hyper.network.bridge.rules import Port, Segment
from hyper.network.ipam6 import link_local_of
from hyper.system import conntrack

#: struct virtio_net_hdr_mrg_rxbuf: nothing is left to the card.
HEADER = bytes(12)
#: asm-generic/socket.h.
SO_RCVBUFFORCE = 33
TIMEOUT_S = 10.0
BAD, VICTIM = IPv4Address("10.77.0.2"), IPv4Address("10.77.0.3")
BAD6, VICTIM6 = IPv6Address("fd00:77::2"), IPv6Address("fd00:77::3")
FAR, PEER, INNER = IPv4Address("10.78.0.2"), IPv4Address("10.78.0.3"), IPv4Address("10.79.0.2")
HOSTED = IPv4Address("10.80.0.2")
#: What one machine may have of the kernel's table of flows here.
MAX_FLOWS = 50
#: Questions, more than a machine may ask at once.
TOO_MANY = 5 * MAX_QUESTIONS_AT_ONCE


def mac(address: IPv4Address) -> bytes:
    return bytes.fromhex(ipam.mac_of(address).replace(":", ""))


def ether(payload: bytes, *, kind: int, source: bytes, to: bytes) -> bytes:
    return to + source + struct.pack("!H", kind) + payload


def udp(
    label: str, *, source: IPv4Address, to: IPv4Address, port: int = 9, source_port: int = 9
) -> bytes:
    """An IPv4 packet that says ``label``."""
    text = label.encode()
    data = struct.pack("!HHHH", source_port, port, 8 + len(text), 0) + text
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(data), 0, 0, 64, 17, 0)
    head += source.packed + to.packed
    total = sum(struct.unpack("!10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    return head[:10] + struct.pack("!H", 0xFFFF - total) + head[12:] + data


def arp(label: str, *, hardware: bytes, address: IPv4Address) -> bytes:
    """A claim of ``address``."""
    head = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 2)
    return head + hardware + address.packed + mac(VICTIM) + VICTIM.packed + label.encode()


def ip6(payload: bytes, *, following: int, source: IPv6Address) -> bytes:
    head = struct.pack("!IHBB", 6 << 28, len(payload), following, 255)
    return head + source.packed + VICTIM6.packed + payload


def icmp6(kind: int, about: IPv6Address, label: str) -> bytes:
    return struct.pack("!BBHI", kind, 0, 0, 0x60000000) + about.packed + label.encode()


def attempts() -> dict[str, bytes]:
    """Frames of the bad machine by what they are; those called ``own…`` are its right."""
    own, other, to = mac(BAD), mac(VICTIM), mac(VICTIM)
    local = link_local_of(ipam.mac_of(BAD))
    frames: dict[str, bytes] = {}

    def add(label: str, payload: bytes, kind: int, source: bytes = own, to: bytes = to) -> None:
        frames[label] = ether(payload, kind=kind, source=source, to=to)

    add("own packet", udp("own packet", source=BAD, to=VICTIM), 0x0800)
    add("other card", udp("other card", source=BAD, to=VICTIM), 0x0800, other)
    add("other address", udp("other address", source=VICTIM, to=VICTIM), 0x0800)
    add("no address", udp("no address", source=IPv4Address(0), to=VICTIM), 0x0800)
    add("own arp", arp("own arp", hardware=own, address=BAD), 0x0806)
    add("arp for another", arp("arp for another", hardware=own, address=VICTIM), 0x0806)
    add("arp of another", arp("arp of another", hardware=other, address=BAD), 0x0806)
    tagged = struct.pack("!HH", 7, 0x0800) + udp("tagged", source=VICTIM, to=VICTIM)
    add("tagged", tagged, 0x8100)
    add("lldp", b"lldp", 0x88CC, to=bytes.fromhex("0180c200000e"))
    add("own packet6", ip6(b"own packet6", following=59, source=BAD6), 0x86DD)
    add("own local6", ip6(b"own local6", following=59, source=local), 0x86DD)
    add("other address6", ip6(b"other address6", following=59, source=VICTIM6), 0x86DD)
    for name, kind, about in (
        ("own advert", 136, BAD6),
        ("advert for another", 136, VICTIM6),
        ("router advert", 134, BAD6),
        ("redirect", 137, VICTIM6),
    ):
        add(name, ip6(icmp6(kind, about, name), following=58, source=BAD6), 0x86DD)
    hidden = struct.pack("!BB6x", 58, 0) + icmp6(136, VICTIM6, "hidden advert")
    add("hidden advert", ip6(hidden, following=0, source=BAD6), 0x86DD)
    add("own end", udp("own end", source=BAD, to=VICTIM), 0x0800)
    return frames


def send(tap: int, frame: bytes) -> None:
    os.write(tap, HEADER + frame)


def until(tap: int, last: bytes) -> list[bytes]:
    """What came out of ``tap`` up to ``last``, which has to come."""
    frames: list[bytes] = []
    while last not in frames:
        assert select.select([tap], [], [], TIMEOUT_S)[0], "the last frame did not come"
        frames.append(os.read(tap, 4096)[len(HEADER) :])
    return frames


def within_the_network(bad: int, victim: int) -> list[str]:
    frames = attempts()
    for frame in frames.values():
        send(bad, frame)
    came = until(victim, frames["own end"])
    return [label for label in frames if any(label.encode() in frame for frame in came)]


def across(bad: int, peer: int, far: int, gateway: IPv4Address) -> list[str]:
    """By the neighbour's MAC, and by way of the host; then a frame that has to come."""
    for label, to in (("direct", mac(FAR)), ("routed", mac(gateway))):
        packet = udp(label, source=BAD, to=FAR)
        send(bad, ether(packet, kind=0x0800, source=mac(BAD), to=to))
    last = ether(udp("neighbour", source=PEER, to=FAR), kind=0x0800, source=mac(PEER), to=mac(FAR))
    send(peer, last)
    came = until(far, last)
    return [
        label
        for label in ("direct", "routed", "neighbour")
        if any(label.encode() in frame for frame in came)
    ]


def question(tap: int, source: IPv4Address, port: int = 53, source_port: int = 9) -> None:
    """One datagram to a port of the host, on its own gateway."""
    gateway = IPv4Address(int(source) & ~0xFF | 1)
    packet = udp("hello", source=source, to=gateway, port=port, source_port=source_port)
    send(tap, ether(packet, kind=0x0800, source=mac(source), to=mac(gateway)))


def listener(address: str, port: int) -> socket.socket:
    """A service of the host that has room for all that is sent here."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 25)
    sock.bind((address, port))
    sock.settimeout(TIMEOUT_S)
    return sock


def at_the_host(tap: int, source: IPv4Address) -> dict[str, bool]:
    """Which services of the host on a machine's gateway hear of it."""
    with listener("0.0.0.0", 9999) as other, listener("0.0.0.0", 53) as names:
        question(tap, source, 9999)
        question(tap, source)
        known = names.recv(64) == b"hello"
        return {"names": known, "else": bool(select.select([other], [], [], 0)[0])}


def heard(names: socket.socket, last: IPv4Address) -> int:
    """How many questions have come before the first of ``last``, which has to come."""
    count = 0
    while names.recvfrom(64)[1][0] != str(last):
        count += 1
    return count


def too_much(bad: int, victim: int) -> dict[str, int]:
    """How much of what one machine sends comes; each time its neighbour, who asks once, is heard."""
    with listener("0.0.0.0", 53) as names:
        for number in range(MAX_FLOWS * 4):
            question(bad, BAD, source_port=1024 + number)
        question(victim, VICTIM)
        flows = heard(names, VICTIM)
        for _ in range(TOO_MANY):
            question(bad, BAD, source_port=1024)
        question(victim, VICTIM)
        return {"flows": flows, "questions": heard(names, VICTIM)}


async def main() -> None:
    """Print what each kind of attempt came to."""
    segments = [
        Segment(
            f"hb-fe{n}",
            IPv4Network(f"10.{n}.0.0/24"),
            IPv4Address(f"10.{n}.0.1"),
            internal=n == 79,
            host_services=n == 80,
        )
        for n in (77, 78, 79, 80)
    ]
    fabric_module._SHARE = max(1, conntrack.max_flows() // MAX_FLOWS)  # type: ignore[misc]
    fabric = Fabric("feedfeedfeedfeed", 0xFEE)
    await fabric.open(segments, [])
    try:
        taps = {}
        for address, segment, address6 in (
            (BAD, segments[0], BAD6),
            (VICTIM, segments[0], VICTIM6),
            (FAR, segments[1], None),
            (PEER, segments[1], None),
            (INNER, segments[2], None),
            (HOSTED, segments[3], None),
        ):
            name = fabric.name("ht", f"{int(address) & 0xFFFFFF:07x}")
            taps[address] = fabric.taps.make(name)
            port = Port(segment, ipam.mac_of(address), address, address6=address6)
            await fabric.settle(MachinePorts(name, (port,), host_services=address == PEER))
        result = {
            "within": within_the_network(taps[BAD], taps[VICTIM]),
            "across": across(taps[BAD], taps[PEER], taps[FAR], segments[0].gateway),
            "host": {
                name: at_the_host(taps[address], address)
                for name, address in (
                    ("internal", INNER),
                    ("plain", FAR),
                    ("asked by the container", PEER),
                    ("asked by the network", HOSTED),
                )
            },
            "too much": too_much(taps[BAD], taps[VICTIM]),
        }
    finally:
        await fabric.close()
    print(json.dumps(result))


if __name__ == "__main__":
    asyncio.run(main())

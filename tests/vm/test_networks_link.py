"""Bridges, ports and TAPs, in a network namespace of the test's own."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.root

SCRIPT = """
import asyncio, ipaddress, os
from hyper.errors import Conflict, HyperError
from hyper.system import link, tun

fd = tun.open_tap("ht-1")
link.make_bridge("hb-1", ipaddress.IPv4Interface("172.30.0.1/20"), mtu=1400, mac="02:42:ac:1e:00:01")
link.join_bridge("ht-1", "hb-1")
link.join_bridge("ht-1", "hb-1")
link.set_up("ht-1", mtu=1400)
for mac in ("02:42:ac:1e:00:05", "02:42:ac:1e:00:06"):
    link.bind_port("ht-1", mac)
    link.bind_port("ht-1", mac)
    link.know_neighbour("hb-1", ipaddress.IPv4Address("172.30.0.5"), mac)
link.return_frames("ht-1")
os.system("bridge -d link show dev ht-1 | grep -o 'hairpin on'")
os.system("bridge fdb show br hb-1 | grep -E ^02:42:ac:1e:00:0[56]; ip neigh show dev hb-1")
for device in ("lo", "no"):
    try:
        link.bind_port(device, mac)
    except HyperError as error:
        print(error)
os.system("ip -o -4 addr show hb-1; ip -o link show master hb-1")
try:
    tun.open_tap("ht-1")
except Conflict:
    print("in use")
try:
    link.make_bridge("hb-1", ipaddress.IPv4Interface("172.30.16.1/20"), mtu=1500, mac="02:42:ac:1e:00:01")
except HyperError as error:
    print(error)
link.leave_bridge("ht-1", "hb-1")
link.leave_bridge("ht-1", "hb-1")
os.system("bridge fdb show | grep 02:42:ac:1e:00:05")
os.close(fd)
link.end_bridge("hb-1")
link.end_bridge("hb-1")

async def pair():
    await link.make_pair("hv-1", "hw-1")
    print(sorted(link.names("h")))
    await link.end_pair("hw-1")
    await link.end_pair("hw-1")
asyncio.run(pair())

# Whoever holds a TAP may make it stay: it does not survive us.
import fcntl
fd = tun.open_tap("ht-2")
fcntl.ioctl(fd, 0x400454CB, 1)
os.close(fd)
print(link.names("ht"))
tun.end_tap("ht-2")
print(link.names("h"))
"""


def test_netlink_link_operations_do_what_they_say() -> None:
    """Each operation does what it says, may be repeated where it says so, and leaves nothing."""
    argv = ["unshare", "--net", sys.executable, "-c", SCRIPT]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = done.stdout.splitlines()
    assert told.pop(0) == "hairpin on"
    static, (neighbour, *refused), (address, port, *rest) = told[:2], told[2:5], told[5:]
    assert sorted(static) == [f"02:42:ac:1e:00:0{n} dev ht-1 master hb-1 static" for n in (5, 6)]
    assert neighbour.split() == ["172.30.0.5", "lladdr", "02:42:ac:1e:00:06", "STALE"]
    assert refused == [
        "cannot bind 02:42:ac:1e:00:06 to lo: Invalid argument",
        "there is no network card no",
    ]
    assert "172.30.0.1/20" in address
    assert "ht-1" in port
    assert "mtu 1400" in port
    assert rest == [
        "in use",
        "cannot make the bridge hb-1: File exists",
        "['hv-1', 'hw-1']",
        "['ht-2']",
        "[]",
    ]


FLOWS = (
    """
import asyncio, socket
from ipaddress import ip_address
from hyper.system import conntrack, nftables

rules = """
    + repr(
        "add table {0} t; add chain {0} t c {{ type filter hook input priority 0; }}; "
        "add rule {0} t c ct state new accept"
    )
    + """
asyncio.run(nftables.apply("\\n".join(rules.format(family) for family in ("ip", "ip6"))))
families = {4: socket.AF_INET, 6: socket.AF_INET6}
senders = []
for address, port in (("127.0.0.1", 5000), ("127.0.0.1", 5001), ("127.0.0.2", 5000), ("::1", 5000)):
    senders.append(socket.socket(families[ip_address(address).version], socket.SOCK_DGRAM))
    senders[-1].sendto(b"x", (address, port))

def left():
    lines = [line.split() for line in open("/proc/net/nf_conntrack")]
    words = [[word.partition("=")[2] for word in line if word.startswith(("dst=", "dport="))][:2] for line in lines]
    print(sorted(f"{ip_address(address)} {port}" for address, port in words))

left()
for wanted in (
    [conntrack.to_port("udp", ip_address("127.0.0.2"), 5000), conntrack.to_port("tcp", None, 5001)],
    [conntrack.to_port("udp", None, 5000)],
    [conntrack.to_port("udp", None, 5000, version=6)],
    conntrack.of(ip_address("127.0.0.1")),
):
    asyncio.run(conntrack.forget(wanted))
    left()
"""
)


def test_conntrack_flows_when_forgotten_are_those_meant() -> None:
    """Those that are meant by port, by address, by protocol and version, and no others."""
    argv = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    done = subprocess.run(
        [*argv, sys.executable, "-c", FLOWS], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    first, second, third, fourth = "127.0.0.1 5000", "127.0.0.1 5001", "127.0.0.2 5000", "::1 5000"
    assert done.stdout.splitlines() == [
        str(list(left))
        for left in (
            (first, second, third, fourth),
            (first, second, fourth),
            (second, fourth),
            (second,),
            (),
        )
    ]

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


def test_links() -> None:
    """Each operation does what it says, may be repeated where it says so, and leaves nothing."""
    argv = ["unshare", "--net", sys.executable, "-c", SCRIPT]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    address, port, *rest = done.stdout.splitlines()
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

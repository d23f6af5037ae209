"""Bridges and their ports, by ioctls and netlink: no process is started, each takes well under a millisecond.

Source: netdevice(7), rtnetlink(7), linux/sockios.h, linux/neighbour.h, net/bridge/br_ioctl.c. Only virtual Ethernet
pairs need ip(8).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import ipaddress
import os
import socket
import struct
from pathlib import Path

from hyper.errors import HyperError
from hyper.system import process

#: IFNAMSIZ − 1.
MAX_NAME = 15
_SIOCBRADDBR, _SIOCBRDELBR, _SIOCBRADDIF, _SIOCBRDELIF = 0x89A0, 0x89A1, 0x89A2, 0x89A3
_SIOCSIFFLAGS, _SIOCSIFADDR, _SIOCSIFNETMASK = 0x8914, 0x8916, 0x891C
_SIOCSIFMTU, _SIOCSIFHWADDR, _SIOCSIFNAME = 0x8922, 0x8924, 0x8923
_IFF_UP = 1
_RTM_SETLINK, _RTM_NEWADDR, _RTM_NEWNEIGH = 19, 20, 28
_ACKNOWLEDGED = 0x1 | 0x4  # request, acknowledge
_PUT = _ACKNOWLEDGED | 0x100 | 0x400  # replace, create
_IFLA_PROTINFO, _IFLA_BRPORT_MODE, _NESTED = 12, 4, 0x8000
_NDA_DST, _NDA_LLADDR, _NTF_MASTER = 1, 2, 0x04
_IFA_ADDRESS, _IFA_LOCAL, _IFA_F_NODAD = 1, 2, 0x02
_NUD_STALE, _NUD_NOARP = 0x04, 0x40
_AF_BRIDGE = 7
_ARPHRD_ETHER = 1
_TIMEOUT_S = 20.0

IPv4Interface = ipaddress.IPv4Interface


def names(prefix: str = "") -> list[str]:
    """The names of this network namespace's links that begin with ``prefix``."""
    return [name for _, name in socket.if_nameindex() if name.startswith(prefix)]


def exists(name: str) -> bool:
    """Whether there is a link ``name``."""
    return name in names()


def make_bridge(name: str, address: IPv4Interface, *, mtu: int, mac: str) -> None:
    """The bridge exists, is up and has ``address``; half a bridge is left nowhere.

    Raises:
        HyperError: it cannot be made (the name is taken, no right).
    """
    _do(_SIOCBRADDBR, name.encode() + b"\0", f"make the bridge {name}")
    try:
        # An address of its own: else it takes that of its lowest port, and guests' ARP tables are wrong.
        _set(name, _SIOCSIFHWADDR, struct.pack("H6s16x", _ARPHRD_ETHER, _hardware(mac)))
        _set(name, _SIOCSIFMTU, struct.pack("i20x", mtu))
        _set(name, _SIOCSIFADDR, _address(address.ip))
        _set(name, _SIOCSIFNETMASK, _address(address.netmask))
        set_up(name)
    except BaseException:
        end_bridge(name)
        raise


def give_address6(bridge: str, address: ipaddress.IPv6Interface) -> None:
    """The bridge has ``address`` at once, and its card's own; it heeds no router. Repeatable.

    Raises:
        HyperError: the address cannot be had (there is no IPv6, no right).
    """
    try:
        set_sysctl(f"net/ipv6/conf/{bridge}/accept_ra", 0)
        set_sysctl(f"net/ipv6/conf/{bridge}/disable_ipv6", 0)
    except OSError as error:
        raise HyperError(f"cannot have IPv6 on {bridge}: {error.strerror}") from error
    # Nobody else has it, and a bridge without ports would wait for one before it asks.
    head = (socket.AF_INET6, address.network.prefixlen, _IFA_F_NODAD, 0, _index(bridge))
    entry = struct.pack("=BBBBI", *head)
    for kind in (_IFA_LOCAL, _IFA_ADDRESS):
        entry += _attribute(kind, address.ip.packed)
    _ask(_RTM_NEWADDR, _PUT, entry, f"give {bridge} the address {address.ip}")


def end_bridge(name: str) -> None:
    """The bridge does not exist."""
    if not exists(name):
        return
    _set(name, _SIOCSIFFLAGS, struct.pack("H22x", 0))
    _do(_SIOCBRDELBR, name.encode() + b"\0", f"remove the bridge {name}")


def set_up(name: str, *, mtu: int | None = None) -> None:
    """The link carries packets, none of IPv6 to or from the host (a bridge may be given that, see give_address6)."""
    # Addresses of the host that nobody has asked for would be a way round the rules.
    with contextlib.suppress(FileNotFoundError):  # a host without IPv6
        set_sysctl(f"net/ipv6/conf/{name}/disable_ipv6", 1)
    if mtu is not None:
        _set(name, _SIOCSIFMTU, struct.pack("i20x", mtu))
    _set(name, _SIOCSIFFLAGS, struct.pack("H22x", _IFF_UP))


def rename(name: str, new: str) -> None:
    """The link, which is down, is called ``new``. Raises: HyperError."""
    request = struct.pack("16s16s8x", name.encode(), new.encode())
    _do(_SIOCSIFNAME, request, f"rename {name}")


def join_bridge(port: str, bridge: str) -> None:
    """The link ``port`` is a port of ``bridge``."""
    request = struct.pack("16si20x", bridge.encode(), _index(port))
    _do(_SIOCBRADDIF, request, f"add {port} to the bridge {bridge}", ok=errno.EBUSY)


def leave_bridge(port: str, bridge: str) -> None:
    """The link ``port`` is no port of ``bridge``; also when either is gone."""
    with contextlib.suppress(HyperError):
        request = struct.pack("16si20x", bridge.encode(), _index(port))
        _do(_SIOCBRDELIF, request, f"take {port} from the bridge {bridge}", ok=errno.EINVAL)


def isolate_port(port: str) -> None:
    """The bridge port ``port`` exchanges nothing with other isolated ports of its bridge."""
    Path(f"/sys/class/net/{port}/brport/isolated").write_text("1")


def return_frames(port: str) -> None:
    """The bridge may send a frame out by the ``port`` that it came in by (hairpin mode).

    Raises:
        HyperError: ``port`` is no port of a bridge, or no right.
    """
    link = struct.pack("=BxHiII", _AF_BRIDGE, 0, _index(port), 0, 0)
    mode = _attribute(_IFLA_PROTINFO | _NESTED, _attribute(_IFLA_BRPORT_MODE, b"\1"))
    _ask(_RTM_SETLINK, _ACKNOWLEDGED, link + mode, f"let frames return by {port}")


def know_neighbour(device: str, address: ipaddress.IPv4Address, mac: str) -> None:
    """The host has ``mac`` for ``address`` on ``device`` until it finds out otherwise, which it tries on use.

    Raises:
        HyperError: there is no such device, or no right.
    """
    attributes = _attribute(_NDA_DST, address.packed) + _attribute(_NDA_LLADDR, _hardware(mac))
    entry = struct.pack("=BxHiHBB", socket.AF_INET, 0, _index(device), _NUD_STALE, 0, 0)
    _ask(_RTM_NEWNEIGH, _PUT, entry + attributes, f"say who {address} is on {device}")


def bind_port(port: str, mac: str) -> None:
    """The bridge sends frames for ``mac`` to ``port`` and nowhere else, as long as ``port`` is a port of it.

    Raises:
        HyperError: ``port`` is no port of a bridge, or no right.
    """
    entry = struct.pack("=BxHiHBB", _AF_BRIDGE, 0, _index(port), _NUD_NOARP, _NTF_MASTER, 0)
    entry += _attribute(_NDA_LLADDR, _hardware(mac))
    _ask(_RTM_NEWNEIGH, _PUT, entry, f"bind {mac} to {port}")


async def make_pair(name: str, peer: str) -> None:
    """The two virtual Ethernet cards exist, joined by a cable, both down.

    Raises:
        ProcessFailed: ip is missing, or a name is taken.
    """
    argv = ["ip", "link", "add", name, "type", "veth", "peer", "name", peer]
    await process.run(argv, timeout_s=_TIMEOUT_S)


async def end_pair(name: str) -> None:
    """The virtual Ethernet card does not exist, nor its peer."""
    if exists(name):
        await process.run(["ip", "link", "del", name], timeout_s=_TIMEOUT_S, ok=(0, 1))


def set_sysctl(key: str, value: int) -> None:
    """The kernel's setting ``key`` (slashes between its parts) is ``value``.

    Raises:
        OSError: there is no such setting, or no right.
    """
    path = Path("/proc/sys") / key
    if path.read_text().strip() != str(value):
        path.write_text(str(value))


def _address(address: ipaddress.IPv4Address) -> bytes:
    return struct.pack("HH4s16x", socket.AF_INET, 0, address.packed)


def _hardware(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def _attribute(kind: int, value: bytes) -> bytes:
    """An attribute (struct rtattr). Source: rtnetlink(3)."""
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def _ask(kind: int, flags: int, entry: bytes, what: str) -> None:
    """The kernel has done what ``entry`` asks: a message's struct, attributes. Source: rtnetlink(7), netlink(7)."""
    header = struct.pack("=IHHII", 16 + len(entry), kind, flags, 1, 0)
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
    with socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE) as handle:
        handle.send(header + entry)
        (error,) = struct.unpack_from("=i", handle.recv(4096), 16)
    if error:
        raise HyperError(f"cannot {what}: {os.strerror(-error)}")


def _index(name: str) -> int:
    try:
        return socket.if_nametoindex(name)
    except OSError as error:
        raise HyperError(f"there is no network card {name}") from error


def _set(name: str, request: int, value: bytes) -> None:
    _do(request, struct.pack("16s24s", name.encode(), value), f"set up {name}")


def _do(request: int, argument: bytes, what: str, *, ok: int = 0) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as handle:
        try:
            fcntl.ioctl(handle, request, argument)
        except OSError as error:
            if error.errno != ok:
                raise HyperError(f"cannot {what}: {error.strerror}") from error

"""The kernel's table of flows (conntrack): flows that lead to a machine that is gone are forgotten.

What a packet's flow was translated to when it began holds for the flow's life, which for datagrams is as long as the
client goes on sending: a rule that changes changes nothing for it.

Source: linux/netfilter/nfnetlink.h, nfnetlink_conntrack.h (ctattr_type, ctattr_tuple, ctattr_filter); netlink(7).
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Final

from hyper.errors import HyperError

Address = IPv4Address | IPv6Address

PROTOCOLS: Final = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP}
_NETLINK_NETFILTER: Final = 12
_GET, _DELETE = 0x101, 0x102
_REQUEST, _ACK, _DUMP = 0x1, 0x4, 0x300
_ERROR, _DONE = 2, 3
_NESTED, _TYPE = 0x8000, 0x3FFF
_ORIGIN, _REPLY, _ID, _ZONE, _FILTER = 1, 2, 12, 18, 25
_TUPLE_IP, _TUPLE_PROTO = 1, 2
_PROTO_NUMBER, _PROTO_TO = 1, 3
#: Of an address within a tuple, by version: whose it is that sends, and where to.
_FROM, _TO = {4: 1, 6: 3}, {4: 2, 6: 4}
_F_FROM, _F_TO, _F_PROTO, _F_PORT = 1 << 0, 1 << 1, 1 << 3, 1 << 5
_TIMEOUT_S: Final = 10.0
_MAX: Final = Path("/proc/sys/net/netfilter/nf_conntrack_max")
_DEFAULT_MAX: Final = 65536
_BUFFER: Final = 1 << 17


@dataclass(frozen=True, slots=True)
class Flows:
    """Flows by their first packet or, with ``answers``, by the packets that answer it. A field of None matches all."""

    version: int = 4
    answers: bool = False
    source: Address | None = None
    destination: Address | None = None
    protocol: str | None = None
    port: int | None = None


def to_port(protocol: str, host: Address | None, port: int, *, version: int = 4) -> Flows:
    """The flows that began towards ``port`` of ``host``."""
    return Flows(version, destination=host, protocol=protocol, port=port)


def of(address: Address) -> tuple[Flows, Flows]:
    """The flows that ``address`` began, and the flows it answers."""
    version = address.version
    return Flows(version, source=address), Flows(version, answers=True, source=address)


def max_flows() -> int:
    """The number of flows that the kernel keeps at most."""
    try:
        return int(_MAX.read_text())
    except (OSError, ValueError):  # it keeps none yet: then what it does by default
        return _DEFAULT_MAX


async def forget(wanted: Sequence[Flows]) -> None:
    """The flows in ``wanted`` are not known any more: their next packets are judged by the rules of now.

    Raises:
        HyperError: the kernel keeps no flows, or no right.
    """
    if wanted:
        await asyncio.to_thread(_forget, wanted)


def _forget(wanted: Sequence[Flows]) -> None:
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
    try:
        with socket.socket(socket.AF_NETLINK, kind, _NETLINK_NETFILTER) as handle:
            handle.settimeout(_TIMEOUT_S)
            for flows in wanted:
                for found in list(_matching(handle, flows)):
                    _delete(handle, flows.version, found)
    except OSError as error:
        raise HyperError(f"cannot change the kernel's table of flows: {error.strerror}") from error


def _matching(handle: socket.socket, flows: Flows) -> Iterator[dict[int, bytes]]:
    """The attributes of each flow that ``flows`` means. Kernels before 5.8 know no filter and tell all flows."""
    handle.send(_message(_GET, _REQUEST | _DUMP, flows.version, _asked(flows)))
    side = _REPLY if flows.answers else _ORIGIN
    while True:
        for kind, body in _messages(handle.recv(_BUFFER)):
            if kind == _DONE:
                return
            if kind == _ERROR:
                _check(body)
            attributes = dict(_attributes(body[4:]))
            if side in attributes and _is_meant(flows, attributes[side]):
                yield attributes


def _asked(flows: Flows) -> bytes:
    """A filter for the kernel."""
    addresses = b""
    flags = 0
    for address, kinds, flag in ((flows.source, _FROM, _F_FROM), (flows.destination, _TO, _F_TO)):
        if address is not None:
            addresses += _attribute(kinds[address.version], address.packed)
            flags |= flag
    ports = b""
    if flows.protocol is not None:
        ports += _attribute(_PROTO_NUMBER, bytes([PROTOCOLS[flows.protocol]]))
        flags |= _F_PROTO
    if flows.port is not None:
        ports += _attribute(_PROTO_TO, struct.pack("!H", flows.port))
        flags |= _F_PORT
    side = _REPLY if flows.answers else _ORIGIN
    parts = _attribute(_TUPLE_IP | _NESTED, addresses) if addresses else b""
    parts += _attribute(_TUPLE_PROTO | _NESTED, ports) if ports else b""
    masks = _attribute(1, struct.pack("=I", 0 if flows.answers else flags))
    masks += _attribute(2, struct.pack("=I", flags if flows.answers else 0))
    return _attribute(side | _NESTED, parts) + _attribute(_FILTER | _NESTED, masks)


def _is_meant(flows: Flows, tuple_: bytes) -> bool:
    parts = dict(_attributes(tuple_))
    addresses = dict(_attributes(parts.get(_TUPLE_IP, b"")))
    ports = dict(_attributes(parts.get(_TUPLE_PROTO, b"")))
    for address, kinds in ((flows.source, _FROM), (flows.destination, _TO)):
        if address is not None:
            packed = addresses.get(kinds[address.version])
            if packed is None or ip_address(packed) != address:
                return False
    if flows.protocol is not None and ports.get(_PROTO_NUMBER) != bytes(
        [PROTOCOLS[flows.protocol]]
    ):
        return False
    return flows.port is None or ports.get(_PROTO_TO) == struct.pack("!H", flows.port)


def _delete(handle: socket.socket, version: int, found: dict[int, bytes]) -> None:
    attributes = _attribute(_ORIGIN | _NESTED, found[_ORIGIN])
    # The very flow that was seen, not one that has taken its place meanwhile.
    for kind in (_ID, _ZONE):
        if kind in found:
            attributes += _attribute(kind, found[kind])
    handle.send(_message(_DELETE, _REQUEST | _ACK, version, attributes))
    for kind, body in _messages(handle.recv(_BUFFER)):
        if kind == _ERROR:
            _check(body, ok=errno.ENOENT)


def _check(body: bytes, *, ok: int = 0) -> None:
    (code,) = struct.unpack_from("=i", body)
    if code and -code != ok:
        raise OSError(-code, os.strerror(-code))


def _message(kind: int, flags: int, version: int, attributes: bytes) -> bytes:
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    body = struct.pack("!BBH", family, 0, 0) + attributes
    return struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0) + body


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= 16:
        size, kind = struct.unpack_from("=IH", data)
        yield kind, data[16:size]
        data = data[(size + 3) & ~3 :]


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= 4:
        size, kind = struct.unpack_from("=HH", data)
        if size < 4:
            return
        yield kind & _TYPE, data[4:size]
        data = data[(size + 3) & ~3 :]


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)

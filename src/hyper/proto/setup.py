"""SANDBOX_SETUP, its interfaces afterwards, SANDBOX_CLOCK, CARRIER, SHARE_LOST, SHUTDOWN: the sandbox as a whole.

Source: docs/protocol.md, "Requests".
"""

from dataclasses import dataclass
from typing import ClassVar, Final, Self

from hyper.errors import ProtocolError
from hyper.proto.limits import ADDRESS_SIZE, MAC_SIZE
from hyper.proto.request import Op, Request
from hyper.proto.wire import Reader, Writer


@dataclass(frozen=True, slots=True)
class Ip:
    """An address with its prefix length; ``address`` is 4 or 16 bytes, as ``family`` says."""

    family: int
    prefix: int
    address: bytes

    def write(self, to: Writer) -> None:
        """Append the address. Raises: ProtocolError if the family does not fit the address."""
        _check_ip(self.family, self.prefix)
        if len(self.address) != _ADDRESS_SIZES[self.family]:
            raise ProtocolError(f"IPv{self.family} address of {len(self.address)} bytes")
        to.u8(self.family)
        to.u8(self.prefix)
        to.raw(self.address.ljust(ADDRESS_SIZE, b"\0"), ADDRESS_SIZE)

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Take an address. Raises: ProtocolError."""
        family, prefix = source.u8(), source.u8()
        _check_ip(family, prefix)
        padded = source.raw(ADDRESS_SIZE)
        size = _ADDRESS_SIZES[family]
        if any(padded[size:]):
            raise ProtocolError("IPv4 address with bytes left over")
        return cls(family, prefix, padded[:size])


_ADDRESS_SIZES: Final = {4: 4, 6: 16}


def _check_ip(family: int, prefix: int) -> None:
    if family not in _ADDRESS_SIZES:
        raise ProtocolError(f"unknown address family {family}")
    if not 0 <= prefix <= 8 * _ADDRESS_SIZES[family]:
        raise ProtocolError(f"prefix {prefix} is too long for IPv{family}")


@dataclass(frozen=True, slots=True)
class Route:
    """A route; prefix 0 is the default route, a gateway of zeros means none."""

    destination: Ip
    gateway: Ip

    def write(self, to: Writer) -> None:
        """Append the route. Raises: ProtocolError."""
        self.destination.write(to)
        self.gateway.write(to)

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Take a route. Raises: ProtocolError."""
        return cls(Ip.read(source), Ip.read(source))


@dataclass(frozen=True, slots=True)
class Interface:
    """A network interface, found by its MAC address."""

    mac: bytes
    mtu: int
    addresses: tuple[Ip, ...] = ()
    routes: tuple[Route, ...] = ()

    def write(self, to: Writer) -> None:
        """Append the interface. Raises: ProtocolError."""
        to.raw(self.mac, MAC_SIZE)
        to.u32(self.mtu)
        to.items(self.addresses, lambda ip: ip.write(to))
        to.items(self.routes, lambda route: route.write(to))

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Take an interface. Raises: ProtocolError."""
        return cls(
            source.raw(MAC_SIZE),
            source.u32(),
            source.items(lambda: Ip.read(source)),
            source.items(lambda: Route.read(source)),
        )


@dataclass(frozen=True, slots=True)
class SandboxSetup(Request):
    """Set the sandbox's host name, network and sysctls."""

    op: ClassVar[Op] = Op.SANDBOX_SETUP
    hostname: str
    interfaces: tuple[Interface, ...] = ()
    sysctls: tuple[tuple[str, str], ...] = ()

    def write(self, to: Writer) -> None:
        """Append the arguments. Raises: ProtocolError."""

        def pair(item: tuple[str, str]) -> None:
            to.string(item[0])
            to.string(item[1])

        to.string(self.hostname)
        to.items(self.interfaces, lambda interface: interface.write(to))
        to.items(self.sysctls, pair)

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Take the arguments. Raises: ProtocolError."""
        return cls(
            source.string(),
            source.items(lambda: Interface.read(source)),
            source.items(lambda: (source.string(), source.string())),
        )


@dataclass(frozen=True, slots=True)
class SandboxClock(Request):
    """Set the guest's clock as HELLO does. Agents from before this request answer UNKNOWN_OP (guest/clock.py)."""

    op: ClassVar[Op] = Op.SANDBOX_CLOCK
    realtime_ns: int

    def write(self, to: Writer) -> None:
        """Append the arguments. Raises: ProtocolError."""
        to.u64(self.realtime_ns)

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Take the arguments. Raises: ProtocolError."""
        return cls(source.u64())


@dataclass(frozen=True, slots=True)
class Shutdown(Request):
    """End every process, unmount, answer, power off."""

    op: ClassVar[Op] = Op.SHUTDOWN
    timeout_ms: int

    def write(self, to: Writer) -> None:
        """Append the arguments. Raises: ProtocolError."""
        to.u32(self.timeout_ms)

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Take the arguments. Raises: ProtocolError."""
        return cls(source.u32())


@dataclass(frozen=True, slots=True)
class CarrierChange(Request):
    """Use the disk of this name as the carrier of streams ("": none); the guest's kernel forgets the last one."""

    op: ClassVar[Op] = Op.CARRIER
    disk: str

    def write(self, to: Writer) -> None:
        """Append the arguments. Raises: ProtocolError."""
        to.string(self.disk)

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Take the arguments. Raises: ProtocolError."""
        return cls(source.string())


@dataclass(frozen=True, slots=True)
class ShareLost(Request):
    """The file server of the share ``tag`` has ended: all requests to it fail, those waiting and those to come."""

    op: ClassVar[Op] = Op.SHARE_LOST
    tag: str

    def write(self, to: Writer) -> None:
        """Append the arguments. Raises: ProtocolError."""
        to.string(self.tag)

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Take the arguments. Raises: ProtocolError."""
        return cls(source.string())


@dataclass(frozen=True, slots=True)
class InterfaceAdd(Request):
    """Set an interface of a running sandbox; the interface is made if there is none of its MAC."""

    op: ClassVar[Op] = Op.INTERFACE_ADD
    interface: Interface

    def write(self, to: Writer) -> None:
        """Append the arguments. Raises: ProtocolError."""
        self.interface.write(to)

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Take the arguments. Raises: ProtocolError."""
        return cls(Interface.read(source))


@dataclass(frozen=True, slots=True)
class InterfaceRemove(Request):
    """Remove an interface; one that is a card of the machine only loses these addresses."""

    op: ClassVar[Op] = Op.INTERFACE_REMOVE
    mac: bytes
    addresses: tuple[Ip, ...] = ()

    def write(self, to: Writer) -> None:
        """Append the arguments. Raises: ProtocolError."""
        to.raw(self.mac, MAC_SIZE)
        to.items(self.addresses, lambda ip: ip.write(to))

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Take the arguments. Raises: ProtocolError."""
        return cls(source.raw(MAC_SIZE), source.items(lambda: Ip.read(source)))

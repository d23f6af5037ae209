"""Published ports: what is understood, what is found free, and that nothing stays open."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from hyper.engine.spec import ports
from hyper.errors import Conflict, Forbidden, InvalidRequest, NotImplementedYet
from hyper.network import host_ports
from hyper.network.port import PortRequest
from hyper.types.container import ContainerConfig, HostConfig, PortBinding

LOOPBACK = "127.0.0.1"


@contextmanager
def busy(kind: int = socket.SOCK_STREAM, port: int = 0) -> Iterator[int]:
    """A port of loopback that somebody uses."""
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind((LOOPBACK, port))
        if kind == socket.SOCK_STREAM:
            sock.listen()
        yield sock.getsockname()[1]


def free_run(length: int) -> int:
    """The first of ``length`` ports in a row that are free now."""
    for _ in range(100):
        with ExitStack() as stack:
            first = stack.enter_context(busy())
            try:
                for port in range(first + 1, first + length):
                    stack.enter_context(busy(port=port))
            except (OSError, OverflowError):
                continue
            return first
    raise AssertionError("no free ports in a row")


def sockets_open() -> int:
    """How many descriptors we have."""
    return len(list(Path("/proc/self/fd").iterdir()))


def wish(host_port: str, *, protocol: str = "tcp", ip: str = LOOPBACK) -> PortRequest:
    """Port 80 published at ``host_port``."""
    place = PortBinding(host_ip=ip, host_port=host_port)
    (made,) = ports.parse(ContainerConfig(), HostConfig(port_bindings={f"80/{protocol}": [place]}))
    return made


def test_a_free_port_is_found_and_everything_is_closed_afterwards() -> None:
    """Fifty at once are fifty different ones."""
    before = sockets_open()
    found = host_ports.allocate([wish("") for _ in range(50)])
    assert len({port.host_port for port in found}) == 50
    assert sockets_open() == before


@pytest.mark.parametrize(("protocol", "kind"), [("tcp", socket.SOCK_STREAM), ("udp", socket.SOCK_DGRAM)])  # fmt: skip
def test_a_port_in_use_is_a_conflict_in_dockers_words(protocol: str, kind: int) -> None:
    """And what was found before it is let go."""
    before = sockets_open()
    with busy(kind) as port, pytest.raises(Conflict, match="port is already allocated"):
        host_ports.allocate([wish(""), wish(str(port), protocol=protocol)])
    assert sockets_open() == before


def test_tcp_and_udp_do_not_disturb_each_other() -> None:
    """The same number may be both."""
    port = free_run(1)  # a number that is free for UDP alone may be a connection's of somebody
    with busy(socket.SOCK_DGRAM, port):
        found = host_ports.allocate([wish(str(port))])
    assert found[0].host_port == port


def test_the_same_port_wished_for_twice_is_a_conflict() -> None:
    """Within one container."""
    port = str(free_run(1))
    with pytest.raises(Conflict):
        host_ports.allocate([wish(port), wish(port)])


def test_a_range_gives_the_first_free_one() -> None:
    """And a range without a free one is a conflict that names the last."""
    first = free_run(3)
    with busy(port=first):
        assert host_ports.allocate([wish(f"{first}-{first + 2}")])[0].host_port == first + 1
        with pytest.raises(Conflict, match=f":{first} failed"):
            host_ports.allocate([wish(f"{first}-{first}")])


def test_an_address_of_somebody_else_is_the_callers_mistake() -> None:
    """Not a failure of ours."""
    with pytest.raises(InvalidRequest, match=r"192\.0\.2\.1.*cannot assign requested address"):
        host_ports.allocate([wish("0", ip="192.0.2.1")])


@pytest.mark.parametrize(
    "text",
    ["", "0", "65536", "-1", "80/", "80/icmp", "80/tcp/udp", "http", "٨٠", "9" * 5000, "80 "],
)
def test_container_ports_that_are_none(text: str) -> None:
    """Refused when the container is made."""
    with pytest.raises(InvalidRequest):
        ports.parse(ContainerConfig(), HostConfig(port_bindings={text: [PortBinding()]}))


@pytest.mark.parametrize(
    "place",
    [
        PortBinding(host_port="x"),
        PortBinding(host_port="65536"),
        PortBinding(host_port="-5"),
        PortBinding(host_port="5-x"),
        PortBinding(host_port="9-5"),
        PortBinding(host_port="1-2-3"),
        PortBinding(host_port="٨٠"),
        PortBinding(host_port="9" * 5000),
        PortBinding(host_ip="localhost"),
        PortBinding(host_ip="1.2.3"),
    ],
)
def test_host_ports_and_addresses_that_are_none(place: PortBinding) -> None:
    """Refused when the container is made, not when it is started."""
    with pytest.raises(InvalidRequest):
        ports.parse(ContainerConfig(), HostConfig(port_bindings={"80/tcp": [place]}))


def test_publishing_all_exposed_ports_leaves_the_bound_ones_alone() -> None:
    """-P beside -p."""
    config = ContainerConfig(exposed_ports={"80/tcp": {}, "53/udp": {}})
    host = HostConfig(
        publish_all_ports=True, port_bindings={"80/tcp": [PortBinding(host_port="8080")]}
    )
    assert ports.parse(config, host) == (
        PortRequest("tcp", 80, host_first=8080, host_last=8080),
        PortRequest("udp", 53),
    )


def test_exposed_ports_that_are_none_are_passed_over() -> None:
    """What an image says of its ports is not checked when a container is made: lists of containers show the rest."""
    said = {"80": {}, "53/udp": {}, "9/sctp": {}, "http": {}, "0": {}, "70000/tcp": {}, "7-9": {}}
    config = ContainerConfig(exposed_ports=said)
    assert ports.exposed(config) == ((80, "tcp"), (53, "udp"), (9, "sctp"))
    assert ports.exposed(ContainerConfig()) == ()


def test_where_ports_of_ipv6_are_to_be_had() -> None:
    """Asked for by address on bridges, and refused without them, not as nonsense; a zone is."""
    six = [wish("", ip="::1")]
    bindings = {"80/tcp": [PortBinding(host_ip="::1")]}
    assert ports.parse(ContainerConfig(), HostConfig(port_bindings=bindings)) == (six[0],)
    with pytest.raises(NotImplementedYet, match="IPv4 only"):
        host_ports.allocate(six)
    found, held = host_ports.hold(six)
    assert [(port.host_address, sock.family) for port, sock in zip(found, held, strict=True)] == [
        ("::1", socket.AF_INET6)
    ]
    held[0].close()
    with pytest.raises(InvalidRequest, match="zone"):
        wish("", ip="fe80::1%lo")


def test_without_an_address_both_kinds_have_the_same_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that the kernel chooses; one that is taken for IPv6 is refused, or passed over if nobody asked for it.
    Where somebody said an address, or the network does, it is that one; a host without IPv6 has one of IPv4."""
    found, held = host_ports.hold([wish("", ip=""), wish("", ip="", protocol="udp")])
    assert [port.host_address for port in found] == ["0.0.0.0", "::"] * 2
    assert found[0].host_port == found[1].host_port
    number = str(found[0].host_port)
    held.pop(0).close()  # IPv4 is free again
    with pytest.raises(Conflict, match=rf"Bind for \[::\]:{number} failed: port is already"):
        host_ports.hold([wish(number, ip="")])
    for sock in held:
        sock.close()
    for asked, default in (("0.0.0.0", "0.0.0.0"), ("", LOOPBACK)):
        (one,), (sock,) = host_ports.hold([wish("", ip=asked)], default=default)
        assert one.host_address == (asked or default)
        sock.close()
    reserve = host_ports.reserve

    def without(protocol: str, address: str, port: int) -> socket.socket:
        if ":" in address:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return reserve(protocol, address, port)

    monkeypatch.setattr(host_ports, "reserve", without)
    (one,), (sock,) = host_ports.hold([wish("", ip="")])
    assert one.host_address == "0.0.0.0"
    sock.close()


def test_a_low_port_needs_privilege() -> None:
    """Said as such (as root the kernel never says it)."""
    failure = host_ports._explain("0.0.0.0", 1, PermissionError(errno.EACCES, "Permission denied"))
    assert isinstance(failure, Forbidden)
    assert "Bind for 0.0.0.0:1 failed: permission denied" in failure.message

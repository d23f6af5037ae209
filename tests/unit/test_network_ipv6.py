"""IPv6 addresses of networks, and the rules that hold a machine to its own."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from pathlib import Path

import pytest

from hyper.errors import Conflict, HyperError, InvalidRequest
from hyper.network.bridge import firewall, rules
from hyper.network.bridge.segments import segment_of
from hyper.network.ipam6 import choose6, link_local_of, space6
from hyper.network.spec import NetworkSpec
from hyper.system import forwarding


def test_addresses_are_picked_in_order_and_wishes_kept() -> None:
    """The lowest free one but network and gateway, the last one again, one asked for; none twice."""
    space = space6(subnet="fd00::/64")
    first, second = IPv6Address("fd00::2"), IPv6Address("fd00::3")
    assert str(space.gateway) == "fd00::1"
    assert space.pick([], wish=None, last=None) == first
    assert space.pick([first], wish=None, last=first) == second
    assert space.pick([first], wish=None, last=IPv6Address("fd00::9")) == IPv6Address("fd00::9")
    with pytest.raises(Conflict):
        space.pick([first], wish=first, last=None)
    tiny = space6(subnet="fd00::/126")
    with pytest.raises(Conflict):
        tiny.pick([first, second], wish=None, last=None)
    ranged = space6(subnet="fd00::/64", ip_range="fd00::8:0/112")
    assert ranged.pick([], wish=None, last=None) == IPv6Address("fd00::8:0")


def test_a_subnet_nobody_has_said_is_the_daemons_own() -> None:
    """A /64 of unique local addresses, the first that is free, another daemon's elsewhere."""
    first = choose6("one", [])
    assert (first.prefixlen, first.network_address.packed[0]) == (64, 0xFD)
    assert choose6("one", []) == first
    second = choose6("one", [first])
    assert second.network_address.packed[:6] == first.network_address.packed[:6]
    assert not second.overlaps(first)
    assert choose6("two", []).network_address.packed[:6] != first.network_address.packed[:6]
    with pytest.raises(Conflict, match="are taken"):
        choose6("one", [IPv6Network("fd00::/8")])


@pytest.mark.parametrize(
    ("subnet", "gateway", "ip_range"),
    [
        ("fd00::", "", ""),
        ("fd00::/8", "", ""),
        ("fd00::/127", "", ""),
        ("fe80::/64", "", ""),
        ("ff02::/64", "", ""),
        ("::1/64x", "", ""),
        ("fd00::/64", "fd01::1", ""),
        ("fd00::/64", "fd00::1%eth0", ""),
        ("fd00::/64", "", "fd01::/80"),
    ],
)
def test_what_is_no_network(subnet: str, gateway: str, ip_range: str) -> None:
    """Refused with the reason."""
    with pytest.raises(InvalidRequest):
        space6(subnet=subnet, gateway=gateway, ip_range=ip_range)


def test_a_machine_speaks_over_ipv6_only_where_it_has_an_address() -> None:
    """Its own address and its card's; advertisements about these alone; it is no router."""
    segment = rules.Segment("br", IPv4Network("10.1.0.0/24"), IPv4Address("10.1.0.1"))
    mac, address = "02:42:0a:01:00:02", IPv4Address("10.1.0.2")
    without = rules.guard("t", "tap", [rules.Port(segment, mac, address)])
    assert not any("ip6" in line for line in without)
    port = rules.Port(segment, mac, address, address6=IPv6Address("fd00::2"))
    text = [line for line in rules.guard("t", "tap", [port]) if "ip6" in line]
    assert str(link_local_of(mac)) == "fe80::42:aff:fe01:2"
    assert "{ nd-router-advert, nd-redirect } drop" in text[0]
    assert text[-2].endswith("nd-neighbor-advert drop")
    assert text[-1].endswith("ip6 saddr { fd00::2, fe80::42:aff:fe01:2 } accept")


def test_a_walled_machine_is_so_from_the_host_by_ipv6() -> None:
    """By its IPv6 address alone, with the networks of IPv6 in its lists; pings and answers pass."""
    gateway = IPv6Interface("fd00::1/64")
    segment = rules.Segment(
        "br", IPv4Network("10.1.0.0/24"), IPv4Address("10.1.0.1"), gateway6=gateway
    )
    address = IPv4Address("10.1.0.2")
    port = rules.Port(segment, "02:42:0a:01:00:02", address, address6=IPv6Address("fd00::2"))
    inside = (IPv4Network("10.1.0.0/24"), IPv6Network("fd00::/64"))
    built = firewall.build6("t", "tap", firewall.Firewall(inside, (), ()), [port])
    assert [line.removeprefix("add rule ip6 t wall-tap ") for line in built[2:]] == [
        "ct direction reply return",
        "meta l4proto ipv6-icmp return",
        "ct original ip6 saddr { fd00::/64 } return",
        "reject",
        "add element ip6 t walls { fd00::2 : jump wall-tap }",
    ]


def test_who_forwards_ipv6_heeds_routers_as_before(tmp_path: Path) -> None:
    """Cards that heed router advertisements while nothing is forwarded do so in any case from now on; others are as
    they were, and all are where somebody else has had the kernel forward packets."""
    cards = {"all": "1", "default": "1", "eth0": "1", "eth1": "0", "eth2": "2"}
    for forwarded in ("1", "0"):
        for card, heeds in cards.items():
            (tmp_path / card).mkdir(exist_ok=True)
            (tmp_path / card / "accept_ra").write_text(f"{heeds}\n")
            (tmp_path / card / "forwarding").write_text(f"{forwarded}\n")
        forwarding.forward6(tmp_path)
        told = {card: (tmp_path / card / "accept_ra").read_text().strip() for card in cards}
        changed = {} if forwarded == "1" else {"default": "2", "eth0": "2"}
        assert told == cards | changed
        assert (tmp_path / "all/forwarding").read_text().strip() == "1"
    with pytest.raises(HyperError, match="cannot have the kernel forward IPv6"):
        forwarding.forward6(tmp_path / "none")


@pytest.mark.parametrize("mode", ["routed", "isolated", "nat-unprotected", "x"])
def test_gateway_modes_but_nat_are_refused(mode: str) -> None:
    """Of both families, with what there is; nat says what is so anyway."""
    for family in (4, 6):
        key = f"com.docker.network.bridge.gateway_mode_ipv{family}"
        with pytest.raises(InvalidRequest, match=rf"{key}={mode} is not supported: .* is nat"):
            segment_of(_network({key: mode}), "hb-0")
        assert segment_of(_network({key: "nat"}), "hb-0").masquerade


def _network(options: dict[str, str]) -> NetworkSpec:
    return NetworkSpec(id="1", name="n", options=options)

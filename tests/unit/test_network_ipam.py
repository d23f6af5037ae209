"""Subnets that collide with nothing, and addresses within them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest

from hyper.errors import Conflict, Forbidden, InvalidRequest
from hyper.network import ipam
from hyper.network.ipam import Pool

A = IPv4Address
SMALL = ipam.space(subnet="10.9.0.0/29")


def test_subnets_avoid_what_is_there() -> None:
    pools = (Pool(IPv4Network("10.0.0.0/22"), 24),)
    taken = [IPv4Network("10.0.0.128/25"), IPv4Network("10.0.2.0/23")]
    assert str(ipam.choose(pools, taken)) == "10.0.1.0/24"
    with pytest.raises(Forbidden, match="all predefined address pools have been fully subnetted"):
        ipam.choose(pools, [IPv4Network("0.0.0.0/0")])


def test_the_default_pools_leave_dockers_first_choices_alone() -> None:
    docker = [IPv4Network("172.17.0.0/16"), IPv4Network("172.18.0.0/15")]
    assert not any(pool.base.overlaps(other) for pool in ipam.DEFAULT_POOLS for other in docker)


def test_addresses_are_given_out_from_the_lowest_and_then_none() -> None:
    taken: set[IPv4Address] = set()
    for _ in range(5):
        taken.add(SMALL.pick(taken, wish=None, last=None))
    assert taken == {A(f"10.9.0.{n}") for n in range(2, 7)}
    with pytest.raises(Conflict, match="no available IPv4 addresses"):
        SMALL.pick(taken, wish=None, last=None)


def test_the_last_address_is_given_again() -> None:
    """Clients that know it, and flows that the kernel still translates, go on."""
    assert SMALL.pick(set(), wish=None, last=A("10.9.0.5")) == A("10.9.0.5")
    assert SMALL.pick({A("10.9.0.5")}, wish=None, last=A("10.9.0.5")) == A("10.9.0.2")
    assert SMALL.pick(set(), wish=None, last=A("10.8.0.5")) == A("10.9.0.2")


def test_wishes() -> None:
    assert SMALL.pick(set(), wish=A("10.9.0.6"), last=None) == A("10.9.0.6")
    with pytest.raises(Conflict, match="Address already in use"):
        SMALL.pick({A("10.9.0.6")}, wish=A("10.9.0.6"), last=None)
    for bad in ("10.9.0.0", "10.9.0.7", "10.9.0.1", "10.10.0.1"):
        with pytest.raises(InvalidRequest):
            SMALL.pick(set(), wish=A(bad), last=None)


def test_ranges_and_reserved_addresses() -> None:
    made = ipam.space(
        subnet="10.9.0.0/24", ip_range="10.9.0.64/30", gateway="10.9.0.65", auxiliary=["10.9.0.64"]
    )
    assert made.pick(set(), wish=None, last=None) == A("10.9.0.66")
    # Outside of the range, but asked for.
    assert made.pick(set(), wish=A("10.9.0.5"), last=None) == A("10.9.0.5")


@pytest.mark.parametrize(
    "asked",
    [
        {"subnet": "10.9.0.0"},
        {"subnet": "nonsense/24"},
        {"subnet": "fd00::/64"},
        {"subnet": "10.0.0.0/31"},
        {"subnet": "0.0.0.0/0"},
        {"subnet": "127.0.0.0/24"},
        {"subnet": "169.254.0.0/24"},
        {"subnet": "10.9.0.0/24", "gateway": "10.8.0.1"},
        {"subnet": "10.9.0.0/24", "gateway": "10.9.0.255"},
        {"subnet": "10.9.0.0/24", "gateway": "x"},
        {"subnet": "10.9.0.0/24", "ip_range": "10.8.0.0/25"},
        {"subnet": "10.9.0.0/24", "ip_range": "10.0.0.0/8"},
        {"subnet": "10.9.0.0/24", "auxiliary": ["10.8.0.1"]},
    ],
)
def test_what_makes_no_sense_is_refused(asked: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest):
        ipam.space(**asked)  # type: ignore[arg-type]


def test_hardware_addresses_follow_the_address() -> None:
    assert ipam.mac_of(A("172.24.0.2")) == "02:42:ac:18:00:02"

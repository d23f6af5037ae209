"""White lists: what is a network, what a pod may ask, and the packet filter's text."""

from __future__ import annotations

import msgspec
import pytest

from hyper.addresses import parse_network
from hyper.engine import pod_network
from hyper.engine.pod_network import MAX_NETWORKS
from hyper.engine.record import PodRecord
from hyper.errors import Forbidden, InvalidRequest
from hyper.network import walls
from hyper.network.walls import Wall
from hyper.types.pod import PodBody, PodWhiteLists


@pytest.mark.parametrize("text", ["0.0.0.0/0", "10.0.0.0/8", "127.0.0.1/32", "::/0", "fd00:1::/64"])
def test_networks_are_printed_as_they_were_written(text: str) -> None:
    """So nothing reaches the packet filter's text but what a network is made of."""
    assert str(parse_network(text)) == text


NO_NETWORKS = {
    "": "no network",
    "10.0.0.0/33": "no network",
    "10.0.0.1/8": "bits of a host: the network is 10.0.0.0/8",
    "fd00::1/64": "bits of a host: the network is fd00::/64",
    "10.0.0.0/8; flush ruleset": "no network",
    'fe80::%" ; flush ruleset/128': "zone",
    "10.0.0.0/8 }\nflush ruleset": "no network",
    "example.org": "no network",
}


@pytest.mark.parametrize("text", NO_NETWORKS)
def test_what_is_no_network(text: str) -> None:
    """Among it texts that would end a rule: they get no further than here."""
    with pytest.raises(ValueError, match="network") as error:
        parse_network(text)
    assert NO_NETWORKS[text] in str(error.value)


def refusal(body: dict[str, object]) -> str:
    with pytest.raises(InvalidRequest) as error:
        pod_network.check(msgspec.convert(body, PodBody))
    return error.value.message


def test_what_a_pod_may_not_ask() -> None:
    """The list is named; one more than the limit is too many."""
    lists = {"ExternalNetworks": ["10.0.0.1/8"]}
    assert refusal({"WhiteLists": lists}).startswith("WhiteLists.ExternalNetworks: '10.0.0.1/8'")
    many = [f"10.0.{n // 256}.{n % 256}/32" for n in range(MAX_NETWORKS + 1)]
    pod_network.check(PodBody(white_lists=PodWhiteLists(internal_networks=many[1:])))
    assert "at most 256" in refusal({"WhiteLists": {"InternalNetworks": many}})


def test_without_bridges_only_lists_that_keep_nobody_out() -> None:
    """Anything else would be a wall that is not there."""
    for fine in (None, PodWhiteLists(), PodWhiteLists(external_networks=["0.0.0.0/0"])):
        pod_network.check_here(PodRecord(white_lists=fine), "no root")
    for lists in (
        PodWhiteLists(external_networks=["10.0.0.0/8"]),
        PodWhiteLists(internal_networks=["::/0"]),
    ):
        with pytest.raises(Forbidden, match="white lists cannot be had: no root"):
            pod_network.check_here(PodRecord(white_lists=lists), "no root")


def test_no_two_networks_overlap_and_each_is_in_its_family() -> None:
    """nft refuses a set that says an address twice."""
    wall = Wall(
        tuple(map(parse_network, ["10.0.0.0/8", "10.1.0.0/16", "fd00::/64"])),
        tuple(map(parse_network, ["11.0.0.0/9", "11.128.0.0/9"])),
        (("udp", 53), ("tcp", 80), ("tcp", 80)),
    )
    lines = walls.build("t", "ht-x", wall, [])
    assert "add rule ip t wall-ht-x ct original ip saddr { 10.0.0.0/8 } return" in lines
    published = "meta l4proto . th dport { tcp . 80, udp . 53 }"
    outside = f"{published} ct original ip saddr {{ 11.0.0.0/8 }} return"
    assert f"add rule ip t wall-ht-x {outside}" in lines
    assert "add rule bridge t wall-ht-x ip6 saddr { fd00::/64 } return" in lines
    judged = [line for line in lines if line.startswith("add rule ip t wall-ht-x ")]
    assert judged[-1].endswith("wall-ht-x reject")


def test_lists_without_published_ports_open_none() -> None:
    """A list for outside is about published ports: where there are none it lets nobody in."""
    wall = Wall((), (parse_network("0.0.0.0/0"),), ())
    lines = walls.build("t", "ht-x", wall, [])
    assert not any("saddr {" in line for line in lines)

"""White lists and services: what is a network, what a pod may ask, and the packet filter's text."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import msgspec
import pytest

from hyper.addresses import parse_host, parse_network
from hyper.engine.spec import pod_network
from hyper.errors import Conflict, Forbidden, InvalidRequest
from hyper.network.bridge import firewall, services
from hyper.network.bridge.address_book import check_services
from hyper.network.bridge.firewall import Firewall
from hyper.network.bridge.rules import Port, Segment
from hyper.network.lease import Service
from hyper.network.user.driver import UserDriver
from hyper.types.pod import (
    MAX_HOSTS,
    MAX_NETWORKS,
    MAX_SERVICES,
    PodBody,
    PodService,
    PodServiceHost,
    PodWhiteLists,
)


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


@pytest.mark.parametrize(
    "text",
    [
        *("", "::1", "127.0.0.1", "0.0.0.0", "0.1.2.3", "224.0.0.1", "255.255.255.255"),
        *("169.254.1.1", "10.0.0.1%x", "10.0.0.1/8", "010.0.0.1", "db"),
        "10.0.0.1 . 80 }\nflush ruleset",
    ],
)
def test_what_no_service_can_have(text: str) -> None:
    """The host's loopback and its links above all, and whatever is no address."""
    with pytest.raises(ValueError, match=r"no IP address|not possible"):
        parse_host(text)


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


HOST = {"Ip": "10.0.0.1", "Port": 80}
SERVICE = {"Ip": "10.254.0.1", "Port": 80, "Hosts": [HOST]}
#: What is asked, and how what is wrong with it begins.
NO_SERVICES: list[tuple[dict[str, object], str]] = [
    ({"Services": [SERVICE, {**SERVICE, "Port": 0}]}, "Services[1].Port: 0 is no port"),
    ({"Services": [{**SERVICE, "Ip": "fe80::1%x"}]}, "Services[0].Ip: "),
    ({"Services": [{**SERVICE, "Hosts": []}]}, "Services[0].Hosts: from 1 to 64"),
    ({"Services": [{**SERVICE, "Hosts": [HOST, HOST]}]}, "Services[0].Hosts[1]: 10.0.0.1:80 is"),
    (
        {"Services": [{**SERVICE, "Hosts": [{"Ip": "127.0.0.1", "Port": 80}]}]},
        "Services[0].Hosts[0].Ip: 127.0.0.1 is not possible: it is loopback",
    ),
    ({"Services": [SERVICE, SERVICE]}, "Services[1]: it is the same as Services[0]"),
    (
        {"Services": [{**SERVICE, "Protocol": "tcp } drop"}]},
        "Services[0].Protocol: 'tcp } drop' must be",
    ),
    ({"Services": [SERVICE], "Network": "none"}, "a pod with services needs a network"),
    (
        {"Services": [{**SERVICE, "Port": n + 1} for n in range(MAX_SERVICES + 1)]},
        "a pod has at most 64 services",
    ),
    (
        {
            "Services": [
                {**SERVICE, "Hosts": [{**HOST, "Port": n + 1} for n in range(MAX_HOSTS + 1)]}
            ]
        },
        "Services[0].Hosts: from 1 to 64",
    ),
]


@pytest.mark.parametrize(("body", "words"), NO_SERVICES, ids=[words for _, words in NO_SERVICES])
def test_services_that_make_no_sense(body: dict[str, object], words: str) -> None:
    """The member is named."""
    assert refusal(body).startswith(words)


NO_BRIDGES = UserDriver("no root")


def test_services_need_bridges() -> None:
    """The hypervisor's own network has nowhere to lead them."""
    asked = [PodService(ip="10.254.0.1", port=80, hosts=[PodServiceHost(ip="10.0.0.1", port=80)])]
    with pytest.raises(Forbidden, match="services cannot be had: no root"):
        NO_BRIDGES.check_policy(None, pod_network.services(asked))


def segment(**more: bool) -> Segment:
    subnet, gateway = IPv4Network("10.7.0.0/24"), IPv4Address("10.7.0.1")
    return Segment("hb-x", subnet, gateway, **more)


def service(address: str, host: str = "10.7.0.9") -> Service:
    return Service("tcp", parse_host(address), 80, ((parse_host(host), 80),))


def test_where_services_would_lead_nowhere() -> None:
    """Their packets have to come by the host, and may not reach whom the pod does not."""
    fine = service("10.254.0.1")
    check_services([fine], [segment(), segment(internal=True)])
    check_services([service("10.254.0.1", "10.8.0.1")], [segment(isolate=True)])
    for asked, where, words in (
        (fine, segment(internal=True), "internal networks alone"),
        (service("10.7.0.200"), segment(), "one of 10.7.0.0/24, which the pod is on"),
        (fine, segment(isolate=True), "do not reach each other: 10.7.0.9"),
    ):
        with pytest.raises(Conflict, match=words):
            check_services([asked], [where])


def test_each_address_of_a_machine_has_its_services_and_what_was_built_is_removed() -> None:
    """By turns if there are several hosts; all that has a name of its own is taken away again."""
    hosts = ((parse_host("10.7.0.8"), 80), (parse_host("10.7.0.9"), 81))
    asked = [Service("udp", parse_host("10.254.0.1"), 53, hosts), service("10.254.0.1")]
    ports = [Port(segment(), "02:00:00:00:00:01", parse_host(f"10.7.0.{n}")) for n in (2, 3)]
    lines = services.build("t", "ht-x", asked, ports)
    turns = "numgen inc mod 2 map { 0 : 10.7.0.8 . 80, 1 : 10.7.0.9 . 81 }"
    assert f"add rule ip t service-ht-x-0 meta l4proto udp dnat ip to {turns}" in lines
    assert "add rule ip t service-ht-x-1 meta l4proto tcp dnat ip to 10.7.0.9:80" in lines
    for own in ("10.7.0.2", "10.7.0.3"):
        key = f"{own} . 10.254.0.1 . udp . 53"
        assert f"add element ip t services {{ {key} : goto service-ht-x-0 }}" in lines
    made = {
        line.removeprefix("add ") for line in lines if not line.startswith(("add rule", "flush"))
    }
    gone = services.remove("t", "ht-x", asked, ports)
    assert {line.removeprefix("delete ") for line in gone if line.startswith("delete")} == made


def test_without_bridges_only_lists_that_keep_nobody_out() -> None:
    """Anything else would be a firewall that is not there."""
    for fine in (None, PodWhiteLists(), PodWhiteLists(external_networks=["0.0.0.0/0"])):
        NO_BRIDGES.check_policy(pod_network.white_lists(fine), ())
    for lists in (
        PodWhiteLists(external_networks=["10.0.0.0/8"]),
        PodWhiteLists(internal_networks=["::/0"]),
    ):
        with pytest.raises(Forbidden, match="white lists cannot be had: no root"):
            NO_BRIDGES.check_policy(pod_network.white_lists(lists), ())


def test_no_two_networks_overlap_and_each_is_in_its_family() -> None:
    """nft refuses a set that says an address twice."""
    lists = Firewall(
        tuple(map(parse_network, ["10.0.0.0/8", "10.1.0.0/16", "fd00::/64"])),
        tuple(map(parse_network, ["11.0.0.0/9", "11.128.0.0/9"])),
        (("udp", 53), ("tcp", 80), ("tcp", 80)),
    )
    lines = firewall.build("t", "ht-x", lists, [])
    assert "add rule ip t wall-ht-x ct original ip saddr { 10.0.0.0/8 } return" in lines
    published = "meta l4proto . th dport { tcp . 80, udp . 53 }"
    outside = f"{published} ct original ip saddr {{ 11.0.0.0/8 }} return"
    assert f"add rule ip t wall-ht-x {outside}" in lines
    assert "add rule bridge t wall-ht-x ip6 saddr { fd00::/64 } return" in lines
    judged = [line for line in lines if line.startswith("add rule ip t wall-ht-x ")]
    assert judged[-1].endswith("wall-ht-x reject")


def test_lists_without_published_ports_open_none() -> None:
    """A list for outside is about published ports: where there are none it lets nobody in."""
    lists = Firewall((), (parse_network("0.0.0.0/0"),), ())
    lines = firewall.build("t", "ht-x", lists, [])
    assert not any("saddr {" in line for line in lines)

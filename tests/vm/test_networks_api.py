"""The API of networks: what it refuses, in Docker's codes and words, what it shows, and its filters. Real machines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.api import ApiError
from tests.support.containers import create
from tests.support.hyperd import Hyperd
from tests.support.networks import address_of

pytestmark = [pytest.mark.vm, pytest.mark.root]

IPAM = {
    "Subnet": "10.203.0.0/24",
    "IPRange": "10.203.0.128/25",
    "Gateway": "10.203.0.254",
    "AuxiliaryAddresses": {"router": "10.203.0.128"},
}
NOT_FOUND = "network nope not found"


@pytest.fixture(scope="module")
def daemon(shared_daemon: Hyperd) -> Iterator[Hyperd]:
    """The shared daemon; after the module it has no container, and no network but those all have."""
    yield shared_daemon
    shared_daemon.clear()
    shared_daemon.run("network", "prune", "-f")


@pytest.fixture(scope="module")
def network(daemon: Hyperd) -> str:
    """The id of a network called ``net``."""
    body = {"Name": "net", "Labels": {"k": "v"}, "Attachable": True, "IPAM": {"Config": [IPAM]}}
    return str(daemon.api.post("/networks/create", body)["Id"])


@pytest.fixture(scope="module")
def box(daemon: Hyperd, busybox: str, network: str) -> str:
    """A container called ``box`` on the network; it does not run."""
    made = create(daemon, busybox, "sleep", "100", name="box")
    daemon.api.post(f"/networks/{network}/connect", {"Container": "box"})
    return made


def refused(daemon: Hyperd, method: str, path: str, body: object = None) -> tuple[int, str]:
    """Status and message of a request that fails."""
    with pytest.raises(ApiError) as error:
        daemon.api.request(method, path, body)
    return error.value.status, error.value.message


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"Name": ""}, 400),
        ({"Name": "bridge"}, 403),
        ({"Name": "host"}, 403),
        ({"Name": "none"}, 403),
        ({"Name": "default"}, 403),
        ({"Driver": "host"}, 403),
        ({"EnableIPv4": False}, 400),
        ({"Scope": "swarm"}, 400),
        ({"IPAM": {"Config": [{"Subnet": "1.2.3"}]}}, 400),
        ({"IPAM": {"Config": [{"Gateway": "10.1.1.1"}]}}, 400),
        ({"IPAM": {"Config": [{"Subnet": "10.203.0.0/99"}]}}, 400),
        ({"Options": {"com.docker.network.driver.mtu": "x"}}, 400),
    ],
)
def test_create_of_a_bad_network_is_refused(
    daemon: Hyperd, body: dict[str, Any], status: int
) -> None:
    """Names that all daemons have, and what is no network; nothing half-made stays."""
    before = daemon.api.get("/networks")
    assert refused(daemon, "POST", "/networks/create", {"Name": "x", **body})[0] == status
    assert daemon.api.get("/networks") == before


def test_create_with_an_unknown_driver_is_refused(daemon: Hyperd) -> None:
    """As by a dockerd without the plug-in."""
    answer = refused(daemon, "POST", "/networks/create", {"Name": "x", "Driver": "overlay"})
    assert answer == (404, 'plugin "overlay" not found')


def test_create_of_a_taken_name_or_subnet_is_refused(daemon: Hyperd, network: str) -> None:
    """A second network of the name, and one whose addresses are in the first."""
    answer = refused(daemon, "POST", "/networks/create", {"Name": "net"})
    assert answer == (409, "network with name net already exists")
    within = {"Name": "y", "IPAM": {"Config": [{"Subnet": "10.203.0.128/25"}]}}
    assert refused(daemon, "POST", "/networks/create", within)[0] == 403


def test_inspect_shows_what_the_network_was_made_with(daemon: Hyperd, network: str) -> None:
    """By the beginning of its id; also whether those that all daemons have carry IPv4."""
    shown = daemon.api.get(f"/networks/{network[:12]}")
    assert (shown["Name"], shown["Attachable"], shown["Labels"]) == ("net", True, {"k": "v"})
    assert shown["IPAM"]["Config"][0]["Gateway"] == "10.203.0.254"
    carry = [daemon.api.get(f"/networks/{one}")["EnableIPv4"] for one in ("bridge", "none")]
    assert carry == [True, False]


def test_inspect_of_a_scope_finds_what_is_in_it(daemon: Hyperd, network: str) -> None:
    """All networks are local: one of a swarm is not found, by its name."""
    for scope in ("", "local"):
        assert daemon.api.get(f"/networks/net?scope={scope}")["Id"] == network
    assert refused(daemon, "GET", "/networks/net?scope=swarm") == (404, "network net not found")


def test_unknown_networks_and_those_all_have_are_refused(daemon: Hyperd) -> None:
    """To look at what is not there, and to remove what is always there."""
    assert refused(daemon, "GET", "/networks/nope") == (404, NOT_FOUND)
    assert refused(daemon, "DELETE", "/networks/bridge")[0] == 403


def test_connect_of_what_cannot_be_is_refused(daemon: Hyperd, network: str, box: str) -> None:
    """Unknown containers, addresses of other networks, the network that is none. Twice, of one that does not run, is
    no mistake: as dockerd."""
    connect = f"/networks/{network}/connect"
    assert refused(daemon, "POST", connect, {"Container": "nope"})[0] == 404
    wish = {"IPAMConfig": {"IPv4Address": "10.9.9.9"}}
    body = {"Container": "box", "EndpointConfig": wish}
    assert refused(daemon, "POST", connect, body)[0] == 400
    daemon.api.post(connect, {"Container": "box"})
    gone = {"Container": "nope"}
    assert refused(daemon, "POST", f"/networks/{network}/disconnect", gone)[0] == 404
    assert refused(daemon, "POST", "/networks/none/connect", {"Container": "box"})[0] == 400


@pytest.mark.parametrize(
    "more",
    [
        {"HostConfig": {"NetworkMode": "nope"}},
        {"NetworkingConfig": {"EndpointsConfig": {"nope": {}}}},
    ],
)
def test_start_on_an_unknown_network_is_refused(
    daemon: Hyperd, busybox: str, more: dict[str, Any]
) -> None:
    """A container may be made for a network that is there at its start, as with dockerd."""
    late = create(daemon, busybox, "sleep", "100", **more)
    code, text = refused(daemon, "POST", f"/containers/{late}/start")
    assert (code, NOT_FOUND in text) == (404, True)
    daemon.api.delete(f"/containers/{late}")


def test_create_with_an_address_of_the_default_network_is_refused(
    daemon: Hyperd, busybox: str
) -> None:
    """Addresses are chosen on networks of the user's own."""
    fixed = {"bridge": {"IPAMConfig": {"IPv4Address": "172.17.0.9"}}}
    more = {"NetworkingConfig": {"EndpointsConfig": fixed}}
    body = {"Image": busybox, "Cmd": ["sleep", "100"], **more}
    code, text = refused(daemon, "POST", "/containers/create", body)
    assert (code, "supported on user defined networks only" in text) == (400, True)


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ({"label": ["k=v"]}, {"net"}),
        ({"type": ["builtin"]}, {"bridge", "host", "none"}),
        ({"name": ["ne"], "driver": ["bridge"]}, {"net"}),
    ],
)
def test_list_with_filters_shows_who_passes(
    daemon: Hyperd, network: str, wanted: dict[str, Any], names: set[str]
) -> None:
    """Each filter alone, and two at once."""
    assert filtered(daemon, wanted) == names


def filtered(daemon: Hyperd, wanted: dict[str, Any]) -> set[str]:
    """Names of the networks that pass."""
    found = daemon.api.get(f"/networks?filters={json.dumps(wanted).replace(' ', '')}")
    return {item["Name"] for item in found}


def test_list_with_a_bad_filter_is_refused(daemon: Hyperd) -> None:
    """There is no such type of network."""
    assert refused(daemon, "GET", '/networks?filters={"type":["x"]}')[0] == 400


def test_network_in_use_stays(daemon: Hyperd, network: str, box: str) -> None:
    """While a container of it runs it is neither joined again, nor removed, nor pruned, nor dangling. Its range's first
    address is reserved, its last the gateway's. Without the container it is pruned. (The last test: it is no more.)"""
    daemon.api.post("/containers/box/start")
    assert address_of(daemon, "box", "net") == "10.203.0.129"
    assert refused(daemon, "POST", f"/networks/{network}/connect", {"Container": "box"})[0] == 403
    assert refused(daemon, "DELETE", "/networks/net")[0] == 403
    assert filtered(daemon, {"dangling": ["true"]}) == set()
    assert filtered(daemon, {"id": [network[:8]]}) == {"net"}
    assert daemon.api.post("/networks/prune")["NetworksDeleted"] in (None, [])
    daemon.api.delete("/containers/box?force=1")
    assert daemon.api.post("/networks/prune")["NetworksDeleted"] == ["net"]

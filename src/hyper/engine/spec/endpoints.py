"""Endpoints of a container, from what the client asks of networks, and their names. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address
from typing import Final

from hyper.engine.record.container import ContainerRecord
from hyper.engine.record.network import (
    BRIDGE,
    PREDEFINED,
    EndpointRecord,
    NetworkRecord,
    space6_of,
    space_of,
)
from hyper.errors import InvalidRequest, NotFound
from hyper.ids import short_id
from hyper.network.ipam6 import address6
from hyper.types.container import (
    EndpointAsked,
    EndpointIpamConfig,
    HostConfig,
    NetworkingConfig,
)

#: The label limit of DNS does not apply to aliases: clients use names of containers, which are longer.
_ALIAS: Final = re.compile(r"[^\x00-\x20\x7f]{1,253}")
_MAC: Final = re.compile(r"[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}")
MAX_ALIASES: Final = 256

Find = Callable[[str], NetworkRecord]


def of_new_container(
    host: HostConfig,
    networking: NetworkingConfig | None,
    mac: str,
    find: Find,
    *,
    late: bool = False,
) -> list[EndpointRecord]:
    """The endpoints of a new container; ``find`` knows networks by name or id.

    ``late``: a network that is not there is looked for when the container starts (see ``settle``), as dockerd does.

    Raises:
        NotFound: no such network, and not ``late``.
        InvalidRequest: what is asked makes no sense.
    """
    if late:
        find = _or_to_come(find)
    asked = dict((networking.endpoints_config if networking else None) or {})
    mode = host.network_mode
    if not has_network(host):
        return []
    if "default" in asked:
        asked[BRIDGE] = asked.pop("default")
    main = BRIDGE if mode in ("", "default") else mode
    if main != BRIDGE or not asked:
        wanted = find(main)
        names = [name for name in asked if _key(find(name)) == _key(wanted)]
        settings = asked.pop(names[0]) if names else None
        asked = {wanted.name: settings, **asked}
    made = [of(find(name), settings or EndpointAsked()) for name, settings in asked.items()]
    if len({item.network_id or item.network for item in made}) != len(made):
        raise InvalidRequest("a network is named twice")
    if mac and made:
        made[0].wanted_mac = _mac(mac)
    if made and made[0].network != BRIDGE:
        made[0].links += host.links or []
    return made


def _or_to_come(find: Find) -> Find:
    def found(name: str) -> NetworkRecord:
        try:
            return find(name)
        except NotFound:
            return NetworkRecord(id="", name=name, driver=BRIDGE, created_ns=0)

    return found


def _key(network: NetworkRecord) -> str:
    return network.id or network.name


def settle(endpoint: EndpointRecord, find: Find) -> None:
    """The network of ``endpoint`` is known, and takes what is asked of it, although it was not there before.

    Raises:
        NotFound: it still is not (Docker's words).
        InvalidRequest: what is asked makes no sense there.
    """
    if endpoint.network_id:
        return
    try:
        network = find(endpoint.network)
    except NotFound as error:
        raise NotFound(f"failed to set up container networking: {error.message}") from None
    addresses = EndpointIpamConfig(
        ipv4_address=endpoint.wanted_address, ipv6_address=endpoint.wanted_address6
    )
    known = of(network, EndpointAsked(ipam_config=addresses, aliases=endpoint.aliases))
    endpoint.network_id, endpoint.network = known.network_id, known.network
    endpoint.wanted_address, endpoint.wanted_address6 = (
        known.wanted_address,
        known.wanted_address6,
    )


def has_network(host: HostConfig) -> bool:
    """Whether the container is on networks of its own: not on none, and not on another container's."""
    return host.network_mode != "none" and not host.network_mode.startswith("container:")


def of(network: NetworkRecord, asked: EndpointAsked) -> EndpointRecord:
    """An endpoint on ``network``.

    Raises:
        InvalidRequest: what is asked makes no sense there (Docker's words).
    """
    if network.name in PREDEFINED and network.name != BRIDGE:
        raise InvalidRequest(
            "container cannot be connected to multiple networks with one of the networks in "
            f"private ({network.name}) mode"
        )
    aliases = asked.aliases or []
    if network.name == BRIDGE and aliases:
        raise InvalidRequest("network-scoped aliases are only supported for user-defined networks")
    if len(aliases) > MAX_ALIASES or not all(_ALIAS.fullmatch(alias) for alias in aliases):
        raise InvalidRequest(f"invalid alias among {aliases[:3]!r}")
    return EndpointRecord(
        network_id=network.id,
        network=network.name,
        aliases=list(dict.fromkeys(aliases)),
        links=list(asked.links or []),
        wanted_address=_address(network, asked.ipam_config or EndpointIpamConfig()),
        wanted_address6=_address6(network, asked.ipam_config or EndpointIpamConfig()),
        wanted_mac=_mac(asked.mac_address) if asked.mac_address else "",
        driver_opts=asked.driver_opts,
    )


def _address(network: NetworkRecord, asked: EndpointIpamConfig) -> str:
    if asked.link_local_ips:
        raise InvalidRequest(
            f"invalid config for network {network.name}: link-local addresses are not supported"
        )
    if not asked.ipv4_address:
        return ""
    lead = f"invalid config for network {network.name}: invalid endpoint settings"
    try:
        address = IPv4Address(asked.ipv4_address)
    except ValueError:
        raise InvalidRequest(f"{lead}: invalid IPv4 address: {asked.ipv4_address[:100]}") from None
    if network.name == BRIDGE:
        raise InvalidRequest(
            f"{lead}: user specified IP address is supported on user defined networks only"
        )
    if not network.id:  # its subnet is not known yet
        return str(address)
    if network.chosen:
        raise InvalidRequest(
            f"{lead}: user specified IP address is supported only when connecting to networks "
            "with user configured subnets"
        )
    space_of(network).check(address)
    return str(address)


def _address6(network: NetworkRecord, asked: EndpointIpamConfig) -> str:
    if not asked.ipv6_address:
        return ""
    if not network.id:
        return str(address6(asked.ipv6_address, "IPv6 address"))
    space = space6_of(network)
    if space is None:
        raise InvalidRequest(
            f"invalid config for network {network.name}: invalid endpoint settings: "
            "user specified IP address is supported only when connecting to networks with user "
            "configured subnets"
        )
    address = address6(asked.ipv6_address, "IPv6 address")
    space.check(address)
    return str(address)


def _mac(text: str) -> str:
    """The MAC address in lower case with colons. Raises: InvalidRequest: no unicast hardware address."""
    if not _MAC.fullmatch(text) or int(text[:2], 16) & 1:
        raise InvalidRequest(f"invalid MAC address: {text[:100]}")
    return text.lower().replace("-", ":")


def dns_names(record: ContainerRecord, endpoint: EndpointRecord) -> list[str]:
    """The names of a container on a user-defined network, in Docker's order."""
    if endpoint.network == BRIDGE or not endpoint.network_id:
        return []
    return own_names(record.id, record.name, record.spec.hostname, endpoint.aliases)


def own_names(id: str, name: str, hostname: str, aliases: Iterable[str]) -> list[str]:
    """The names that others on a network have for a holder of a lease, each once, in Docker's order."""
    own = [name, *aliases, short_id(id)]
    if hostname:
        own.append(hostname)
    return list(dict.fromkeys(own))


def split_link(link: str) -> tuple[str, str]:
    """The container and the alias of ``--link name:alias``.

    Raises:
        InvalidRequest: it is not of that form.
    """
    name, colon, alias = link.partition(":")
    # Clients that read inspect write it back: /name:/own-name/alias.
    name, alias = name.removeprefix("/"), alias.rpartition("/")[2]
    if not name or (colon and not alias) or ":" in alias:
        raise InvalidRequest(f"bad format for links: {link[:100]}")
    return name, alias or name

"""``--network`` and its kin: the networks a new container joins, with its names and addresses there."""

from __future__ import annotations

from hyper.cli import values
from hyper.cli.flags import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hyper.cli.flags import Arguments

_OF_IPAM = ("IPv4Address", "IPv6Address")


def endpoints(arguments: Arguments) -> tuple[str | None, dict[str, Any]]:
    """The NetworkMode (None: the daemon's own choice) and the EndpointsConfig.

    ``--ip``, ``--network-alias`` and their like are about the first network.

    Raises:
        UsageError: one value is given twice, or a network twice.
    """
    wanted: list[tuple[str, dict[str, list[str]]]] = list(arguments.all("--network"))
    alone = _asked_alone(arguments)
    mode = wanted[0][0] if wanted else None
    if not wanted:
        wanted = [("default", {})]
    first, asked = wanted[0]
    for field in alone:
        if field in asked and field not in ("Aliases", "LinkLocalIPs"):
            raise UsageError(f"the {field} on network {first} is given twice")
    wanted[0] = (first, {f: [*asked.get(f, []), *alone.get(f, [])] for f in {*asked, *alone}})
    made: dict[str, Any] = {}
    for name, fields in wanted:
        if name in made:
            raise UsageError(f"network {name} is given twice")
        made[name] = _endpoint(fields)
    is_plain = len(made) == 1 and not any(made.values())
    return mode, {} if is_plain else made


def _asked_alone(arguments: Arguments) -> dict[str, list[str]]:
    single = {"IPv4Address": "--ip", "IPv6Address": "--ip6", "MacAddress": "--mac-address"}
    asked = {field: [arguments.text(key) or ""] for field, key in single.items()}
    asked |= {
        "Aliases": arguments.texts("--network-alias"),
        "LinkLocalIPs": arguments.texts("--link-local-ip"),
    }
    return {field: texts for field, texts in asked.items() if any(texts)}


def _endpoint(asked: dict[str, list[str]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    ipam: dict[str, Any] = {field: asked[field][-1] for field in _OF_IPAM if field in asked}
    if "LinkLocalIPs" in asked:
        ipam["LinkLocalIPs"] = asked["LinkLocalIPs"]
    if ipam:
        made["IPAMConfig"] = ipam
    if "Aliases" in asked:
        made["Aliases"] = asked["Aliases"]
    if "DriverOpts" in asked:
        made["DriverOpts"] = values.mapping(asked["DriverOpts"])
    if "MacAddress" in asked:
        made["MacAddress"] = asked["MacAddress"][-1]
    if "GwPriority" in asked:
        try:
            made["GwPriority"] = int(asked["GwPriority"][-1])
        except ValueError:
            raise UsageError(f"invalid gw-priority {asked['GwPriority'][-1]!r}") from None
    return made

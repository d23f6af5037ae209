"""``hyper network create``, ``ls``, ``inspect``, ``rm``, ``connect`` and ``disconnect``."""

from __future__ import annotations

from hyper.cli import values
from hyper.cli.ago import precise_time
from hyper.cli.context import say, tell
from hyper.cli.each import for_each
from hyper.cli.flags import Command, Flag, UsageError
from hyper.cli.listing import FILTER, FORMAT, INSPECT_FORMAT, NO_TRUNC, QUIET, filters, show
from hyper.cli.objects import inspect, labels_of, natural
from hyper.client.engine import object_path
from hyper.client.errors import ApiError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hyper.cli.context import Context
    from hyper.cli.flags import Arguments

_HEADINGS = {"ID": "NETWORK ID", "Name": "NAME", "Driver": "DRIVER", "Scope": "SCOPE"}


def network_row(found: dict[str, Any], *, whole: bool) -> dict[str, Any]:
    """A network as docker's templates name its fields."""
    return {
        "ID": found["Id"] if whole else found["Id"][:12],
        "Name": found["Name"],
        "Driver": found.get("Driver", ""),
        "Scope": found.get("Scope", ""),
        "IPv6": values.boolean_text(found.get("EnableIPv6")),
        "Internal": values.boolean_text(found.get("Internal")),
        "Labels": labels_of(found),
        "CreatedAt": precise_time(found.get("Created", "")),
    }


def _create(context: Context, arguments: Arguments) -> int:
    body = {
        "Name": arguments.words[0],
        "Driver": arguments.text("--driver") or "bridge",
        "Internal": arguments.on("--internal"),
        "Attachable": arguments.on("--attachable"),
        "EnableIPv6": arguments.on("--ipv6"),
        "Options": values.mapping(arguments.texts("--opt")),
        "Labels": values.mapping(arguments.texts("--label")),
        "IPAM": {
            "Driver": arguments.text("--ipam-driver") or "default",
            "Options": values.mapping(arguments.texts("--ipam-opt")),
            "Config": ipam_config(arguments),
        },
    }
    # Older daemons make a second network of the same name without it.
    answer = context.engine.post("/networks/create", body | {"CheckDuplicate": True})
    if answer.get("Warning"):
        say(f"WARNING: {answer['Warning']}")
    tell(answer["Id"])
    return 0


def ipam_config(arguments: Arguments) -> list[dict[str, Any]]:
    """The API's IPAM.Config: a subnet each, with the gateway, range and reserved addresses that are within it.

    Raises:
        UsageError: a value is no address, or is in no subnet given.
    """
    import ipaddress  # only here: 6 ms

    made: dict[Any, dict[str, Any]] = {}
    try:
        for text in _separated(arguments, "--subnet"):
            made[ipaddress.ip_network(text, strict=False)] = {"Subnet": text}
        for key, field in (("--ip-range", "IPRange"), ("--gateway", "Gateway")):
            for text in _separated(arguments, key):
                address = ipaddress.ip_interface(text).ip
                _of_subnet(made, address, f"no matching subnet for {key[2:]} {text}")[field] = text
        for text in _separated(arguments, "--aux-address"):
            name, _, value = text.partition("=")
            config = _of_subnet(
                made, ipaddress.ip_address(value), f"no matching subnet for aux-address {value}"
            )
            config.setdefault("AuxiliaryAddresses", {})[name] = value
    except ValueError as error:
        raise UsageError(str(error)) from error
    return list(made.values())


def _separated(arguments: Arguments, key: str) -> list[str]:
    return [part for text in arguments.texts(key) for part in text.split(",") if part]


def _of_subnet(made: dict[Any, dict[str, Any]], address: Any, complaint: str) -> dict[str, Any]:
    for subnet, config in made.items():
        if subnet.version == address.version and address in subnet:
            return config
    raise ValueError(complaint)


def _ls(context: Context, arguments: Arguments) -> int:
    found = context.engine.get("/networks", filters=filters(arguments)) or ()
    whole = arguments.on("--no-trunc")
    ordered = sorted(found, key=lambda network: natural(network["Name"]))
    rows = [network_row(one, whole=whole) for one in ordered]
    if arguments.on("--quiet") and not arguments.given("--format"):
        for row in rows:
            tell(row["ID"])
        return 0
    show(rows, _HEADINGS, arguments.text("--format"))
    return 0


def _inspect(context: Context, arguments: Arguments) -> int:
    verbose = arguments.on("--verbose")
    return inspect(
        arguments.words,
        lambda name: context.engine.get(object_path("networks", name), verbose=verbose),
        arguments.text("--format"),
    )


def _rm(context: Context, arguments: Arguments) -> int:
    force = arguments.on("--force")

    def remove(name: str) -> bool | None:
        try:
            context.engine.delete(object_path("networks", name))
        except ApiError as error:
            if force and error.status == 404:
                return False
            raise
        return None

    return for_each(arguments.words, remove)


def _connect(context: Context, arguments: Arguments) -> int:
    network, container = arguments.words
    ipam = {
        "IPv4Address": arguments.text("--ip"),
        "IPv6Address": arguments.text("--ip6"),
        "LinkLocalIPs": _separated(arguments, "--link-local-ip"),
    }
    endpoint: dict[str, Any] = {
        "IPAMConfig": {field: value for field, value in ipam.items() if value},
        "Aliases": _separated(arguments, "--alias"),
        "Links": arguments.texts("--link"),
        "DriverOpts": values.mapping(arguments.texts("--driver-opt")),
    }
    body = {
        "Container": container,
        "EndpointConfig": {field: value for field, value in endpoint.items() if value},
    }
    context.engine.post(object_path("networks", network, "/connect"), body)
    return 0


def _disconnect(context: Context, arguments: Arguments) -> int:
    network, container = arguments.words
    body = {"Container": container, "Force": arguments.on("--force")}
    context.engine.post(object_path("networks", network, "/disconnect"), body)
    return 0


def _text(name: str, takes: str, what: str) -> Flag:
    return Flag(name, takes=takes, many=True, help=what)


NETWORK_CREATE = Command(
    _create,
    words="NAME",
    least=1,
    most=1,
    flags=(
        Flag("--attachable", help="Containers may join it by hand"),
        _text("--aux-address", "NAME=IP", "An address that is never given away"),
        Flag("-d", "--driver", takes="DRIVER", help="Kind of network (default: bridge)"),
        _text("--gateway", "IP", "Address of the host in the subnet"),
        Flag("--internal", help="No way out of it"),
        _text("--ip-range", "SUBNET", "Give away addresses of this part only"),
        Flag("--ipam-driver", takes="DRIVER", help="Who gives the addresses (default: default)"),
        _text("--ipam-opt", "NAME=VALUE", "Option for who gives the addresses"),
        Flag("--ipv6", help="IPv6, too"),
        Flag("--label", takes="NAME=VALUE", many=True, parse=values.label, help="Label it"),
        Flag("-o", "--opt", takes="NAME=VALUE", many=True, help="Option of the driver"),
        _text("--subnet", "SUBNET", "Its addresses: 172.28.0.0/16"),
    ),
    examples=(
        "hyper network create back",
        "hyper network create --subnet 10.9.0.0/24 --gateway 10.9.0.1 --internal db",
    ),
)
NETWORK_LS = Command(
    _ls,
    most=0,
    flags=(FILTER, FORMAT, NO_TRUNC, QUIET),
    examples=("hyper network ls", "hyper network ls --format '{{.Name}} {{.Driver}}'"),
)
NETWORK_INSPECT = Command(
    _inspect,
    words="NETWORK [NETWORK...]",
    least=1,
    flags=(INSPECT_FORMAT, Flag("-v", "--verbose", help="Ask for all the daemon knows")),
    examples=("hyper network inspect bridge",),
)
NETWORK_RM = Command(
    _rm,
    words="NETWORK [NETWORK...]",
    least=1,
    flags=(Flag("-f", "--force", help="It is no error if there is none"),),
    examples=("hyper network rm back",),
)
NETWORK_CONNECT = Command(
    _connect,
    words="NETWORK CONTAINER",
    least=2,
    most=2,
    flags=(
        _text("--alias", "NAME", "Another name for it there"),
        _text("--driver-opt", "NAME=VALUE", "Option of the driver"),
        Flag("--ip", takes="IP", help="Its IPv4 address there"),
        Flag("--ip6", takes="IP", help="Its IPv6 address there"),
        _text("--link", "CONTAINER[:NAME]", "Know another container by this name"),
        _text("--link-local-ip", "IP", "A link-local address"),
    ),
    examples=("hyper network connect --alias db back postgres",),
)
NETWORK_DISCONNECT = Command(
    _disconnect,
    words="NETWORK CONTAINER",
    least=2,
    most=2,
    flags=(Flag("-f", "--force", help="Also when it does not let go"),),
    examples=("hyper network disconnect back postgres",),
)

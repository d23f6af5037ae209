"""Links of the default network, Docker's older way to names: other names, lines of /etc/hosts, and variables.

On user-defined networks a link is a name that its owner sees, without the lines and variables.

Source: docker docs, "Legacy container links"; moby, daemon/links.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from hyper.engine.record.container import ContainerRecord
from hyper.engine.spec.endpoints import split_link
from hyper.engine.spec.ports import exposed
from hyper.errors import Conflict
from hyper.types.container import ContainerConfig, HostConfig

#: They say where a program is at home, and nothing to others.
_PRIVATE: Final = frozenset({"HOME", "PATH"})

Find = Callable[[str], ContainerRecord | None]


def of_new_container(host: HostConfig, find: Callable[[str], ContainerRecord]) -> dict[str, str]:
    """The ids of the containers that ``host`` links to, by alias; ``find`` knows them by name or id.

    Raises:
        NotFound: no such container.
        InvalidRequest: a link that is none.
    """
    made: dict[str, str] = {}
    default = host.network_mode in ("", "default", "bridge")
    for link in host.links or []:
        name, alias = split_link(link)
        if not default:  # on a network of the user's it is a name, for whoever will be called so
            continue
        # Of two with one alias dockerd keeps the first.
        made.setdefault(alias, find(name).id)
    return made


def shown(record: ContainerRecord, find: Find) -> list[str] | None:
    """The links of ``record`` as inspect says them: ``/name:/own-name/alias``."""
    found = [
        f"/{other.name}:/{record.name}/{alias}"
        for alias, container_id in record.links.items()
        if (other := find(container_id)) is not None
    ]
    return found or None


def names(records: Iterable[ContainerRecord]) -> dict[str, list[str]]:
    """Names of containers in those that link to them, ``/owner/alias``, by the ids of the former."""
    found: dict[str, list[str]] = {}
    for record in records:
        for alias, container_id in record.links.items():
            found.setdefault(container_id, []).append(f"/{record.name}/{alias}")
    return found


def variables(
    record: ContainerRecord, find: Find, address_of: Callable[[ContainerRecord], str]
) -> list[str]:
    """Variables that tell ``record``'s program of linked containers. ``address_of``: "" for one that is not reached.

    Raises:
        Conflict: a linked container does not run (Docker's words).
    """
    made: list[str] = []
    for alias, container_id in record.links.items():
        other = find(container_id)
        if other is None:
            continue
        address = address_of(other)
        if not address:
            raise Conflict(
                f"Cannot link to a non running container: /{other.name} AS /{record.name}/{alias}"
            )
        made += _of_one(f"/{record.name}/{alias}", alias, address, other.config)
    return made


def _of_one(path: str, alias: str, address: str, config: ContainerConfig) -> Iterator[str]:
    prefix = alias.upper().replace("-", "_")
    ports = sorted(exposed(config), key=lambda port: (port[0], port[1] != "tcp"))
    if ports:
        number, protocol = ports[0]
        yield f"{prefix}_PORT={protocol}://{address}:{number}"
    for (first, protocol), (last, last_protocol) in _runs(ports):
        name = f"{prefix}_PORT_{first}_{protocol.upper()}"
        yield f"{name}_START={protocol}://{address}:{first}"
        yield f"{name}_ADDR={address}"
        yield f"{name}_PROTO={protocol}"
        yield f"{name}_PORT_START={first}"
        yield f"{name}_END={last_protocol}://{address}:{last}"
        yield f"{name}_PORT_END={last}"
    for number, protocol in ports:
        name = f"{prefix}_PORT_{number}_{protocol.upper()}"
        yield f"{name}={protocol}://{address}:{number}"
        yield f"{name}_ADDR={address}"
        yield f"{name}_PORT={number}"
        yield f"{name}_PROTO={protocol}"
    yield f"{prefix}_NAME={path}"
    own = dict(item.split("=", 1) for item in config.env or [] if "=" in item)
    yield from (f"{prefix}_ENV_{key}={own[key]}" for key in own if key not in _PRIVATE)


Port = tuple[int, str]


def _runs(ports: list[Port]) -> Iterator[tuple[Port, Port]]:
    """The first and last of every three or more ports in a row: of two dockerd does not say it."""
    start = 0
    for index in range(1, len(ports) + 1):
        if index < len(ports) and ports[index][0] <= ports[start][0] + index - start:
            continue
        if index - start > 2:
            yield ports[start], ports[index - 1]
        start = index

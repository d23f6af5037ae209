"""Volumes on a file server (``type=nfs``): the guest's kernel is the client, so that no answer reaches the host's.

Options mean what they do to Docker's local driver, but for two defaults: version 4.2, and with version 3 ``nolock``,
since a guest has no rpc.statd. Source: nfs(5), Linux fs/nfs/fs_context.c.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import re
import socket
from collections.abc import Iterable, Iterator
from typing import Final

from hyper.engine.spec import mount_options
from hyper.errors import InvalidRequest, MachineError, reason
from hyper.proto.message import Mount, MountFlag, NfsSource

TYPES: Final = frozenset({"nfs", "nfs4"})
#: Longest options and device, in bytes: what the kernel takes is a page.
_MAX_TEXT: Final = 1024
_DEVICE: Final = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^:/\s]*):(?P<path>/[^\x00-\x1f\x7f]*)")
_WORD: Final = re.compile(r"[!-+\--~]+")
_VERSION: Final = re.compile(r"(?:nfs)?vers=(?P<after>[0-9.]+)|v(?P<alone>[0-9.]+)")
_DEFAULT_VERSION: Final = "vers=4.2"
#: For programs that mount, not for a file system; and what is ours to say.
_NOT_PASSED_ON: Final = frozenset({"defaults", "_netdev"})


def check(name: str, options: str, device: str) -> None:
    """The options and the device can be those of a volume ``name``.

    Raises:
        InvalidRequest: no server is named, or one is no option or no device.
    """
    words = [word for word in options.split(",") if word]
    place = _DEVICE.fullmatch(device)
    if place is None or len(device.encode()) > _MAX_TEXT:
        raise InvalidRequest(
            f"create {name}: device of a file server's volume must be :/PATH, not {device[:100]!r}",
            hint="for example: -o type=nfs -o o=addr=10.0.0.5,rw -o device=:/export",
        )
    if len(options) > _MAX_TEXT or not all(_WORD.fullmatch(word) for word in words):
        raise InvalidRequest(f"create {name}: invalid mount options: {options[:100]!r}")
    if not _server(words, place["host"]):
        raise InvalidRequest(
            f"create {name}: no file server is named", hint="say -o o=addr=ADDRESS, or its name"
        )


def _server(words: list[str], host: str) -> str:
    """The server's name or address, without brackets."""
    named = [word.removeprefix("addr=") for word in words if word.startswith("addr=")]
    return (named[-1] if named else host).strip("[]")


async def mount(
    name: str, options: str, device: str, target: str, *, read_only: bool, copy: bool, sub: str = ""
) -> Mount:
    """The mount of volume ``name`` (whose options were checked) or its directory ``sub`` on ``target``.

    Raises:
        InvalidRequest: the server's name has no address, or ``sub`` has a colon.
    """
    place = _DEVICE.fullmatch(device)
    assert place is not None
    flags, words = mount_options.parse(options, flags=mount_options.NODEV)
    server = _server(words, place["host"])
    address = await _resolve(name, server)
    host = f"[{server}]" if ":" in server else server
    if read_only:
        flags |= mount_options.RDONLY
    flags |= MountFlag.VOLUME
    if flags & mount_options.RDONLY or not copy:
        flags |= MountFlag.NO_COPY
    data = [word for word in words if not word.startswith("addr=") and word not in _NOT_PASSED_ON]
    data = [*data, *_defaults(data), f"addr={address}"]
    source = below(NfsSource(f"{host}:{place['path']}"), sub)
    return Mount("nfs", source, target, flags, ",".join(data))


def below(source: NfsSource, sub: str) -> NfsSource:
    """The mount source ``source``, but of its directory ``sub``.

    Raises:
        InvalidRequest: ``sub`` has a colon, which parts it from the rest.
    """
    if ":" in sub:
        raise InvalidRequest(f"a directory on a file server cannot have a colon: {sub[:100]!r}")
    return NfsSource(source.device, sub)


@contextlib.contextmanager
def named(mounts: Iterable[Mount]) -> Iterator[None]:
    """The servers of ``mounts`` are named by a MachineError of the body: the guest may be waiting for them."""
    sources = [item.source for item in mounts]
    servers = sorted({source.device for source in sources if isinstance(source, NfsSource)})
    try:
        yield
    except MachineError as error:
        if not servers:
            raise
        message = f"{error.message}; it mounts {', '.join(servers)}, which may not answer"
        raise MachineError(message, console=error.console) from error


def _defaults(words: list[str]) -> list[str]:
    version = next((found for word in words if (found := _VERSION.fullmatch(word))), None)
    if version is None:
        return [_DEFAULT_VERSION]
    old = (version["after"] or version["alone"]).startswith("3")
    return ["nolock"] if old and not {"lock", "nolock"} & set(words) else []


async def _resolve(name: str, server: str) -> str:
    try:
        return str(ipaddress.ip_address(server))
    except ValueError:
        pass
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(server, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise InvalidRequest(
            f"error while mounting volume '{name}': file server {server[:100]!r}: {reason(error)}"
        ) from None
    return str(found[0][4][0])

"""Listeners of hyperd: unix sockets, and TCP with or without TLS."""

from __future__ import annotations

import asyncio
import contextlib
import grp
import ipaddress
import logging
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from hyper.api.connections import CONNECTIONS
from hyper.config import Config
from hyper.errors import HyperError, InvalidRequest
from hyper.system import socket as sockets
from hyper.system import tls

logger = logging.getLogger(__name__)

_PORT: Final = 2375
_TLS_PORT: Final = 2376


@asynccontextmanager
async def listen(
    runner: web.AppRunner, host: str, config: Config, gone: AsyncExitStack
) -> AsyncIterator[str]:
    """``runner`` serves ``host``; the value is the address it really listens on (a port 0 has become a free one).

    ``gone`` is left after the runner has closed its connections; whatever is left of these connections ends then.

    Raises:
        InvalidRequest: no known form of an address, or TCP that any host could reach, without TLS.
        HyperError: the address is in use.
    """
    try:
        parts = urlsplit(host)
        port = parts.port
    except ValueError as error:
        raise InvalidRequest(f"invalid host: {host}: {error}") from None
    if parts.scheme == "unix" and host != "unix://":
        path = Path(host.removeprefix("unix://"))
        path.parent.mkdir(parents=True, exist_ok=True)
        sock = sockets.listen(path, mode=0o660, gid=_gid(config.group))
        # Not the runner's own way, which listens once more, for 128.
        loop = asyncio.get_running_loop()
        server = await loop.create_unix_server(
            _protocols(runner), sock=sock, backlog=sockets.BACKLOG
        )
        # Ours from now on, and not before: a failure to listen may mean that it is another daemon's.
        try:
            yield host
        finally:
            server.close()
            path.unlink(missing_ok=True)
    elif parts.scheme == "tcp" and parts.hostname:
        async with _tcp(runner, parts.hostname, port, config, gone) as number:
            shown = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
            yield f"tcp://{shown}:{number}"
    else:
        raise InvalidRequest(f"invalid host: {host} (unix:///PATH or tcp://ADDRESS:PORT)")


@asynccontextmanager
async def _tcp(
    runner: web.AppRunner, address: str, port: int | None, config: Config, gone: AsyncExitStack
) -> AsyncIterator[int]:
    factory = _protocols(runner)
    listener: tls.TlsListener | None = None
    if config.tls or (config.tls is None and config.tlsverify):
        listener = tls.TlsListener(_context(config), factory)
        gone.callback(listener.abort)
        port = _TLS_PORT if port is None else port
    else:
        _check_open(address, config)
        port = _PORT if port is None else port
    loop = asyncio.get_running_loop()
    try:
        server = await loop.create_server(
            listener or factory, address, port, backlog=sockets.BACKLOG
        )
    except socket.gaierror as error:
        raise InvalidRequest(f"invalid host: {address}: {error.strerror}") from None
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise HyperError(f"cannot listen on tcp://{address}:{port}: {reason}") from error
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def _protocols(runner: web.AppRunner) -> Callable[[], asyncio.BaseProtocol]:
    """A factory of the protocols of the runner's connections."""
    assert runner.server is not None
    return runner.app[CONNECTIONS].watched(runner.server)


def _check_open(address: str, config: Config) -> None:
    """A check of TCP without TLS: beyond loopback it needs ``--tls=false``. Raises: InvalidRequest."""
    if not _is_loopback(address) and config.tls is not False:
        raise InvalidRequest(
            f"tcp://{address} without TLS would give root's power on this host to whoever can reach it",
            hint="say --tlsverify with --tlscacert, --tlscert and --tlskey; or --tls=false if that is what you want",
        )
    logger.warning(
        "tcp://%s has no TLS: whoever can reach this port has root's power on this host", address
    )


def _is_loopback(address: str) -> bool:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(address).is_loopback
    return address == "localhost"


def _context(config: Config) -> ssl.SSLContext:
    if config.tlscert is None or config.tlskey is None:
        raise InvalidRequest("TLS needs --tlscert and --tlskey")
    if config.tlsverify and config.tlscacert is None:
        raise InvalidRequest(
            "--tlsverify needs --tlscacert, which signed the clients' certificates"
        )
    return tls.server_context(
        certificate=config.tlscert,
        key=config.tlskey,
        clients_ca=config.tlscacert if config.tlsverify else None,
    )


def _gid(group: str) -> int | None:
    """The id of the group that may use the socket; None: root alone, as where the group does not exist."""
    if os.geteuid() != 0:
        return None
    with contextlib.suppress(KeyError):
        return grp.getgrnam(group).gr_gid
    return None

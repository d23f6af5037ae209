"""Causes of failures on the way to a server, in the words that Docker's users know, without the library's own.

What a server sent where HTTP was expected is not repeated: a client that can make this daemon ask it would read it.
"""

from __future__ import annotations

import socket

import aiohttp

from hyper.errors import reason


def cause(error: BaseException) -> BaseException:
    """The system's error behind one of the HTTP library's; ``error`` itself where there is none."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return error.certificate_error
    if isinstance(error, aiohttp.ClientConnectorError):
        return error.os_error
    return error


def words(error: BaseException) -> str:
    """The reason, in words, why a request failed."""
    inner = cause(error)
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return f"the proxy answered {error.status} to CONNECT"
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return f"the proxy {error.host}:{error.port} is out of reach: {reason(inner)}"
    if isinstance(inner, socket.gaierror) and isinstance(error, aiohttp.ClientConnectorError):
        missing = inner.errno in (socket.EAI_NONAME, socket.EAI_NODATA)
        why = "no such host" if missing else reason(inner)
        return f"dial tcp: lookup {error.host}: {why}"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"tls: failed to verify certificate: {reason(inner)}"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"dial tcp {error.host}:{error.port}: {reason(inner)}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ConnectionResetError):
        return "connection reset by peer"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "the server hung up"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "the connection broke"
    if isinstance(error, aiohttp.ClientResponseError):
        return "malformed HTTP response"
    if isinstance(error, aiohttp.InvalidURL | aiohttp.NonHttpUrlClientError):
        return "no http or https URL"
    if isinstance(inner, OSError) or not isinstance(error, aiohttp.ClientError):
        return reason(inner)
    return "the connection failed"

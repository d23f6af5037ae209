"""Proxies on the way to registries: which one a URL goes through, by the rules of Go's httpproxy. Pure.

Source: golang.org/x/net/http/httpproxy, which dockerd uses; moby daemon/config (``MaskCredentials``).
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit

from hyper.errors import InvalidRequest

_SCHEMES: Final = ("http", "https")
_PORTS: Final = {"http": 80, "https": 443}
_MASK: Final = "xxxxx:xxxxx"
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class _Exception:
    """An exception: one word of a no_proxy list; "" and None stand for what the word does not say."""

    port: int | None = None
    network: _Network | None = None
    #: With a dot in front: what is below this domain; ``itself``: and the domain.
    suffix: str = ""
    itself: bool = False

    def covers(self, host: str, port: int, address: _Address | None) -> bool:
        if self.port is not None and self.port != port:
            return False
        if address is not None:
            return self.network is not None and address in self.network
        if not self.suffix:
            return False
        return host.endswith(self.suffix) or (self.itself and host == self.suffix[1:])


@dataclass(frozen=True, slots=True)
class Proxies:
    """The proxy for http URLs and the one for https URLs ("": none), and the hosts that are asked directly."""

    http: str = ""
    https: str = ""
    exceptions: tuple[_Exception, ...] = ()
    #: ``*``: every host is asked directly.
    unused: bool = False

    def of(self, url: str) -> str | None:
        """The proxy that ``url`` goes through, None for a direct connection. This host never needs one."""
        parts = urlsplit(url)
        proxy = self.https if parts.scheme == "https" else self.http
        host = (parts.hostname or "").lower()
        address = address_of(host)
        if not proxy or self.unused or host == "localhost":
            return None
        if address is not None and address.is_loopback:
            return None
        port = parts.port or _PORTS.get(parts.scheme, 0)
        if any(one.covers(host, port, address) for one in self.exceptions):
            return None
        return proxy


def read(http: str, https: str, no_proxy: str) -> Proxies:
    """The proxies that the daemon's three words mean.

    Raises:
        InvalidRequest: a proxy that is no http or https URL.
    """
    words = [word.strip().lower() for word in no_proxy.split(",")]
    found = tuple(one for word in words if (one := _exception(word)) is not None)
    return Proxies(
        _proxy("http-proxy", http), _proxy("https-proxy", https), found, unused="*" in words
    )


def masked(url: str) -> str:
    """The URL ``url`` as it may be shown: without the user and password for the proxy."""
    user, at, rest = url.rpartition("@")
    if not at:
        return url
    scheme, slashes, _ = user.partition("://")
    return f"{scheme}://{_MASK}@{rest}" if slashes else f"{_MASK}@{rest}"


def address_of(host: str) -> _Address | None:
    """The address that ``host`` is, an IPv4 one also in IPv6 clothes; None for a name."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _proxy(word: str, text: str) -> str:
    if not text:
        return ""
    parts = _split(text if "://" in text else f"http://{text}")
    if parts is None or parts.scheme not in _SCHEMES:
        raise InvalidRequest(
            f"{word} {masked(text)[:200]!r} is no proxy: http://[USER:PASSWORD@]HOST[:PORT] is",
            hint="SOCKS proxies are not supported",
        )
    return parts.geturl()


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        usable = parts.scheme and parts.hostname and parts.port != 0
    except ValueError:
        return None
    return parts if usable else None


def _exception(word: str) -> _Exception | None:
    """The exception that ``word`` makes; None for none, as in Go: also where it makes no sense."""
    if "/" in word:
        try:
            return _Exception(network=ipaddress.ip_network(word, strict=False))
        except ValueError:
            pass
    host, port = _host_and_port(word)
    if not host:
        return None
    if (address := address_of(host)) is not None:
        return _Exception(port, ipaddress.ip_network(address))
    host = host.removeprefix("*") if host.startswith("*.") else host
    itself = not host.startswith(".")
    return _Exception(port, suffix=f".{host}" if itself else host, itself=itself)


def _host_and_port(word: str) -> tuple[str, int | None]:
    """The host and the port of ``HOST``, ``HOST:PORT``, ``ADDRESS`` or ``[ADDRESS]:PORT``."""
    host, colon, port = word.rpartition(":")
    if not colon or address_of(word) is not None or not port.isdecimal():
        return word.removeprefix("[").removesuffix("]"), None
    return host.removeprefix("[").removesuffix("]"), int(port)

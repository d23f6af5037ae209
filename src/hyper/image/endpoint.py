"""Servers of repositories, and trust in them: mirrors, insecure registries, ``certs.d``.

Source: dockerd's documentation, "Insecure registries" and "Verify repository client with certificates".
"""

from __future__ import annotations

import ipaddress
import os
import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from hyper.errors import HyperError, InvalidRequest, reason
from hyper.image.proxy import address_of
from hyper.image.reference import DEFAULT_DOMAIN, Reference

#: Where the images of docker.io really are.
HUB_HOST = "registry-1.docker.io"
_LOOPBACK = ("127.0.0.0/8", "::1/128")
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint: one server to ask. ``schemes`` in the order to try; ``tls`` None: never TLS.

    ``elsewhere``: the trust in servers it leads to: its authorities sign for what belongs to it, too.
    """

    host: str
    schemes: tuple[str, ...]
    tls: ssl.SSLContext | None
    prefix: str = ""
    mirror: bool = False
    elsewhere: ssl.SSLContext | bool = True

    def __str__(self) -> str:
        return self.host


class Endpoints:
    """The endpoints of repositories, by the daemon's configuration."""

    def __init__(
        self,
        *,
        insecure: tuple[str, ...] = (),
        mirrors: tuple[str, ...] = (),
        certs_dirs: Sequence[Path],
        authorities: Sequence[Path] = (),
        trust_loopback: bool = True,
    ) -> None:
        """The endpoints by the daemon's options.

        ``certs_dirs``: folders HOST[:PORT] in them hold ``*.crt`` (authorities) and ``*.cert`` with ``*.key`` (our
        own). ``insecure``: host[:port] or CIDR; ``mirrors``: URLs. ``trust_loopback``: this host is insecure
        without a word. ``authorities``: files of certificates that sign for every server, beside the system's.

        Raises:
            InvalidRequest: a mirror that is no http(s) URL. HyperError: an authority that cannot be read.
        """
        self._certs_dirs = tuple(certs_dirs)
        self._authorities = tuple(authorities)
        self._named = {*insecure, *(urlsplit(url).netloc for url in mirrors)}
        hosts, networks = ({"localhost"}, _LOOPBACK) if trust_loopback else (set(), ())
        self._hosts = {entry for entry in insecure if "/" not in entry} | hosts
        self._named_networks = [
            ipaddress.ip_network(entry, strict=False) for entry in insecure if "/" in entry
        ]
        self._networks = [*map(ipaddress.ip_network, networks), *self._named_networks]
        self._mirrors = [self._mirror(url) for url in mirrors]
        if authorities:
            self._context("", verify=True)

    def of(self, reference: Reference) -> list[Endpoint]:
        """The endpoints of a repository, in the order to ask them. Never empty.

        Raises:
            HyperError: the certificates for one of them cannot be read.
        """
        if reference.domain != DEFAULT_DOMAIN:
            return [self._endpoint(reference.domain)]
        return [*self._mirrors, self._endpoint(HUB_HOST)]

    def is_insecure(self, host: str) -> bool:
        """Whether ``host[:port]`` may be spoken to without valid certificate, or without TLS at all."""
        name = urlsplit(f"//{host}").hostname or ""
        if host in self._hosts or name in self._hosts:
            return True
        return _is_in(host, self._networks)

    def is_named(self, host: str) -> bool:
        """Whether the daemon's configuration names ``host[:port]``: every server may lead there."""
        if host in self._named or self._folders(host):
            return True
        return _is_in(host, self._named_networks)

    def _endpoint(self, host: str) -> Endpoint:
        insecure = self.is_insecure(host)
        schemes = ("https", "http") if insecure else ("https",)
        tls = self._context(host, verify=not insecure)
        return Endpoint(host, schemes, tls, elsewhere=self._elsewhere(host))

    def _mirror(self, url: str) -> Endpoint:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc or "@" in parts.netloc:
            raise InvalidRequest(f"invalid mirror: {url!r} is no http or https URL without user")
        verify = not self.is_insecure(parts.netloc)
        tls = self._context(parts.netloc, verify=verify) if parts.scheme == "https" else None
        prefix, elsewhere = parts.path.rstrip("/"), self._elsewhere(parts.netloc)
        return Endpoint(parts.netloc, (parts.scheme,), tls, prefix, True, elsewhere)

    def _folders(self, host: str) -> list[Path]:
        """The folders with files for ``host[:port]`` that this daemon's user may look into."""
        if not host or "/" in host or host in (".", ".."):
            return []
        return [folder for root in self._certs_dirs if _is_readable_folder(folder := root / host)]

    def _elsewhere(self, host: str) -> ssl.SSLContext | bool:
        if not self._authorities and not self._folders(host):
            return True
        return self._context(host, verify=True, identity=False)

    def _context(self, host: str, *, verify: bool, identity: bool = True) -> ssl.SSLContext:
        context = ssl.create_default_context()
        if not verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        for file in self._authorities:
            _trust(context, file)
        for folder in self._folders(host):
            for file in sorted(folder.glob("*.crt")):
                _trust(context, file)
            if identity:
                _identify(context, folder)
        return context


def _is_readable_folder(path: Path) -> bool:
    """Whether ``path`` is a directory whose names can be read: HOME may be another user's."""
    return os.access(path, os.R_OK | os.X_OK) and path.is_dir()


def _is_in(host: str, networks: Iterable[_Network]) -> bool:
    """Whether ``host[:port]`` is an address in one of the networks."""
    address = address_of(urlsplit(f"//{host}").hostname or "")
    return address is not None and any(address in network for network in networks)


def _trust(context: ssl.SSLContext, authority: Path) -> None:
    try:
        context.load_verify_locations(cafile=authority)
    except OSError as error:
        raise HyperError(f"cannot use the authority {authority}: {reason(error)}") from error


def _identify(context: ssl.SSLContext, folder: Path) -> None:
    """The context has our certificates: those of the folder, each with its key."""
    keys = {file.stem for file in folder.glob("*.key")}
    certificates = {file.stem for file in folder.glob("*.cert")}
    for stem in sorted(keys ^ certificates):
        have, miss = ("cert", "key") if stem in certificates else ("key", "cert")
        raise HyperError(
            f"{folder}/{stem}.{have} has no {stem}.{miss} beside it",
            hint="authorities are *.crt; *.cert is who we are, with its *.key",
        )
    for stem in sorted(certificates):
        try:
            context.load_cert_chain(folder / f"{stem}.cert", folder / f"{stem}.key")
        except OSError as error:
            raise HyperError(
                f"cannot use {folder}/{stem}.cert and its key: {reason(error)}"
            ) from error

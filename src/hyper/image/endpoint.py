"""Where a repository is served, and whom to trust there: mirrors, insecure registries, ``certs.d``.

Source: dockerd's documentation, "Insecure registries" and "Verify repository client with certificates".
"""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from hyper.errors import HyperError, InvalidRequest
from hyper.image.reference import DEFAULT_DOMAIN, Reference

#: Where the images of docker.io really are.
HUB_HOST = "registry-1.docker.io"
DEFAULT_CERTS_DIR = Path("/etc/docker/certs.d")
_LOOPBACK = ("127.0.0.0/8", "::1/128")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One server to ask. ``schemes`` in the order to try; ``tls`` None: never TLS."""

    host: str
    schemes: tuple[str, ...]
    tls: ssl.SSLContext | None
    prefix: str = ""
    mirror: bool = False

    def __str__(self) -> str:
        return self.host


class Endpoints:
    """Knows, from the daemon's configuration, which servers hold a repository."""

    def __init__(
        self,
        *,
        insecure: tuple[str, ...] = (),
        mirrors: tuple[str, ...] = (),
        certs_dir: Path,
        trust_loopback: bool = True,
    ) -> None:
        """``insecure``: host[:port] or CIDR; ``mirrors``: URLs. ``trust_loopback``: this host is insecure unasked.

        Raises:
            InvalidRequest: a mirror that is no http(s) URL.
        """
        hosts, networks = ({"localhost"}, _LOOPBACK) if trust_loopback else (set(), ())
        self._hosts = {entry for entry in insecure if "/" not in entry} | hosts
        self._networks = [
            ipaddress.ip_network(entry, strict=False)
            for entry in (*networks, *(item for item in insecure if "/" in item))
        ]
        self._certs_dir = certs_dir
        self._mirrors = [self._mirror(url) for url in mirrors]

    def of(self, reference: Reference) -> list[Endpoint]:
        """The servers of a repository, in the order to ask them. Never empty.

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
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return any(address in network for network in self._networks)

    def _endpoint(self, host: str) -> Endpoint:
        insecure = self.is_insecure(host)
        schemes = ("https", "http") if insecure else ("https",)
        return Endpoint(host, schemes, self._context(host, verify=not insecure))

    def _mirror(self, url: str) -> Endpoint:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc or "@" in parts.netloc:
            raise InvalidRequest(f"invalid mirror: {url!r} is no http or https URL without user")
        verify = not self.is_insecure(parts.netloc)
        tls = self._context(parts.netloc, verify=verify) if parts.scheme == "https" else None
        return Endpoint(parts.netloc, (parts.scheme,), tls, parts.path.rstrip("/"), mirror=True)

    def _context(self, host: str, *, verify: bool) -> ssl.SSLContext:
        context = ssl.create_default_context()
        if not verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        folder = self._certs_dir / host
        try:
            for authority in sorted(folder.glob("*.crt")):
                context.load_verify_locations(cafile=authority)
            for certificate in sorted(folder.glob("*.cert")):
                context.load_cert_chain(certificate, certificate.with_suffix(".key"))
        except (OSError, ssl.SSLError) as error:
            raise HyperError(f"cannot use the certificates in {folder}: {error}") from error
        return context

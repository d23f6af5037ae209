"""Credentials for registries, and what a registry's challenge asks for. Pure.

Source: distribution/distribution docs/spec/auth/token.md; RFC 7235 section 4.1; Engine API "Authentication".
"""

from __future__ import annotations

import base64
import binascii
import logging
import re
from dataclasses import dataclass, field

import msgspec

logger = logging.getLogger(__name__)

_MAX_HEADER = 64 * 1024
_CHALLENGE = re.compile(r'\s*([A-Za-z]+)((?:\s+|\s*,\s*)[a-zA-Z_]+=(?:"[^"]*"|[^",\s]+))*')
_PARAMETER = re.compile(r'([a-zA-Z_]+)=(?:"([^"]*)"|([^",\s]+))')


@dataclass(frozen=True, slots=True)
class RegistryAuth:
    """Credentials for a registry. Secrets never show in ``repr`` or in any argument list."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)

    @property
    def basic(self) -> str | None:
        """The value of a Basic Authorization header, None without user name."""
        if not self.username:
            return None
        pair = f"{self.username}:{self.password}".encode()
        return "Basic " + base64.b64encode(pair).decode()

    @staticmethod
    def from_header(value: str) -> RegistryAuth | None:
        """The credentials in an ``X-Registry-Auth`` header; None if it is empty or names no user.

        A header that is not base64 of a JSON object names no user, too, as with dockerd: clients send what they like
        to registries that ask for nothing. A registry that asks refuses by itself.
        """
        if not value:
            return None
        try:
            padded = value.replace("+", "-").replace("/", "_").rstrip("=")
            raw = base64.urlsafe_b64decode(padded + "=" * (-len(padded) % 4))
            said = msgspec.json.decode(raw[:_MAX_HEADER], type=dict[str, object])
            # As Go reads it: names in any case, null for what is not said.
            kept = {name.lower(): value for name, value in said.items() if value is not None}
            wire = msgspec.convert(kept, _Wire)
        except (binascii.Error, ValueError, msgspec.MsgspecError) as error:
            logger.info("an invalid X-Registry-Auth header is ignored: %s", error)
            return None
        return wire.auth_config()


class _Wire(msgspec.Struct):
    username: str = ""
    password: str = ""
    auth: str = ""
    identitytoken: str = ""
    registrytoken: str = ""

    def auth_config(self) -> RegistryAuth | None:
        username, password = self.username, self.password
        if not username and self.auth:
            username, _, password = base64.b64decode(self.auth).decode().partition(":")
        auth = RegistryAuth(username, password, self.identitytoken, self.registrytoken)
        return None if auth == RegistryAuth() else auth


@dataclass(frozen=True, slots=True)
class Challenge:
    """A challenge: one way to authenticate that a 401 offers. ``scheme`` in lower case."""

    scheme: str
    realm: str = ""
    service: str = ""
    scope: str = ""


def challenges(header: str) -> list[Challenge]:
    """The challenges in a ``WWW-Authenticate`` header; what cannot be read is left out."""
    found = []
    for match in _CHALLENGE.finditer(header[:8192]):
        values = {key.lower(): quoted or bare for key, quoted, bare in _PARAMETER.findall(match[0])}
        found.append(
            Challenge(
                match[1].lower(),
                values.get("realm", ""),
                values.get("service", ""),
                values.get("scope", ""),
            )
        )
    return found

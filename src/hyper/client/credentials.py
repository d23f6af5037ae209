"""Registry credentials in docker's own config.json: found for a request, kept by ``login``, forgotten by ``logout``.

Helpers that the file names are asked: those of ``credHelpers`` for their registry, ``credsStore`` for all; secrets that
helpers keep are not in the file.
"""

from __future__ import annotations

import base64
import json
import os
from contextlib import suppress
from pathlib import Path

from hyper.client.helper import erase_secret, read_secret, store_secret
from hyper.errors import HyperError, reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

HUB = "https://index.docker.io/v1/"
#: What a helper calls a token that stands for user and password.
_TOKEN_USER = "<token>"  # noqa: S105 (a name, not a secret)


class CredentialError(HyperError):
    """A failure to read or keep credentials."""

    exit_code = 1


def registry_of(image: str) -> str:
    """The key under which config.json keeps the credentials of the registry ``image`` comes from."""
    first, slash, _ = image.partition("/")
    is_host = slash and ("." in first or ":" in first or first == "localhost")
    return first if is_host and first not in ("docker.io", "index.docker.io") else HUB


def host_of(server: str) -> str:
    """The key for a registry as the user names it: no scheme, no path; Docker Hub has a name of its own."""
    if server in ("", HUB, "docker.io", "index.docker.io"):
        return HUB
    return server.removeprefix("http://").removeprefix("https://").partition("/")[0]


def no_auth() -> str:
    """The X-Registry-Auth of a user without credentials."""
    return _encode({})


def auth_header(image: str, environ: Mapping[str, str]) -> str | None:
    """The value of X-Registry-Auth for ``image``, None if nothing is kept for its registry.

    Raises:
        CredentialError: a helper is configured and does not work.
    """
    found = Store(environ).get(registry_of(image))
    return None if found is None else _encode(found)


def _encode(auth: dict[str, str]) -> str:
    return base64.urlsafe_b64encode(json.dumps(auth).encode()).decode()


class Store:
    """The user's config.json and the helpers it names. A file that is missing or broken holds nothing."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        folder = environ.get("DOCKER_CONFIG") or f"{environ.get('HOME', '')}/.docker"
        self.path = Path(folder, "config.json")

    def get(self, registry: str) -> dict[str, str] | None:
        """The API's AuthConfig for ``registry``; None if there is none."""
        config = self._read()
        helper = _helper(config, registry)
        if helper is not None:
            secret = read_secret(helper, registry)
            return None if secret is None else _auth(*secret, registry)
        entry = _entry(config.get("auths"), registry)
        if entry is None:
            return None
        with suppress(ValueError, TypeError, AttributeError):
            user, _, password = base64.b64decode(entry.get("auth", "")).decode().partition(":")
            if entry.get("identitytoken"):
                return _auth(_TOKEN_USER, entry["identitytoken"], registry)
            if user:
                return _auth(user, password.rstrip("\0"), registry)
        return None

    def keep(self, registry: str, user: str, secret: str, *, token: bool) -> bool:
        """The credentials are kept; True if a helper has them, False if they are in the file in plain.

        ``token``: ``secret`` is the registry's identity token.
        """
        config = self._read_to_change()
        helper = _helper(config, registry)
        auths = config.setdefault("auths", {})
        if helper is not None:
            store_secret(helper, registry, _TOKEN_USER if token else user, secret)
            auths[registry] = {}
        else:
            plain = f"{user}:{'' if token else secret}"
            auths[registry] = {"auth": base64.b64encode(plain.encode()).decode()}
            if token:
                auths[registry]["identitytoken"] = secret
        self._write(config)
        return helper is not None

    def forget(self, registry: str) -> bool:
        """The credentials for ``registry`` are forgotten; False if none were kept."""
        config = self._read_to_change()
        auths = config.get("auths")
        known = isinstance(auths, dict) and auths.pop(registry, None) is not None
        helper = _helper(config, registry)
        if helper is not None:
            erase_secret(helper, registry)
        if known:
            self._write(config)
        return known

    def _read(self) -> dict[str, Any]:
        try:
            config = json.loads(self.path.read_bytes())
        except (OSError, ValueError):
            # No file, or not ours to understand: the registry then says what it wants.
            return {}
        return config if isinstance(config, dict) else {}

    def _read_to_change(self) -> dict[str, Any]:
        """The file's content for a change. One that is not understood is an error: it must not be written over."""
        try:
            config = json.loads(self.path.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise CredentialError(f"cannot read {self.path}: {reason(error)}") from error
        if not isinstance(config, dict) or not isinstance(config.get("auths", {}), dict):
            raise CredentialError(f"{self.path} is not docker's config.json")
        return config

    def _write(self, config: dict[str, Any]) -> None:
        path = self.path.resolve()
        partial = path.with_name(f".config.json.{os.getpid()}")
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:  # noqa: PTH123
                file.write(json.dumps(config, indent="\t"))
            partial.replace(path)
        except OSError as error:
            with suppress(OSError):
                partial.unlink()
            raise CredentialError(f"cannot write {self.path}: {error.strerror}") from error


def _auth(user: str, secret: str, registry: str) -> dict[str, str]:
    if user == _TOKEN_USER:
        return {"identitytoken": secret, "serveraddress": registry}
    return {"username": user, "password": secret, "serveraddress": registry}


def _helper(config: dict[str, Any], registry: str) -> str | None:
    helpers = config.get("credHelpers")
    named = helpers if isinstance(helpers, dict) else {}
    name = named.get(
        registry, config.get("credsStore")
    )  # "" is the file, whatever keeps the others
    return name if isinstance(name, str) and name else None


def _entry(auths: object, registry: str) -> dict[str, Any] | None:
    """The entry kept under the registry's name, however that is spelled."""
    if not isinstance(auths, dict):
        return None
    for key in (registry, *(k for k in auths if host_of(k) == registry)):
        if isinstance(auths.get(key), dict):
            entry: dict[str, Any] = auths[key]
            return entry
    return None

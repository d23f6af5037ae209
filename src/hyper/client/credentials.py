"""Registry credentials the user saved with ``docker login`` (config.json), as the API wants them."""

from __future__ import annotations

import base64
import json
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_HUB = "https://index.docker.io/v1/"


def registry_of(image: str) -> str:
    """The key under which config.json keeps the credentials of the registry ``image`` comes from."""
    first, slash, _ = image.partition("/")
    is_host = slash and ("." in first or ":" in first or first == "localhost")
    return first if is_host and first not in ("docker.io", "index.docker.io") else _HUB


def auth_header(image: str, environ: Mapping[str, str]) -> str | None:
    """The value of X-Registry-Auth for ``image``, None if nothing is saved for its registry.

    Credential helpers are not asked: only what the file itself holds counts.
    """
    folder = environ.get("DOCKER_CONFIG") or f"{environ.get('HOME', '')}/.docker"
    try:
        saved = json.loads(Path(folder, "config.json").read_bytes())
        entry = saved["auths"][registry_of(image)]
        user, _, password = base64.b64decode(entry["auth"]).decode().partition(":")
    except (OSError, ValueError, KeyError, TypeError):
        # No file, no entry, or not ours to understand: the registry then says what it wants.
        return None
    auth = {"username": user, "password": password, "serveraddress": registry_of(image)}
    if entry.get("identitytoken"):
        auth = {"identitytoken": entry["identitytoken"], "serveraddress": registry_of(image)}
    return base64.urlsafe_b64encode(json.dumps(auth).encode()).decode()

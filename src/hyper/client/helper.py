"""Docker's credential helpers: programs ``docker-credential-NAME`` that keep secrets for clients.

Source: github.com/docker/docker-credential-helpers, README "Development". A secret goes through pipes, never argv.
"""

from __future__ import annotations

import json

from hyper.errors import HyperError, reason

TIMEOUT_S = 60.0
_MISSING = "credentials not found in native keychain"


class HelperError(HyperError):
    """A credential helper is missing or failed."""

    exit_code = 1


def read_secret(helper: str, server: str) -> tuple[str, str] | None:
    """The user and the secret that ``helper`` keeps for ``server``; None if it has none."""
    answer = _ask(helper, "get", server)
    if answer is None:
        return None
    try:
        found = json.loads(answer)
        return str(found["Username"]), str(found["Secret"])
    except (ValueError, KeyError, TypeError) as error:
        raise HelperError(f"docker-credential-{helper} get: its answer makes no sense") from error


def store_secret(helper: str, server: str, user: str, secret: str) -> None:
    """``helper`` keeps ``user`` and ``secret`` for ``server``."""
    _ask(helper, "store", json.dumps({"ServerURL": server, "Username": user, "Secret": secret}))


def erase_secret(helper: str, server: str) -> None:
    """``helper`` has nothing for ``server``."""
    _ask(helper, "erase", server)


def _ask(helper: str, verb: str, text: str) -> str | None:
    import subprocess  # 8 ms that only those with a helper pay

    program = f"docker-credential-{helper}"
    if "/" in helper:
        raise HelperError(f"{helper!r} is no name of a credential helper")
    try:
        done = subprocess.run(
            [program, verb], input=text, capture_output=True, text=True, timeout=TIMEOUT_S
        )
    except FileNotFoundError as error:
        raise HelperError(
            f"{program} is not installed",
            hint="config.json names it in credHelpers or credsStore: install it, or take it out",
        ) from error
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError) as error:
        raise HelperError(f"{program} {verb}: {reason(error)}") from error
    if done.returncode == 0:
        return done.stdout
    said = done.stdout.strip() or done.stderr.strip()
    if _MISSING in said:
        return None
    raise HelperError(f"{program} {verb} failed: {said[:200]}")

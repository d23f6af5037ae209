"""``hyper trust``: keys whose signatures count for App Container Images."""

from __future__ import annotations

from hyper.cli.context import tell
from hyper.cli.flags import Command, Flag, LocalError
from hyper.cli.listing import FORMAT, show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hyper.cli.context import Context
    from hyper.cli.flags import Arguments

_PATH = "/hyper/v1/trust"
_HEADINGS = {"Prefix": "PREFIX", "Fingerprint": "FINGERPRINT", "User": "USER"}
#: Longest file of keys that the daemon takes.
_MAX_KEYRING = 1024 * 1024


def _add(context: Context, arguments: Arguments) -> int:
    path = arguments.words[0]
    try:
        with open(path, "rb") as file:  # noqa: PTH123 (pathlib costs 3 ms)
            data = file.read(_MAX_KEYRING + 1)
    except OSError as error:
        raise LocalError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error
    response = context.engine.upload("POST", _PATH, [data], {"prefix": arguments.text("--prefix")})
    for key in _decoded(response):
        tell(key["Fingerprint"])
    return 0


def _decoded(response: Any) -> Any:
    import json

    with response:
        return json.loads(response.read())


def _ls(context: Context, arguments: Arguments) -> int:
    rows = [
        {
            "Prefix": key["Prefix"] or "*",
            "Fingerprint": key["Fingerprint"],
            "User": ", ".join(key["UserIDs"]),
        }
        for key in context.engine.get(_PATH)
    ]
    show(rows, _HEADINGS, arguments.text("--format"))
    return 0


def _rm(context: Context, arguments: Arguments) -> int:
    from hyper.client.quote import quote

    for fingerprint in arguments.words:
        path = f"{_PATH}/{quote(fingerprint)}"
        for key in context.engine.delete(path, prefix=arguments.text("--prefix")):
            tell(key["Fingerprint"])
    return 0


TRUST_ADD = Command(
    _add,
    words="KEYFILE",
    least=1,
    most=1,
    flags=(Flag("--prefix", takes="NAME", help="Only for images of this name and below"),),
    examples=("hyper trust add --prefix example.com release-key.asc",),
)
TRUST_LS = Command(_ls, most=0, flags=(FORMAT,), examples=("hyper trust ls",))
TRUST_RM = Command(
    _rm,
    words="FINGERPRINT [FINGERPRINT...]",
    least=1,
    flags=(Flag("--prefix", takes="NAME", help="Only as far as images of this name go"),),
    examples=("hyper trust rm 0123456789ABCDEF0123456789ABCDEF01234567",),
)

"""App Container Images as ``run``, ``create`` and ``pull`` take them: a file, a URL, a name to discover."""

from __future__ import annotations

import os

from hyper.cli.context import say
from hyper.cli.flags import LocalError
from hyper.client.engine import messages
from hyper.client.errors import ApiError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, TextIO

    from hyper.cli.context import Context

_SUFFIX, _SIGNATURE = ".aci", ".aci.asc"
_URLS = ("https://", "http://")
_DISCOVERED = "aci:"
#: Longest signature that is passed on: it goes in a header.
_MAX_SIGNATURE = 4096
_MISSING = (400, 404, 500, 503)


def is_meant(image: str) -> bool:
    """Whether ``image`` says by its form that it is an App Container Image."""
    if image.startswith((*_URLS, _DISCOVERED)):
        return True
    is_path = "/" not in image or image.startswith((".", "/")) or os.path.isfile(image)  # noqa: PTH113 (pathlib costs 3 ms)
    return image.endswith(_SUFFIX) and is_path


def bring(context: Context, image: str, output: TextIO | None) -> tuple[str, str]:
    """The id and name ("": it has none) of the image that ``image`` means, which the daemon has now.

    Raises:
        LocalError: there is no such file. ApiError: the daemon could not make an image of it.
    """
    if image.startswith(_URLS):
        return _fetch(context, {"name": image}, output)
    if image.startswith(_DISCOVERED):
        return _fetch(context, {"name": image.removeprefix(_DISCOVERED)}, output)
    return _upload(context, image, output)


def discover(
    context: Context, image: str, failure: ApiError, output: TextIO | None
) -> tuple[str, str]:
    """The id and name of an image found by discovery, for a name that its registry does not know (``failure``).

    Raises:
        ApiError: ``failure`` where nothing else can be meant, else one that names both attempts.
    """
    if failure.status not in _MISSING or not _is_discoverable(image):
        raise failure
    try:
        return _fetch(context, {"name": image, "unless-registry": 1}, output)
    except ApiError as error:
        if error.status == 409:
            raise failure from None
        raise ApiError(
            f"{failure.message}\nand as an App Container Image: {error.message}",
            status=failure.status,
        ) from None


def _is_discoverable(image: str) -> bool:
    """Whether ``image`` is a name below a host's: no address, no port, no digest; none of Docker Hub's."""
    host, slash, rest = image.partition("/")
    labels = host.split(".")
    return (
        bool(slash)
        and len(labels) > 1
        and not labels[-1].isdecimal()
        and ":" not in host
        and "@" not in rest
        and host not in ("docker.io", "index.docker.io")
    )


def _fetch(context: Context, query: dict[str, Any], output: TextIO | None) -> tuple[str, str]:
    return _follow(context.engine.open("POST", "/hyper/v1/images/fetch", query), output)


def _upload(context: Context, path: str, output: TextIO | None) -> tuple[str, str]:
    from hyper.cli import files  # only who sends a file pays

    if not os.path.isfile(path):  # noqa: PTH113 (pathlib costs 3 ms)
        raise LocalError(
            f"no such file: {path}",
            hint=f"an App Container Image to discover is written aci:{path.removesuffix(_SUFFIX)}",
        )
    signature = _signature_beside(path)
    headers = () if signature is None else (("X-Hyper-Signature", signature),)
    response = context.engine.upload(
        "POST", "/hyper/v1/images/aci", files.pieces_of(path), headers=headers
    )
    return _follow(response, output)


def _signature_beside(path: str) -> str | None:
    from base64 import b64encode

    name = path.removesuffix(_SUFFIX) + _SIGNATURE
    try:
        with open(name, "rb") as file:  # noqa: PTH123
            data = file.read(_MAX_SIGNATURE + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LocalError(f"cannot read {name}: {(error.strerror or str(error)).lower()}") from error
    if len(data) > _MAX_SIGNATURE:
        raise LocalError(f"{name} is longer than a signature: {_MAX_SIGNATURE} bytes at most")
    return b64encode(data).decode()


def _follow(response: Any, output: TextIO | None) -> tuple[str, str]:
    """The id and name of the image that the last message tells of; the messages were shown until their end."""
    from hyper.cli.progress import follow

    made: dict[str, Any] = {}

    def shown() -> Iterator[dict[str, Any]]:
        for message in messages(response):
            if "aux" in message:
                made.update(message["aux"])
            elif output is None and message.get("status", "").startswith("Warning: "):
                say(message["status"])
            else:
                yield message

    follow(shown(), output)
    return str(made["ID"]), str(made.get("Name", ""))

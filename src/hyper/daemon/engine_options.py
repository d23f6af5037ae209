"""The option of hyperd for other container engines of the host, on the command line and in the file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from hyper.config import usual_engines

_TRUE, _FALSE = ("true", "1"), ("false", "0")
_SCHEME = "unix://"


def add_engines(result: argparse.ArgumentParser) -> None:
    """The option of engines is added to ``result``."""
    result.add_argument(
        "--local-engines",
        nargs="?",
        const=usual_engines(),
        type=_engines,
        metavar="true|false|unix:///PATH,…",
        help="engines whose images run and create take before they ask a registry (default: docker and podman)",
    )


def from_words(words: bool | str | list[str]) -> tuple[Path, ...]:
    """The sockets of engines that are meant: the usual ones, none, or those of a list (with commas, or the file's).

    Raises:
        ValueError: neither true nor false nor absolute unix:// addresses.
    """
    if isinstance(words, str):
        words = words in _TRUE if words in (*_TRUE, *_FALSE) else words.split(",")
    if isinstance(words, bool):
        return usual_engines() if words else ()
    return tuple(_socket(word) for word in words)


def _socket(word: str) -> Path:
    path = Path(word.removeprefix(_SCHEME))
    if not word.startswith(_SCHEME) or not path.is_absolute():
        raise ValueError(f"{word!r} is neither true nor false nor unix:///PATH")
    return path


def _engines(text: str) -> Any:
    try:
        return from_words(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None

"""Identifiers: container and exec ids, short forms, generated names."""

from __future__ import annotations

import re
import secrets

ID_LENGTH = 64
SHORT_LENGTH = 12
#: Docker's rule for names (daemon/names/names.go).
NAME_PATTERN = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")

_LEFT = [
    "agile",
    "amber",
    "bold",
    "brave",
    "bright",
    "brisk",
    "calm",
    "clear",
    "clever",
    "crisp",
    "dapper",
    "deft",
    "eager",
    "fair",
    "fast",
    "fleet",
    "fond",
    "frank",
    "fresh",
    "gentle",
    "glad",
    "grand",
    "happy",
    "honest",
    "keen",
    "kind",
    "light",
    "lively",
    "lucid",
    "mellow",
    "merry",
    "neat",
    "nimble",
    "noble",
    "patient",
    "plain",
    "proud",
    "quick",
    "quiet",
    "sharp",
    "sleek",
    "snug",
    "sound",
    "spry",
    "steady",
    "sunny",
    "swift",
    "tidy",
    "vivid",
    "warm",
    "wise",
    "witty",
]
_RIGHT = [
    "babbage",
    "bartik",
    "boole",
    "cerf",
    "curie",
    "dijkstra",
    "engelbart",
    "euler",
    "fermat",
    "feynman",
    "floyd",
    "gauss",
    "goldberg",
    "hamilton",
    "hoare",
    "hopper",
    "johnson",
    "kay",
    "kernighan",
    "knuth",
    "lamport",
    "liskov",
    "lovelace",
    "mccarthy",
    "mcnulty",
    "meitner",
    "milner",
    "naur",
    "noether",
    "pascal",
    "perlman",
    "popek",
    "ritchie",
    "shannon",
    "thompson",
    "torvalds",
    "turing",
    "wilkes",
    "wing",
    "wirth",
    "wozniak",
    "zuse",
]


def new_id() -> str:
    """A fresh random id: 64 hexadecimal digits, never all decimal in its first twelve.

    (An all-digit short id could be taken for a number by programs that use it as host name.)
    """
    while True:
        candidate = secrets.token_hex(ID_LENGTH // 2)
        if not candidate[:SHORT_LENGTH].isdecimal():
            return candidate


def short_id(identifier: str) -> str:
    """The first twelve digits of an id; an algorithm prefix (``sha256:``) is dropped."""
    return identifier.rpartition(":")[2][:SHORT_LENGTH]


def random_name(*, suffix: bool = False) -> str:
    """A name like ``brave_hopper``; with ``suffix`` a digit follows, for when the first is taken."""
    name = f"{secrets.choice(_LEFT)}_{secrets.choice(_RIGHT)}"
    return f"{name}{secrets.randbelow(10)}" if suffix else name


def is_valid_name(name: str) -> bool:
    """Whether ``name`` may name a container."""
    return NAME_PATTERN.fullmatch(name) is not None and len(name) <= 255

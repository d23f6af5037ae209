"""The search domains and options of name look-ups on this host.

Source: resolv.conf(5): the last line of a keyword counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final


@dataclass(frozen=True, slots=True)
class Lookup:
    """The search domains tried after a bare name, and the ``options`` as they are written."""

    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


NO_LOOKUP: Final = Lookup()


def lookup(path: Path = Path("/etc/resolv.conf")) -> Lookup:
    """The search domains and options of a resolv.conf; none where it cannot be read."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return NO_LOOKUP
    said = {words[0]: tuple(words[1:]) for words in map(str.split, lines) if words}
    return Lookup(said.get("search", said.get("domain", ())), said.get("options", ()))

"""The protocol's vectors in tests/vectors, which Python and C read alike."""

from __future__ import annotations

from pathlib import Path

VECTORS = Path(__file__).parent.parent / "vectors"
#: What a case says, a (word, rest of the line) each.
Case = list[tuple[str, str]]


def cases(name: str) -> dict[str, Case]:
    """The cases of one file of vectors by their names."""
    found: dict[str, Case] = {}
    for line in (VECTORS / name).read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        word, _, rest = line.partition(" ")
        if word == "case":
            assert rest not in found
            found[rest] = []
        else:
            list(found.values())[-1].append((word, rest))
    return found


FRAMES = cases("frames.txt")
MESSAGES = cases("messages.txt") | cases("records.txt")
MOUNT_SOURCES = cases("sources.txt")

"""GET /images/json and the images in GET /system/df: which are listed, and how they look.

Source: moby daemon/images/images.go; distribution/reference helpers.go FamiliarMatch; Go's path.Match.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from msgspec import UNSET, UnsetType

from hyper.api.http import has_label, moment
from hyper.engine.spec.create import image_defaults
from hyper.errors import InvalidRequest
from hyper.image.images import Images
from hyper.image.record import ImageRecord
from hyper.image.reference import parse
from hyper.types import response as wire

FILTERS: Final = frozenset({"reference", "label", "dangling", "before", "since", "until"})
_TRUE: Final = frozenset({"true", "1"})
_FALSE: Final = frozenset({"false", "0"})
#: Older clients want to read this for nothing.
_NONE: Final = ("<none>:<none>", "<none>@<none>")
_EMPTY_SINCE: Final = (1, 43)
_ONE_SIZE_SINCE: Final = (1, 44)

Filters = dict[str, set[str]]


@dataclass(frozen=True, slots=True)
class Question:
    """The client's question for images. ``all``: intermediate images too."""

    filters: Filters
    all: bool
    version: tuple[int, int]


def summaries(
    images: Images,
    question: Question,
    users: dict[str, list[str]] | None,
    shared: dict[str, int] | None,
) -> list[wire.ImageSummary]:
    """The images asked for, newest first. ``shared``: bytes of shared layers by image; ``users``: containers by image.

    None where the client does not ask for them: then both are -1, as in Docker.
    """
    filters = question.filters
    dangling = truth(filters, "dangling")
    bounds = _bounds(images, filters)
    everything = images.list()
    parents = {image.parent for image in everything}
    found = []
    for image in everything:
        if not _is_wanted(image, filters, bounds):
            continue
        tags, digests = _names(image, filters.get("reference", ()))
        if dangling and (tags or image.id in parents):
            continue
        if not tags and not digests:
            if image.id in parents and not question.all:
                continue
            if dangling is False or "reference" in filters:
                continue
            if question.version < _EMPTY_SINCE:
                tags, digests = [_NONE[0]], [_NONE[1]]
        found.append(_summary(image, tags, digests, users, shared, question.version))
    return found


def _summary(
    image: ImageRecord,
    tags: list[str],
    digests: list[str],
    users: dict[str, list[str]] | None,
    shared: dict[str, int] | None,
    version: tuple[int, int],
) -> wire.ImageSummary:
    return wire.ImageSummary(
        id=image.id,
        parent_id=image.parent,
        repo_tags=tags,
        repo_digests=digests,
        created=created_ns(image) // 10**9,
        size=image.size,
        virtual_size=virtual_size(image, version),
        shared_size=-1 if shared is None else shared.get(image.id, 0),
        labels=image_defaults(image.config.config).labels,
        containers=-1 if users is None else len(users.get(image.id, ())),
    )


def virtual_size(image: ImageRecord, version: tuple[int, int]) -> int | UnsetType:
    """The image's size under the name that older clients read; UNSET for newer ones."""
    return image.size if version < _ONE_SIZE_SINCE else UNSET


def truth(filters: Filters, name: str) -> bool | None:
    """The value of a filter that is true or false; None if the filter is not given.

    Raises:
        InvalidRequest: anything else (Docker's words).
    """
    values = filters.get(name)
    if not values:
        return None
    if values <= _TRUE:
        return True
    if values <= _FALSE:
        return False
    raise InvalidRequest(f"invalid filter '{name}=[{' '.join(sorted(values))}]'")


def _bounds(images: Images, filters: Filters) -> tuple[int, int]:
    """The bounds of the time an image was created: after the first, before the second; nanoseconds."""
    after, before = -1, 1 << 63
    for value in filters.get("since", ()):
        after = max(after, created_ns(images.get(value)))
    for value in filters.get("before", ()):
        before = min(before, created_ns(images.get(value)))
    for value in filters.get("until", ()):
        before = min(before, moment(value, what="time"))
    return after, before


def _is_wanted(image: ImageRecord, filters: Filters, bounds: tuple[int, int]) -> bool:
    if not bounds[0] < created_ns(image) < bounds[1]:
        return False
    labels = image_defaults(image.config.config).labels or {}
    return all(has_label(labels, value) for value in filters.get("label", ()))


def _names(image: ImageRecord, patterns: Iterable[str]) -> tuple[list[str], list[str]]:
    """The tags and digests that a pattern fits; all where there is no pattern."""
    wanted = [_compiled(pattern) for pattern in patterns]
    return (
        [name for name in image.repo_tags if not wanted or _fits(name, wanted)],
        [name for name in image.repo_digests if not wanted or _fits(name, wanted)],
    )


def _fits(name: str, patterns: list[re.Pattern[str]]) -> bool:
    bare = parse(name).familiar_name
    return any(pattern.fullmatch(name) or pattern.fullmatch(bare) for pattern in patterns)


def _compiled(pattern: str) -> re.Pattern[str]:
    """A shell pattern whose ``*`` and ``?`` stop at slashes.

    Raises:
        InvalidRequest: an unclosed bracket.
    """
    text, position = "", 0
    while position < len(pattern):
        character = pattern[position]
        position += 1
        if character == "*":
            text += "[^/]*"
        elif character == "?":
            text += "[^/]"
        elif character == "\\" and position < len(pattern):
            text += re.escape(pattern[position])
            position += 1
        elif character == "[":
            end = pattern.find("]", position + 1)
            if end < 0:
                raise InvalidRequest(
                    f"invalid filter 'reference=[{pattern}]': syntax error in pattern"
                )
            text += _bracket(pattern[position:end])
            position = end + 1
        else:
            text += re.escape(character)
    return re.compile(text)


def _bracket(inside: str) -> str:
    negated = inside.startswith("^")
    members = re.sub(r"([\\\[\]&~|^])", r"\\\1", inside.removeprefix("^"))
    try:
        re.compile(f"[{members}]")
    except re.error:
        raise InvalidRequest(
            f"invalid filter 'reference=[{inside}]': syntax error in pattern"
        ) from None
    return f"[{'^' if negated else ''}{members}]"


def created_ns(image: ImageRecord) -> int:
    """The time when an image was made, by its configuration, in nanoseconds; 0 if that is missing or malformed."""
    return created_of(image.created)


def created_of(text: str) -> int:
    """The moment that an image's configuration or history has as ``text``, in nanoseconds; 0 if empty or malformed."""
    try:
        return moment(text, what="time") if text else 0
    except InvalidRequest:
        return 0

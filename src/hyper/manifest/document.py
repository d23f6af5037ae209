"""YAML or JSON read to plain data. Whatever a document holds, reading it costs no more than its bounds allow.

YAML means what Kubernetes' reader makes of it: 1.2's plain scalars (``no`` and ``on`` are texts), and 1.1's ``0644``.
We compose the data ourselves from PyYAML's events: its loader keeps the last of two equal keys, and knows neither depth
nor size (docs/decisions/0019-pod-files.md).
Source: YAML 1.2.2, 10.3 "Core Schema"; RFC 8259.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any, Final

import yaml

from hyper.errors import InvalidRequest

MAX_BYTES: Final = 4 * 1024 * 1024
#: Mappings and lists inside each other.
MAX_DEPTH: Final = 40
#: Scalars, lists and mappings, each alias counted as what it stands for.
MAX_NODES: Final = 50_000
MAX_DOCUMENTS: Final = 100
#: Longer numbers do not fit in 64 bits.
_MAX_DIGITS: Final = 19

_YAML_TAG: Final = "tag:yaml.org,2002:"
_CONSTANTS: Final[dict[str, bool | None]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER: Final = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_OCTAL: Final = re.compile(r"0o?([0-7]{1,21})")
_HEX: Final = re.compile(r"0x([0-9a-fA-F]{1,16})")
_FLOAT: Final = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]{1,4})?")
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Octal(int):
    """A number written in octal digits, as modes of files are."""


def documents(data: bytes) -> list[Any]:
    """The documents of ``data``, empty ones left out: of None, bool, int, float, str, list and dict (keys are str).

    Raises:
        InvalidRequest: neither YAML nor JSON, or beyond a bound.
    """
    if len(data) > MAX_BYTES:
        raise InvalidRequest(f"it is longer than {MAX_BYTES} bytes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"it is not text: byte {error.start} is no UTF-8") from None
    found = [item for item in _parse(text) if item is not None]
    for item in found:
        _check(item)
    return found


def _parse(text: str) -> list[Any]:
    if not text.lstrip().startswith("{"):
        return _yaml(text)
    try:
        return [_json(text)]
    except json.JSONDecodeError as error:
        try:
            return _yaml(text)  # YAML in braces
        except InvalidRequest:
            raise InvalidRequest(f"line {error.lineno}: {error.msg}") from None


def _check(root: object) -> None:
    """A check of all data. Raises InvalidRequest where ``root`` is too deep or too large, or has a malformed text."""
    waiting, nodes = [(root, 0)], 0
    while waiting:
        value, depth = waiting.pop()
        nodes += 1
        if nodes > MAX_NODES:
            raise InvalidRequest(f"it holds more than {MAX_NODES} values")
        if depth > MAX_DEPTH:
            raise InvalidRequest(f"it is nested more than {MAX_DEPTH} deep")
        if isinstance(value, dict):
            waiting += ((item, depth + 1) for item in (*value, *value.values()))
        elif isinstance(value, list):
            waiting += ((item, depth + 1) for item in value)
        elif isinstance(value, str) and ("\0" in value or _has_surrogate(value)):
            raise InvalidRequest(f"it has a character that no text may have: {value[:40]!r}")


def _has_surrogate(text: str) -> bool:
    return not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text)


# JSON


def _json(text: str) -> Any:
    try:
        return json.loads(
            text, object_pairs_hook=_object, parse_int=_integer, parse_constant=_no_number
        )
    except RecursionError:
        raise InvalidRequest(f"it is nested more than {MAX_DEPTH} deep") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidRequest(f"the field {twice[:100]!r} is there twice")
    return made


def _integer(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise InvalidRequest(f"the number {digits[:40]}… is too large")
    return int(digits)


def _no_number(word: str) -> float:
    raise InvalidRequest(f"{word} is no number of JSON")


# YAML


def _yaml(text: str) -> list[Any]:
    try:
        return list(_Composer(yaml.parse(text, Loader=_LOADER)).documents())
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise InvalidRequest(f"{line}{error.problem or 'not YAML'}") from None
    except yaml.YAMLError as error:
        raise InvalidRequest(f"it is not YAML: {' '.join(str(error).split())[:200]}") from None


class _Composer:
    """Composer of plain data from a stream of PyYAML's events."""

    def __init__(self, events: Iterator[Any]) -> None:
        self._events = events
        self._anchors: dict[str, Any] = {}
        self._merged = 0

    def documents(self) -> Iterator[Any]:
        count = 0
        for event in self._events:
            if not isinstance(event, yaml.DocumentStartEvent):
                continue
            count += 1
            if count > MAX_DOCUMENTS:
                raise InvalidRequest(f"it holds more than {MAX_DOCUMENTS} documents")
            self._anchors = {}
            yield self._value(next(self._events), 0)

    def _value(self, event: Any, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise _at(event, f"it is nested more than {MAX_DEPTH} deep")
        if isinstance(event, yaml.AliasEvent):
            # An anchor is known once its value is whole: nothing can hold itself.
            if event.anchor not in self._anchors:
                raise _at(event, f"there is no anchor {str(event.anchor)[:100]!r} before")
            return self._anchors[event.anchor]
        if isinstance(event, yaml.ScalarEvent):
            value = _scalar(event)
        elif isinstance(event, yaml.SequenceStartEvent):
            _refuse_tag(event, "seq")
            value = list(self._sequence(depth))
        else:
            _refuse_tag(event, "map")
            value = self._mapping(depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = value
        return value

    def _sequence(self, depth: int) -> Iterator[Any]:
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            yield self._value(event, depth + 1)

    def _mapping(self, depth: int) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                raise _at(event, "the name of a field must be a text")
            value = self._value(next(self._events), depth + 1)
            if event.value == "<<" and event.implicit[0]:
                merged = self._merge(event, value) | merged
            elif event.value in own:
                raise _at(event, f"the field {event.value[:100]!r} is there twice")
            else:
                own[event.value] = value
        return merged | own

    def _merge(self, event: Any, value: object) -> dict[str, Any]:
        """Fields that ``<<: value`` merges into a mapping; the first value wins. Source: yaml.org/type/merge.html."""
        made: dict[str, Any] = {}
        for item in reversed(value) if isinstance(value, list) else [value]:
            if not isinstance(item, dict):
                raise _at(event, "<< takes a mapping, or a list of them")
            # A merge copies: its bound cannot wait until all is composed.
            self._merged += len(item)
            if self._merged > MAX_NODES:
                raise _at(event, f"more than {MAX_NODES} values are merged")
            made |= item
        return made


def _scalar(event: Any) -> Any:
    plain, _ = event.implicit
    if not plain:
        _refuse_tag(event, "str")
        return event.value
    text = event.value
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INTEGER.fullmatch(text):
        return int(text) if len(text) <= _MAX_DIGITS else text
    if octal := _OCTAL.fullmatch(text):
        return Octal(octal[1], 8)
    if hexadecimal := _HEX.fullmatch(text):
        return int(hexadecimal[1], 16)
    if _FLOAT.fullmatch(text) and math.isfinite(number := float(text)):
        return number
    return text


def _refuse_tag(event: Any, kind: str) -> None:
    if event.tag not in (None, "!", _YAML_TAG + kind):
        raise _at(event, f"the tag {event.tag[:100]!r} means nothing here")


def _at(event: Any, what: str) -> InvalidRequest:
    return InvalidRequest(f"line {event.start_mark.line + 1}: {what}")

"""JSON bodies of requests, read as dockerd reads them: by Go's encoding/json.

Names of members are taken in any case and at every depth; a null stands for the member's default, in a list or a map
for the empty value; a *strslice* may be one string; members that no type has are ignored. Mistakes have Go's words.

Source: go.dev, encoding/json "Unmarshal"; moby, api/server/httputils ReadJSON; api/types/strslice.
"""

from __future__ import annotations

import functools
import json
import types
from collections.abc import Callable
from typing import Annotated, Any, Final, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import msgspec

from hyper.errors import InvalidRequest
from hyper.types.container import StrSlice

T = TypeVar("T")
#: Parsed JSON in, the same as a type has it out; what does not fit comes out as it was, for msgspec to refuse.
Fold = Callable[[Any], Any]

#: Python's words for what is wrong with a document, and Go's for what was looked for at that place.
_GO: Final = {
    "Expecting property name enclosed in double quotes": "looking for beginning of object key string",
    "Expecting ':' delimiter": "after object key",
    "Expecting ',' delimiter": "after object key:value pair or array element",
    "Invalid control character at": "in string literal",
    "Invalid \\escape": "in string escape code",
    "Expecting value": "looking for beginning of value",
}
_ZEROS: Final[dict[Any, Any]] = {str: "", int: 0, bool: False, float: 0.0}


def parse(data: bytes, kind: type[T]) -> tuple[T, dict[str, Any]]:
    """``data`` as ``kind``, and as plain data with the names that ``kind`` has. No data is an empty object.

    Raises:
        InvalidRequest: not exactly one JSON document, no object, or a member of the wrong type.
    """
    try:
        plain = msgspec.json.decode(data) if data.strip() else {}
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise _malformed(data, error) from None
    if plain is None:
        plain = {}
    if not isinstance(plain, dict):
        raise InvalidRequest("invalid JSON: an object is expected")
    folded: dict[str, Any] = _members(cast(Any, kind))(plain)
    try:
        return msgspec.convert(folded, kind), folded
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"invalid JSON: {error}") from None


def _malformed(data: bytes, error: Exception) -> InvalidRequest:
    """The error in Go's words; in msgspec's where Python's own parser finds no mistake."""
    try:
        text = data.decode(errors="replace")
        json.loads(text)
    except json.JSONDecodeError as found:
        if found.msg == "Extra data":
            return InvalidRequest("unexpected content after JSON")
        character = text[found.pos : found.pos + 1]
        if not character or found.msg.startswith("Unterminated string"):
            return InvalidRequest("invalid JSON: unexpected EOF")
        where = _GO.get(found.msg.partition(":")[0], _GO.get(found.msg, found.msg))
        return InvalidRequest(f"invalid JSON: invalid character {character!r} {where}")
    except RecursionError:
        return InvalidRequest("invalid JSON: exceeded max depth")
    return InvalidRequest(f"invalid JSON: {error}")


@functools.cache
def _members(kind: type) -> Fold:
    """The fold of a struct. Cached: making it takes longer than reading a body."""
    hints = get_type_hints(kind, include_extras=True)
    fields = msgspec.structs.fields(kind)
    names = {item.encode_name.lower(): item.encode_name for item in fields}
    folds: dict[Any, Fold | None] = {item.encode_name: _fold(hints[item.name]) for item in fields}

    def fold(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        made = {}
        for key, member in value.items():
            name = names.get(key.lower(), key)
            if member is not None:
                inner = folds.get(name)
                made[name] = member if inner is None else inner(member)
        return made

    return fold


def _fold(hint: Any) -> Fold | None:
    """The fold of a member of that type; None: the member stays as it is."""
    if hint == StrSlice:
        return _words
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _fold(args[0])
    if origin in (Union, types.UnionType):
        found = [inner for item in args if (inner := _fold(item)) is not None]
        return found[0] if len(found) == 1 else None
    if origin is list:
        return _items(args[0])
    if origin is dict:
        return _values(args[1])
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return _members(hint)
    return None


def _items(hint: Any) -> Fold:
    inner, zero = _fold(hint), _zero(hint)
    return lambda value: (
        [_one(item, inner, zero) for item in value] if isinstance(value, list) else value
    )


def _values(hint: Any) -> Fold:
    inner, zero = _fold(hint), _zero(hint)
    return lambda value: (
        {key: _one(item, inner, zero) for key, item in value.items()}
        if isinstance(value, dict)
        else value
    )


def _one(item: Any, inner: Fold | None, zero: Any) -> Any:
    if item is None:
        return zero
    return item if inner is None else inner(item)


def _zero(hint: Any) -> Any:
    """The value that Go makes of a null in a list or map of that type."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return None
    if origin is dict or (isinstance(hint, type) and issubclass(hint, msgspec.Struct)):
        return {}
    return [] if origin is list else _ZEROS.get(hint)


def _words(value: Any) -> Any:
    """A strslice: one string is a list of one."""
    return [value] if isinstance(value, str) else _items(str)(value)

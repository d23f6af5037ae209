"""``--format``: the part of Go's templates that scripts use.

``{{.A.B}}``, ``{{.List.0}}``, ``{{index .A "key"}}``, ``{{json .A}}``, ``{{json .}}``, ``{{len .A}}``,
``{{join .A ", "}}``, ``{{upper .A}}``, ``{{lower .A}}`` in any text; ``json`` alone; or a bare path ``A.B``.
"""

from __future__ import annotations

import json
import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_ACTION = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}", re.DOTALL)
_BARE_PATH = re.compile(r"\.?[A-Za-z][\w-]*(\.[\w/:-]+)*")
_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"|`([^`]*)`|(\S+)')
_ESCAPES = {"\\n": "\n", "\\t": "\t", '\\"': '"', "\\\\": "\\"}


def compile_format(text: str) -> Callable[[Any], str]:
    """A function from an object to the text ``text`` asks of it.

    Raises:
        ValueError: a word of Go's templates that is not understood here.
    """
    if text == "json":
        return _as_json
    if "{{" not in text and _BARE_PATH.fullmatch(text):
        path = text.removeprefix(".").split(".")
        return lambda value: _print(_walk(value, path))
    pieces = _ACTION.split(_unescape(text))
    for action in pieces[1::2]:
        _check(action)

    def apply(value: Any) -> str:
        made = [_evaluate(p, value) if i % 2 else p for i, p in enumerate(pieces)]
        return "".join(made)

    return apply


def _unescape(text: str) -> str:
    return text.replace("\\t", "\t").replace("\\n", "\n")


def _words(action: str) -> list[tuple[str, bool]]:
    """The words of an action; True for a quoted one."""
    words = []
    for match in _WORD.finditer(action):
        quoted, verbatim, plain = match.groups()
        if plain is not None:
            words.append((plain, False))
        elif verbatim is not None:
            words.append((verbatim, True))
        else:
            words.append((re.sub(r"\\.", lambda m: _ESCAPES.get(m[0], m[0]), quoted), True))
    return words


def _check(action: str) -> None:
    words = _words(action)
    first = words[0] if words else ("", False)
    known = first[1] or first[0].startswith(".") or first[0] in _FUNCTIONS
    if not known or (first[0].startswith(".") and len(words) > 1):
        raise ValueError(
            f"{{{{{action}}}}} is not understood here: use {{{{.Path}}}}, {{{{json .Path}}}}, "
            "index, len, join, upper or lower"
        )


def _evaluate(action: str, value: Any) -> str:
    (first, quoted), *rest = _words(action)
    if quoted:
        return first
    if first in _FUNCTIONS:
        return _print(_FUNCTIONS[first](*(_operand(word, value) for word in rest)))
    return _print(_operand((first, False), value))


def _operand(word: tuple[str, bool], value: Any) -> Any:
    text, quoted = word
    if quoted:
        return text
    if text.startswith("."):
        return _walk(value, [part for part in text.split(".") if part])
    return int(text) if text.isdecimal() else text


def _walk(value: Any, path: list[str]) -> Any:
    for name in path:
        value = _index(value, name)
    return value


def _index(value: Any, *keys: object) -> Any:
    """One or more steps down; None where there is nothing."""
    for key in keys:
        if isinstance(value, dict):
            value = value.get(str(key))
        elif isinstance(value, list) and str(key).isdecimal() and int(str(key)) < len(value):
            value = value[int(str(key))]
        else:
            return None
    return value


def _as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _print(value: Any) -> str:
    """As Go's templates print it."""
    if value is None:
        return "<no value>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + " ".join(_print(item) for item in value) + "]"
    if isinstance(value, dict):
        return "map[" + " ".join(f"{k}:{_print(v)}" for k, v in sorted(value.items())) + "]"
    return str(value)


def _join(items: Any, mark: str) -> str:
    return mark.join(_print(item) for item in items or ())


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "json": _as_json,
    "index": _index,
    "len": lambda value: len(value or ()),
    "join": _join,
    "upper": lambda value: str(value).upper(),
    "lower": lambda value: str(value).lower(),
}

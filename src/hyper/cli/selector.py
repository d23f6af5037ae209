"""``--format``: Go's templates, as docker's users write them.

The usual forms, ``{{.A.B}}`` and ``{{json .A}}`` in any text, a bare path ``A.B``, and ``json`` alone, are done here
in no time. Everything else is gotpl's, which takes 75 ms to import (decision 0005).
"""

from __future__ import annotations

import json
import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_SIMPLE = re.compile(r"\{\{\s*(json\s+)?(\.|(?:\.[A-Za-z_]\w*)+)\s*\}\}")
_BARE_PATH = re.compile(r"\.?[A-Za-z][\w-]*(\.[\w/:-]+)*")


def compile_format(text: str, *, heading: bool = False) -> Callable[[Any], str]:
    """A function from an object to its text by the template ``text``; ``heading``: for headings, which are no values.

    The function raises HyperError where an object does not fit. Raises:
        ValueError: it is not a template.
    """
    if text == "json":
        return as_json
    if "{{" not in text and _BARE_PATH.fullmatch(text):
        path = text.removeprefix(".").split(".")
        return lambda value: _print(_walk(value, path))
    text = text.replace("\\t", "\t").replace("\\n", "\n")
    if any("{{" in literal for literal in _SIMPLE.split(text)[::3]):
        from hyper.cli.template import compile_template

        return compile_template(text, heading=heading)

    def apply(value: Any) -> str:
        def replace(match: re.Match[str]) -> str:
            found = _walk(value, [name for name in match[2].split(".") if name])
            return as_json(found) if match[1] and not heading else _print(found)

        return _SIMPLE.sub(replace, text)

    return apply


def _walk(value: Any, path: list[str]) -> Any:
    """The value some steps down; None where there is none."""
    for name in path:
        if isinstance(value, dict):
            value = value.get(name)
        elif isinstance(value, list) and name.isdecimal() and int(name) < len(value):
            value = value[int(name)]
        else:
            return None
    return value


def as_json(value: Any) -> str:
    """JSON as docker's ``json`` writes it: in one line."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _print(value: Any) -> str:
    """The value as Go's templates print it."""
    if value is None:
        return "<no value>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + " ".join(_print(item) for item in value) + "]"
    if isinstance(value, dict):
        return "map[" + " ".join(f"{k}:{_print(v)}" for k, v in sorted(value.items())) + "]"
    return str(value)

"""Words of Dockerfile instructions: split as they stand, quotes taken off, variables filled in. Pure.

Source: moby/buildkit frontend/dockerfile/shell/lex.go (ProcessWord) and parser/line_parsers.go (parseWords).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from hyper.errors import InvalidRequest

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9@*#!?-]")
#: What a backslash quotes between double quotes.
_QUOTABLE: Final = ('"', "$", "\\")
#: Nested substitutions: ${a:-${b:-…}}.
_MAX_DEPTH: Final = 20


def split(text: str) -> list[str]:
    """The words of ``text``, with their quotes and backslashes."""
    words, word, quote, position = list[str](), "", "", 0
    while position < len(text):
        character = text[position]
        if character == "\\" and position + 1 < len(text) and quote != "'":
            word += text[position : position + 2]
            position += 2
            continue
        if character == quote:
            quote = ""
        elif not quote and character in "\"'":
            quote = character
        if not quote and character.isspace():
            words += [word] if word else []
            word = ""
        else:
            word += character
        position += 1
    return words + ([word] if word else [])


def expand(word: str, values: Mapping[str, str]) -> str:
    """The word ``word`` without its quotes and with the ``values`` of its variables; those without a value are empty.

    Raises:
        InvalidRequest: a quote or a brace that is not closed, a substitution that does not exist, or ``${x:?why}``.
    """
    try:
        return _Expansion(word, values, 0).whole()
    except InvalidRequest as error:
        raise InvalidRequest(f'failed to process "{word[:200]}": {error.message}') from None


class _Expansion:
    """A position in a word, and the expansion up to it."""

    def __init__(self, text: str, values: Mapping[str, str], depth: int) -> None:
        if depth > _MAX_DEPTH:
            raise InvalidRequest(f"more than {_MAX_DEPTH} substitutions within each other")
        self._text = text
        self._values = values
        self._depth = depth
        self._at = 0

    def whole(self) -> str:
        made = ""
        while self._at < len(self._text):
            character = self._next()
            if character == "'":
                made += self._single()
            elif character == '"':
                made += self._double()
            elif character == "$":
                made += self._variable()
            elif character == "\\" and self._at < len(self._text):
                made += self._next()
            else:
                made += character
        return made

    def _next(self) -> str:
        self._at += 1
        return self._text[self._at - 1]

    def _single(self) -> str:
        end = self._text.find("'", self._at)
        if end < 0:
            raise _unclosed("single-quote")
        inside, self._at = self._text[self._at : end], end + 1
        return inside

    def _double(self) -> str:
        made = ""
        while self._at < len(self._text):
            character = self._next()
            if character == '"':
                return made
            if character == "$":
                made += self._variable()
            elif character == "\\" and self._text[self._at : self._at + 1] in _QUOTABLE:
                made += self._next()
            else:
                made += character
        raise _unclosed("double-quote")

    def _variable(self) -> str:
        """The value of the variable behind a dollar; a dollar if no name follows."""
        braced = self._text[self._at : self._at + 1] == "{"
        match = _NAME.match(self._text, self._at + braced)
        if match is None:
            if braced:
                raise InvalidRequest("syntax error: bad substitution")
            return "$"
        self._at = match.end()
        value = self._values.get(match[0])
        if not braced:
            return value or ""
        rest = self._braces()
        return (value or "") if not rest else self._modified(match[0], value, rest)

    def _braces(self) -> str:
        """The text that is left up to the closing brace."""
        depth, start = 1, self._at
        while self._at < len(self._text):
            character = self._next()
            depth += (character == "{") - (character == "}")
            if depth == 0:
                return self._text[start : self._at - 1]
        raise InvalidRequest("syntax error: missing '}'")

    def _modified(self, name: str, value: str | None, rest: str) -> str:
        colon = rest.startswith(":")
        kind, word = rest[colon : colon + 1], rest[colon + 1 :]
        missing = not value if colon else value is None
        if kind not in ("-", "+", "?"):
            raise InvalidRequest(f"unsupported modifier ({rest[:2]}) in substitution")
        if kind == "?" and missing:
            raise InvalidRequest(f"{name}: {word or 'parameter not set'}"[:300])
        if missing if kind == "-" else kind == "+" and not missing:
            return _Expansion(word, self._values, self._depth + 1).whole()
        return "" if kind == "+" else value or ""


def _unclosed(what: str) -> InvalidRequest:
    return InvalidRequest(f"unexpected end of statement while looking for matching {what}")

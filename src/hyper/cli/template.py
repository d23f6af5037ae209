"""Go's templates in full, by gotpl, with the functions that docker adds (docker/cli, templates/templates.go)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gotpl

from hyper.cli.selector import as_json
from hyper.errors import InvalidRequest


def compile_template(text: str, *, heading: bool) -> Callable[[Any], str]:
    """A function from an object to its text by the template ``text``; ``heading``: ``json`` leaves a text as it is.

    The function raises InvalidRequest where an object does not fit. Raises:
        ValueError: it is not a template.
    """
    functions = _FUNCTIONS | {"json": str} if heading else _FUNCTIONS
    try:
        template = gotpl.Template(text, functions=functions)
    except gotpl.TemplateSyntaxError as error:
        raise ValueError(f"template parsing error: {error}") from error

    def render(value: Any) -> str:
        try:
            return template.render(value)
        except gotpl.TemplateExecutionError as error:
            raise InvalidRequest(str(error)) from error

    return render


def _pad(text: str, before: int, after: int) -> str:
    return " " * before + text + " " * after if text else ""


def _truncate(text: str, length: int) -> str:
    return text[:length]


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "json": as_json,
    "split": lambda text, mark: text.split(mark),
    "join": lambda items, mark: mark.join(items or ()),
    "title": lambda text: text.title(),
    "lower": lambda text: text.lower(),
    "upper": lambda text: text.upper(),
    "pad": _pad,
    "truncate": _truncate,
}

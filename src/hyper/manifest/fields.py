"""The fields of a mapping, taken one by one by their names; one not taken is an error with a guess of the right name.

Every error begins with the path of its field: ``containers[1].ports[0].hostPort``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, Final

from hyper.errors import InvalidRequest

_NOTHING: Final[tuple[object, ...]] = (None, False, 0, "", [], {})
#: Of a value, or of a name that nobody knows, in an error.
_SHOWN: Final = 60


class Fields:
    """The fields of one mapping. Those whose value is null are absent. Call ``finish`` when all known ones were taken.

    ``fold``: names are the same however they are capitalized, as in the original Hyper's files (Go's JSON).
    ``notes``: the list that warnings are added to.
    """

    def __init__(self, value: object, path: str, notes: list[str], *, fold: bool = False) -> None:
        """The fields of ``value``. Raises InvalidRequest: it is no mapping, or names a field in two ways."""
        if not isinstance(value, dict):
            raise InvalidRequest(f"{path or 'the document'}: must have fields, not {shown(value)}")
        self.path = path
        self.notes = notes
        self._fold = fold
        self._values: dict[str, Any] = {}
        self._spelled: dict[str, str] = {}
        #: Names as they should be spelled, in the order in which they were asked for.
        self._known: dict[str, str] = {}
        for name, item in value.items():
            key = self._key(name)
            if key in self._spelled:
                raise self.wrong(name, f"it is there as {self._spelled[key]}, too")
            self._spelled[key] = name
            if item is not None:
                self._values[key] = item

    def _key(self, name: str) -> str:
        return name.lower() if self._fold else name

    def at(self, name: str) -> str:
        """The path of the field ``name``, as it is spelled in the file."""
        name = self._spelled.get(self._key(name), name)[:_SHOWN]
        return f"{self.path}.{name}" if self.path else name

    def wrong(self, name: str, what: str, *, hint: str | None = None) -> InvalidRequest:
        """An error about the field ``name``."""
        return InvalidRequest(f"{self.at(name)}: {what}", hint=hint)

    def warn(self, name: str, what: str) -> None:
        """A warning about the field ``name``."""
        self.notes.append(f"{self.at(name)}: {what}")

    def given(self, *names: str) -> str | None:
        """The one of ``names``, spellings of one field, that is there; None: none. The names are known from now on.

        Raises:
            InvalidRequest: more than one is.
        """
        for name in names:
            self._known[self._key(name)] = name
        found = [name for name in names if self._key(name) in self._values]
        if len(found) > 1:
            raise self.wrong(found[1], f"it is there as {self.at(found[0])}, too")
        return found[0] if found else None

    def one_of(self, *names: str) -> str | None:
        """The one of ``names``, fields that exclude each other, that is there; None: none.

        Raises:
            InvalidRequest: more than one is.
        """
        found = [name for name in names if self.given(name)]
        if len(found) > 1:
            raise self.wrong(found[1], f"there is {found[0]}, too")
        return found[0] if found else None

    def take(self, *names: str) -> Any:
        """The value of a field as it is; None: the field is absent."""
        name = self.given(*names)
        return None if name is None else self._values[self._key(name)]

    def text(self, *names: str, default: str = "") -> str:
        """The text of a field."""
        value = self.take(*names)
        if value is None:
            return default
        return text_of(value, self.at(self._which(names)))

    def required(self, *names: str) -> str:
        """The text of a field that must be there and must not be empty."""
        text = self.text(*names)
        if not text:
            raise self.wrong(self.given(*names) or names[0], "it is missing")
        return text

    def boolean(self, *names: str, default: bool = False) -> bool:
        """Whether a field has the value true."""
        value = self.take(*names)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.wrong(self._which(names), f"must be true or false, not {shown(value)}")
        return value

    def integer(self, *names: str, default: int = 0, least: int = 0, most: int = 2**31 - 1) -> int:
        """The number of a field, from ``least`` to ``most``."""
        value = self.take(*names)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.wrong(self._which(names), f"must be a whole number, not {shown(value)}")
        if not least <= value <= most:
            raise self.wrong(self._which(names), f"must be from {least} to {most}, not {value}")
        return int(value)

    def texts(self, *names: str) -> list[str] | None:
        """The texts of a list; None: the field is absent."""
        if self.take(*names) is None:
            return None
        return [text_of(value, path) for path, value in self.elements(*names)]

    def elements(self, *names: str) -> list[tuple[str, Any]]:
        """The members of a list, each with its path."""
        value = self.take(*names)
        if value is None:
            return []
        name = self._which(names)
        if not isinstance(value, list):
            hint = 'as in ["sh", "-c", "echo hello"]' if isinstance(value, str) else None
            raise self.wrong(name, f"must be a list, not {shown(value)}", hint=hint)
        return [(f"{self.at(name)}[{number}]", item) for number, item in enumerate(value)]

    def items(self, *names: str) -> list[Fields]:
        """The mappings of a list."""
        return [self.inside(value, path) for path, value in self.elements(*names)]

    def part(self, *names: str) -> Fields | None:
        """The mapping in a field; None: the field is absent."""
        value = self.take(*names)
        return None if value is None else self.inside(value, self.at(self._which(names)))

    def inside(self, value: object, path: str) -> Fields:
        """``value`` as a mapping of the same file."""
        return Fields(value, path, self.notes, fold=self._fold)

    def table(self, *names: str) -> dict[str, str]:
        """Texts by names that the file's author chose."""
        value = self.take(*names)
        if value is None:
            return {}
        path = self.at(self._which(names))
        if not isinstance(value, dict):
            raise InvalidRequest(f"{path}: must map names to texts, not {shown(value)}")
        found = {key: text_of(item, f"{path}.{key[:_SHOWN]}") for key, item in value.items()}
        if "" in found:
            raise InvalidRequest(f"{path}: a name is empty")
        return found

    def refuse(self, names: Mapping[str, str]) -> None:
        """The fields ``names`` (name to reason) are known and not possible here.

        Raises:
            InvalidRequest: one has a value that is not empty.
        """
        for name, why in names.items():
            if self.take(name) not in _NOTHING:
                raise self.wrong(name, why)

    def ignore(self, names: Iterable[str], *, silently: bool = False) -> None:
        """The fields ``names`` are known and change nothing; one that is used is a warning."""
        for name in names:
            if self.take(name) not in _NOTHING and not silently:
                self.warn(name, "it has no effect here and was ignored")

    def finish(self) -> None:
        """A check at the end. Raises InvalidRequest: a field was not taken."""
        for key, name in self._spelled.items():
            if key not in self._known:
                raise self.wrong(name, "no such field", hint=self._meant(name))

    def _which(self, names: tuple[str, ...]) -> str:
        return self.given(*names) or names[0]

    def _meant(self, name: str) -> str | None:
        by_lower = {known.lower(): known for known in self._known.values()}
        near = difflib.get_close_matches(name[:_SHOWN].lower(), by_lower, n=1, cutoff=0.6)
        return f'did you mean "{by_lower[near[0]]}"?' if near else None


def text_of(value: object, path: str) -> str:
    """``value``, if it is a text.

    Raises:
        InvalidRequest: it is no text.
    """
    if isinstance(value, str):
        return value
    hint = "put it in quotes" if isinstance(value, (bool, int, float)) else None
    raise InvalidRequest(f"{path}: must be a text, not {shown(value)}", hint=hint)


def shown(value: object) -> str:
    """``value``, cut to a few words for an error."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return repr(value)[:_SHOWN]

"""Flags of a command: declared as data, parsed with the rules Docker's users know (pflag's).

``--name value``, ``--name=value``, ``-n value``, ``-nvalue``, ``-n=value``; booleans bundle (``-it``) and take
``=true`` or ``=false``; a value may begin with a dash; ``--`` ends the flags. In a command that runs another
(``run``, ``exec``) the first word ends them too, and everything after it is passed on untouched. argparse can do
neither (docs/decisions/0005-cli.md).
"""

from __future__ import annotations

from hyper.errors import HyperError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from hyper.cli.context import Context

_BOOLEANS = {
    **dict.fromkeys(("1", "t", "true", "True", "TRUE"), True),
    **dict.fromkeys(("0", "f", "false", "False", "FALSE"), False),
}


class LocalError(HyperError):
    """A failure of the command itself, before or without the daemon: the exit code is the same for every command."""

    exit_code = 1


class UsageError(LocalError):
    """An error in the command line; nothing was done."""

    exit_code = 2


class Flag:
    """One flag. ``names``: the short one (if any) first, then the long one it is known by, then older spellings.

    ``takes`` names its value in the help; "" makes it a boolean. ``parse`` turns the text into the value kept, or
    raises ValueError with the reason; ``many`` keeps all values given, in order.
    """

    __slots__ = ("default", "help", "key", "many", "names", "parse", "takes")

    def __init__(
        self,
        *names: str,
        help: str,
        takes: str = "",
        many: bool = False,
        parse: Callable[[str], object] | None = None,
        default: bool = False,
    ) -> None:
        self.names = names
        self.key = next(name for name in names if name.startswith("--"))
        self.help = help
        self.takes = takes
        self.many = many
        self.parse = parse
        self.default = default

    @property
    def label(self) -> str:
        """The flag's name in errors: ``-m, --memory``."""
        return ", ".join(self.names[: self.names.index(self.key) + 1])


class Command:
    """One command: its words, its flags and the function that does it and returns the exit code.

    ``words`` is the usage after the flags; ``least`` and ``most`` count the words allowed. ``passes_on``: the
    first word ends the flags. ``failure`` is the exit code when the daemon fails.
    """

    __slots__ = ("examples", "failure", "flags", "least", "most", "passes_on", "run", "words")

    def __init__(
        self,
        run: Callable[[Context, Arguments], int],
        *,
        words: str = "",
        flags: Sequence[Flag] = (),
        least: int = 0,
        most: int | None = None,
        passes_on: bool = False,
        examples: Sequence[str] = (),
        failure: int = 1,
    ) -> None:
        self.run = run
        self.words = words
        self.flags = flags
        self.least = least
        self.most = most
        self.passes_on = passes_on
        self.examples = examples
        self.failure = failure


class Arguments:
    """The arguments given: flags by their long name (with dashes), and the words."""

    def __init__(self, flags: Sequence[Flag]) -> None:
        self._values: dict[str, object] = {f.key: f.default for f in flags if not f.takes}
        self._values |= {f.key: [] if f.many else None for f in flags if f.takes}
        self.words: list[str] = []

    def on(self, key: str) -> bool:
        """Whether the boolean ``key`` is set."""
        return self._values[key] is True

    def given(self, key: str) -> bool:
        """Whether ``key`` was given a value (or, a boolean, set)."""
        value = self._values[key]
        return value is not None and value is not False and value != []

    def text(self, key: str) -> str | None:
        """The value of ``key``, None if it was not given."""
        value = self._values[key]
        return value if isinstance(value, str) else None

    def number(self, key: str) -> int | None:
        """The number given for ``key``, None if none was."""
        value = self._values[key]
        return value if isinstance(value, int) else None

    def texts(self, key: str) -> list[str]:
        """All values of ``key``, in order."""
        return self.all(key)

    def all(self, key: str) -> list[Any]:
        """All values of ``key``, in order, as its ``parse`` made them."""
        value = self._values[key]
        return value if isinstance(value, list) else []

    def value(self, key: str) -> Any:
        """The value given for ``key``, as its ``parse`` made it; None if none was."""
        return self._values[key]

    def put(self, flag: Flag, value: object) -> None:
        """Record one value of ``flag``."""
        kept = self._values[flag.key]
        if flag.many and isinstance(kept, list):
            kept.append(value)
        else:
            self._values[flag.key] = value


def parse_flags(
    argv: Sequence[str], flags: Sequence[Flag], *, passes_on: bool = False
) -> Arguments:
    """``argv`` (without the command's name) taken apart.

    Raises:
        UsageError: an unknown flag, a missing or an invalid value.
    """
    known = {name: flag for flag in flags for name in flag.names}
    arguments = Arguments(flags)
    rest = list(reversed(argv))
    while rest:
        word = rest.pop()
        if word == "--":
            arguments.words += reversed(rest)
            break
        if len(word) < 2 or word[0] != "-":
            arguments.words.append(word)
            if passes_on:
                arguments.words += reversed(rest)
                break
        elif word.startswith("--"):
            _take_long(word, known, arguments, rest)
        else:
            _take_short(word, known, arguments, rest)
    return arguments


def _take_long(word: str, known: dict[str, Flag], arguments: Arguments, rest: list[str]) -> None:
    name, equals, value = word.partition("=")
    flag = known.get(name)
    if flag is None:
        raise _unknown(name, known)
    _store(flag, value if equals else None, arguments, rest)


def _take_short(word: str, known: dict[str, Flag], arguments: Arguments, rest: list[str]) -> None:
    letters = word[1:]
    while letters:
        flag = known.get("-" + letters[0])
        if flag is None:
            raise _unknown("-" + letters[0], known, word)
        letters = letters[1:]
        if flag.takes or letters.startswith("="):
            value = letters.removeprefix("=") if letters else None
            _store(flag, value, arguments, rest)
            return
        arguments.put(flag, True)


def _store(flag: Flag, value: str | None, arguments: Arguments, rest: list[str]) -> None:
    if not flag.takes:
        if value is not None and value not in _BOOLEANS:
            raise UsageError(f"invalid value {value!r} for {flag.label}: must be true or false")
        arguments.put(flag, True if value is None else _BOOLEANS[value])
        return
    if value is None:
        if not rest:
            raise UsageError(f"flag {flag.label} needs a value: {flag.takes}")
        value = rest.pop()
    try:
        arguments.put(flag, flag.parse(value) if flag.parse else value)
    except ValueError as error:
        raise UsageError(f"invalid value {value!r} for {flag.label}: {error}") from error


def _unknown(name: str, known: dict[str, Flag], word: str = "") -> UsageError:
    where = f" in {word}" if word and word != name else ""
    return UsageError(
        f"unknown flag: {name}{where}", hint=suggestion(name, [k for k in known if len(k) > 2])
    )


def suggestion(word: str, known: Sequence[str]) -> str | None:
    """ "did you mean …?" with the nearest of ``known``, None if none is near."""
    import difflib  # only in this error

    near = difflib.get_close_matches(word, known, n=2, cutoff=0.6)
    return f"did you mean {' or '.join(near)}?" if near else None


def whole_number(text: str) -> int:
    """A flag's ``parse``: a decimal integer, maybe negative."""
    try:
        return int(text)
    except ValueError:
        raise ValueError("not a whole number") from None

"""Flags as pflag reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyper.cli.flags import Arguments, Flag, UsageError, parse_flags, whole_number

FLAGS = (
    Flag("-i", "--interactive", help=""),
    Flag("-t", "--tty", help=""),
    Flag("--rm", help=""),
    Flag("--sig-proxy", default=True, help=""),
    Flag("-e", "--env", takes="X", many=True, help=""),
    Flag("--name", takes="X", help=""),
    Flag("-n", "--tail", takes="N", parse=whole_number, help=""),
)


def parse(*argv: str, passes_on: bool = False) -> Arguments:
    return parse_flags(argv, FLAGS, passes_on=passes_on)


def test_booleans_bundle_and_take_values() -> None:
    given_flags = parse("-it", "--rm=false", "--sig-proxy=false")
    assert given_flags.on("--interactive")
    assert given_flags.on("--tty")
    assert not given_flags.on("--rm")
    assert not given_flags.on("--sig-proxy")
    assert parse().on("--sig-proxy")
    assert not parse("-i=false").on("--interactive")


@pytest.mark.parametrize(
    "argv", [("-e", "A=b"), ("-eA=b",), ("-e=A=b",), ("--env", "A=b"), ("--env=A=b",), ("-ite", "A=b"), ("-iteA=b",)]
)  # fmt: skip
def test_spellings_of_a_value(argv: tuple[str, ...]) -> None:
    assert parse(*argv).texts("--env") == ["A=b"]


def test_a_value_may_begin_with_a_dash_or_be_empty() -> None:
    assert parse("--name", "--rm").text("--name") == "--rm"
    assert parse("--name", "-x").text("--name") == "-x"
    assert parse("-n", "-1").number("--tail") == -1
    assert parse("--name=").text("--name") == ""
    assert parse("-n", "0").given("--tail")


def test_words_and_flags_mix_unless_passed_on() -> None:
    mixed = parse("web", "-t", "two", "--", "-i")
    assert mixed.words == ["web", "two", "-i"]
    assert mixed.on("--tty")
    passed = parse("-t", "image", "-i", "--", "x", passes_on=True)
    assert passed.words == ["image", "-i", "--", "x"]
    assert not passed.on("--interactive")
    assert parse("--", "-i", "-t", passes_on=True).words == ["-i", "-t"]
    assert parse("-").words == ["-"]


@pytest.mark.parametrize(
    ("argv", "reason"),
    [
        (("--nope",), "unknown flag: --nope"),
        (("-ix",), "unknown flag: -x in -ix"),
        (("--name",), "needs a value"),
        (("--rm=maybe",), "true or false"),
        (("-n", "many"), "not a whole number"),
        (("--nam", "x"), "did you mean --name"),
    ],
)
def test_mistakes_are_named(argv: tuple[str, ...], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        parse(*argv)


@given(st.lists(st.text()))
def test_what_follows_the_first_word_is_untouched(words: list[str]) -> None:
    assert parse("-t", "image", *words, passes_on=True).words == ["image", *words]


@given(st.lists(st.text(max_size=4)))
def test_any_words_parse_or_are_refused(words: list[str]) -> None:
    try:
        parse(*words)
    except UsageError as error:
        assert error.exit_code == 2

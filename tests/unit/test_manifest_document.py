"""YAML and JSON to plain data: what scalars mean, and every bound."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hyper.errors import InvalidRequest
from hyper.manifest.document import MAX_BYTES, MAX_DEPTH, MAX_NODES, Octal, documents


def one(text: str) -> Any:
    (found,) = documents(text.encode())
    return found


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("-1", -1),
        ("0", 0),
        ("0x1F", 31),
        ("0644", 0o644),
        ("0o644", 0o644),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        ("true", True),
        ("False", False),
        ("no", "no"),
        ("on", "on"),
        ("2024-01-01", "2024-01-01"),
        ("12:30:45", "12:30:45"),
        (".inf", ".inf"),
        ("1_000", "1_000"),
        ("089", "089"),
        ('"1"', "1"),
        ("!!str 1", "1"),
        ("null", None),
        ("~", None),
        ("", None),
        ("1" * 30, "1" * 30),
        ("'no: such'", "no: such"),
        ("|\n  a\n  b\n", "a\nb\n"),
    ],
)
def test_scalars_mean_what_they_mean_to_kubernetes(text: str, value: object) -> None:
    found = one(f"a: {text}")["a"]
    assert (found, type(found) in (type(value), Octal)) == (value, True)


def test_only_octal_digits_are_marked_as_such() -> None:
    """A mode that was written ``644`` must be told from ``0644``."""
    found = one("[0644, 0o644, 644, 420]")
    assert [isinstance(item, Octal) for item in found] == [True, True, False, False]


def test_json_is_read_with_tabs_and_pairs_of_surrogates() -> None:
    assert one('{\n\t"a": "\\ud83d\\ude00", "b": [1, 2.5, null]\n}') == {
        "a": "\N{GRINNING FACE}",
        "b": [1, 2.5, None],
    }


def test_yaml_in_braces_is_no_json_and_is_read() -> None:
    assert one("{a: b}") == {"a": "b"}


def test_documents_are_kept_in_order_and_empty_ones_left_out() -> None:
    assert documents(b"---\na: 1\n---\n---\nb: 2\n...\n") == [{"a": 1}, {"b": 2}]
    assert documents(b"") == documents(b"# nothing\n") == []


def test_aliases_and_merges_are_followed() -> None:
    text = "base: &b {x: 1, y: 2}\nmade: {<<: *b, y: 3}\nboth: {<<: [{x: 9}, *b]}\nlist: [*b]\n"
    found = one(text)
    assert found["made"] == {"x": 1, "y": 3}
    assert found["both"] == {"x": 9, "y": 2}
    assert found["list"] == [{"x": 1, "y": 2}]


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 30)
)
#: Each merge copies what it merges.
MERGES = f"a: &a {{{', '.join(f'k{n}: 1' for n in range(1000))}}}\nb: [{'{<<: *a}, ' * 60}]"
REFUSED = [
    ("a: 1\na: 2", "line 2: the field 'a' is there twice"),
    ('{"a": 1, "a": 2}', "the field 'a' is there twice"),
    (MERGES, f"more than {MAX_NODES} values are merged"),
    (BOMB, f"more than {MAX_NODES} values"),
    ("[" * (MAX_DEPTH + 2) + "]" * (MAX_DEPTH + 2), "nested more than"),
    ("[" * 5000 + "]" * 5000, "nested more than"),
    ('{"a":' * 100_000 + "1" + "}" * 100_000, "nested more than"),
    ("a: &a [*a]", "there is no anchor 'a' before"),
    ("a: *b", "no anchor"),
    ("a: !!python/object/apply:os.system [x]", "the tag"),
    ("!!binary aGk=", "the tag"),
    ("a: !!int '1'", "the tag"),
    ("? [a]\n: b", "the name of a field must be a text"),
    ("a: b\n  c: d\n", "line 2"),
    ("{a: b", "line"),
    ('{"a" 1}', "line 1"),
    ('{"a": NaN}', "NaN is no number"),
    ('{"a": 123456789012345678901}', "too large"),
    ('{"a": "\\ud800"}', "character"),
    ('{"a\\u0000": 1}', "character"),
    ('a: "\\0"', "character"),
    ("a: {<<: 1}", "<< takes a mapping"),
    ("---\na\n" * 101, "more than 100 documents"),
    ("%YAML 9.9\n---\na\n", "line 1"),
]


@pytest.mark.parametrize(("text", "words"), REFUSED, ids=[words for _, words in REFUSED])
def test_what_is_refused(text: str, words: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        documents(text.encode())
    assert words in caught.value.message


@pytest.mark.parametrize("data", [b"\xff\xfe", b"a: \x80", b"a: \x01"])
def test_what_is_no_text_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidRequest):
        documents(data)


def test_size_is_bounded() -> None:
    with pytest.raises(InvalidRequest, match="longer than"):
        documents(b" " * (MAX_BYTES + 1))
    many = json.dumps(["x"] * (MAX_NODES + 1))
    with pytest.raises(InvalidRequest, match="values"):
        documents(many.encode())

"""Laws of references."""

from __future__ import annotations

import contextlib

from hypothesis import example, given
from hypothesis import strategies as st

from hyper.errors import InvalidRequest
from hyper.image.reference import parse

_COMPONENT = st.from_regex(r"[a-z0-9]{1,9}((\.|_|__|-{1,3})[a-z0-9]{1,9}){0,2}", fullmatch=True)
_HOSTS = st.sampled_from(["", "localhost/", "r.example.org/", "10.0.0.1:5000/", "docker.io/", "X/"])
_TAGS = st.one_of(st.just(""), st.from_regex(r":[A-Za-z0-9_][A-Za-z0-9_.-]{0,9}", fullmatch=True))
_DIGESTS = st.one_of(st.just(""), st.from_regex(r"@sha256:[0-9a-f]{64}", fullmatch=True))


@example("", ["0.0_0", "0"], "", "")
@given(_HOSTS, st.lists(_COMPONENT, min_size=1, max_size=3), _TAGS, _DIGESTS)
def test_what_is_printed_means_the_same(host: str, path: list[str], tag: str, digest: str) -> None:
    text = host + "/".join(path) + tag + digest
    try:
        reference = parse(text)
    except InvalidRequest:
        looks_like_an_id = len("/".join(path)) == 64
        # The dot makes a host of it, and no host has the other.
        no_host = not host and len(path) > 1 and {".", "_"} <= set(path[0])
        assert looks_like_an_id or no_host
        return
    assert parse(str(reference)) == reference
    assert (reference.tag or "") == tag.removeprefix(":")
    assert (reference.digest or "") == digest.removeprefix("@")


@given(st.text(max_size=300))
def test_anything_is_parsed_or_refused(text: str) -> None:
    with contextlib.suppress(InvalidRequest):
        reference = parse(text)
        assert parse(str(reference)) == reference
        assert "/" in reference.name

"""References: distribution/reference's own examples."""

from __future__ import annotations

import pytest

from hyper.errors import InvalidRequest
from hyper.image.reference import parse, parse_tag

D = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "whole", "familiar"),
    [
        ("nginx", "docker.io/library/nginx", "nginx"),
        ("nginx:1.25", "docker.io/library/nginx:1.25", "nginx:1.25"),
        ("library/nginx", "docker.io/library/nginx", "nginx"),
        ("docker.io/nginx", "docker.io/library/nginx", "nginx"),
        ("index.docker.io/nginx", "docker.io/library/nginx", "nginx"),
        ("index.docker.io/user/x", "docker.io/user/x", "user/x"),
        ("user/x", "docker.io/user/x", "user/x"),
        ("localhost/x", "localhost/x", "localhost/x"),
        ("localhost:5000/x:y", "localhost:5000/x:y", "localhost:5000/x:y"),
        ("127.0.0.1:5000/x", "127.0.0.1:5000/x", "127.0.0.1:5000/x"),
        ("[::1]:5000/x", "[::1]:5000/x", "[::1]:5000/x"),
        ("ghcr.io/a/b/c", "ghcr.io/a/b/c", "ghcr.io/a/b/c"),
        ("HOST/x", "HOST/x", "HOST/x"),
        (f"nginx@{D}", f"docker.io/library/nginx@{D}", f"nginx@{D}"),
        (f"r.io/a:t@{D}", f"r.io/a:t@{D}", f"r.io/a:t@{D}"),
        ("a__b/c.d-e---f", "docker.io/a__b/c.d-e---f", "a__b/c.d-e---f"),
        ("x:" + "t" * 128, "docker.io/library/x:" + "t" * 128, "x:" + "t" * 128),
        ("library/a/b", "docker.io/library/a/b", "library/a/b"),
    ],
)
def test_normalises(text: str, whole: str, familiar: str) -> None:
    reference = parse(text)
    assert str(reference) == whole
    assert reference.familiar == familiar
    assert parse(whole) == reference


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "invalid reference format"),
        (":tag", "invalid reference format"),
        ("a:", "invalid reference format"),
        ("a::b", "invalid reference format"),
        ("-a", "invalid reference format"),
        ("a-", "invalid reference format"),
        ("a..b", "invalid reference format"),
        ("a___b", "invalid reference format"),
        ("a//b", "invalid reference format"),
        ("a/", "invalid reference format"),
        ("a b", "invalid reference format"),
        ("a\n", "invalid reference format"),
        ("x:" + "t" * 129, "invalid reference format"),
        ("a@sha256:abc", "invalid reference format"),
        ("Nginx", "invalid reference format: repository name (library/Nginx) must be lowercase"),
        ("r.io/A", "invalid reference format: repository name (A) must be lowercase"),
        ("a" * 64, f"invalid repository name ({'a' * 64}), cannot specify 64-byte hexadecimal strings"),
        ("r.io/" + "a" * 251, "repository name must not be more than 255 characters"),
        ("a@sha256:" + "a" * 32, "invalid checksum digest length"),
        ("a@md9:" + "a" * 32, "unsupported digest algorithm"),
        ("a@sha256:" + "A" * 64, "invalid checksum digest format"),
        ("naïve", "invalid reference format"),
        ("a:ü", "invalid reference format"),
        ("x٣", "invalid reference format"),
    ],
)  # fmt: skip
def test_refuses(text: str, message: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse(text)
    assert str(caught.value) == message


def test_defaults() -> None:
    assert parse("a").with_default_tag().familiar == "a:latest"
    assert parse(f"a@{D}").with_default_tag().familiar == f"a@{D}"
    assert parse(f"a:b@{D}").with_digest(D).familiar == f"a@{D}"


def test_tags() -> None:
    assert str(parse_tag("a", "")) == "docker.io/library/a:latest"
    assert str(parse_tag("a:b", "")) == "docker.io/library/a:b"
    assert str(parse_tag("r.io/a", "c")) == "r.io/a:c"
    with pytest.raises(InvalidRequest, match="invalid tag format"):
        parse_tag("a", "-x")
    with pytest.raises(InvalidRequest, match="digest reference"):
        parse_tag(f"a@{D}", "x")

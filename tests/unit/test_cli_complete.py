"""What a word on the command line may become, as far as no daemon is needed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyper.cli.complete import complete
from hyper.cli.context import Context


def becomes(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    assert complete(Context(host="unix:///nowhere"), words) == 0
    return [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize(
    ("words", "made"),
    [
        (["renam"], ["rename"]),
        (["-D", "-H", "x", "renam"], ["rename"]),
        (["help", "renam"], ["rename"]),
        (["volume", "p"], ["prune"]),
        (["volume", "create", "--dr"], ["--driver"]),
        (["container", "ls", "--no"], ["--no-trunc"]),
        (["run", "--read"], ["--read-only"]),
        (["run", "busybox", "--read"], [":files"]),
        (["run", "--pull=n"], ["--pull=never"]),
        (["run", "--pull", "n"], ["never"]),
        (["run", "--restart", "on"], ["on-failure"]),
        (["save", "-o", ""], [":files"]),
        (["completion", "f"], ["fish"]),
        (["rm", ""], []),
        (["nosuch", ""], []),
        (["version", ""], []),
    ],
)
def test_words(words: list[str], made: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert becomes(capsys, *words) == made


@given(
    st.lists(
        st.sampled_from(
            ["run", "cp", "-", "--", "--pull", "-x", "volume", "", "=", "a:b", "help", "-e"]
        )
    )
)
def test_any_words_are_answered(words: list[str]) -> None:
    assert complete(Context(host="unix:///nowhere"), words) == 0

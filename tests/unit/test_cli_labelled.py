"""Lines of several containers in one output."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyper.cli import labelled
from hyper.cli.labelled import MAX_LINE, Labelled


def test_one_container_writes_as_it_is(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    output = Labelled(["web"])
    output.write("web", 1, b"no end")
    output.write("web", 2, b"\x1b[0m\r")
    output.end("web")
    assert capfdbinary.readouterr() == (b"no end", b"\x1b[0m\r")


def test_lines_of_several_have_their_names(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """Each stream keeps its lines whole, however they come; what is left at the end is a line."""
    output = Labelled(["web", "cache"])
    output.write("web", 1, b"one\ntw")
    output.write("cache", 1, b"first\n")
    output.write("web", 2, b"error\n")
    output.write("web", 1, b"o\nrest")
    output.end("web")
    output.end("web")
    out, err = capfdbinary.readouterr()
    assert out == b"web   | one\ncache | first\nweb   | two\nweb   | rest\n"
    assert err == b"web   | error\n"


def test_a_line_without_end_is_broken(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    output = Labelled(["a", "b"])
    output.write("a", 1, b"x" * (MAX_LINE + 1))
    assert capfdbinary.readouterr().out == b"a | " + b"x" * (MAX_LINE + 1) + b"\n"


@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.sampled_from([b"", b"x", b"\n", b"yy\nz"])), max_size=20
    )
)
def test_every_byte_is_written_once(pieces: list[tuple[str, bytes]]) -> None:
    """Without its labels each container's output is what it wrote, and a line feed if the last line had none."""
    written: list[bytes] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(labelled, "_write", lambda descriptor, data: written.append(data))
        output = Labelled(["a", "b"])
        for name, data in pieces:
            output.write(name, 1, data)
        for name in "ab":
            output.end(name)
    lines = b"".join(written).splitlines()
    for name in "ab":
        wrote = b"".join(data for box, data in pieces if box == name)
        label = f"{name} | ".encode()
        assert [
            line.removeprefix(label) for line in lines if line.startswith(label)
        ] == wrote.split(b"\n")[: wrote.count(b"\n")] + (
            [wrote.split(b"\n")[-1]] if wrote.split(b"\n")[-1] else []
        )

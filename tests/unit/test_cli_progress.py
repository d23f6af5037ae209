"""How a pull shows itself: on a terminal, and elsewhere."""

from __future__ import annotations

import io

import pytest

from hyper.cli.progress import Display, follow
from hyper.client.errors import ApiError

LAYER = {"id": "abc", "progressDetail": {"current": 5_000_000, "total": 10_000_000}}


class Screen(io.StringIO):
    """A terminal that keeps what it was sent."""

    def isatty(self) -> bool:
        return True


def test_plain_lines_leave_progress_out() -> None:
    output = io.StringIO()
    stream = [
        {"status": "Pulling from x", "id": "latest"},
        {"status": "Pulling fs layer", "id": "abc", "progressDetail": {}},
        {"status": "Downloading", **LAYER},
        {"status": "Pull complete", "id": "abc", "progressDetail": {}},
        {"status": "Status: done"},
    ]
    follow(stream, output)
    assert output.getvalue() == (
        "latest: Pulling from x\nabc: Pulling fs layer\nabc: Pull complete\nStatus: done\n"
    )


def test_a_terminal_gets_bars_that_are_painted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    output = Screen()
    display = Display(output)
    display.show({"status": "Downloading", **LAYER})
    display.show({"status": "Pull complete", "id": "abc", "progressDetail": {}})
    text = output.getvalue()
    assert text.count("\n") == 1
    assert "━" * 15 + " " * 15 + "] 5MB/10MB" in text
    assert text.endswith("\x1b[1A\r\x1b[2Kabc: Pull complete\x1b[1B\r")


def test_lines_that_scrolled_away_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    output = Screen()
    display = Display(output)
    for number in range(30):
        display.show({"status": "Waiting", "id": f"layer{number}", "progressDetail": {}})
    before = output.getvalue()
    display.show({"status": "Done", "id": "layer0", "progressDetail": {}})
    assert output.getvalue() == before


@pytest.mark.parametrize(
    "message", [{"error": "denied"}, {"errorDetail": {"message": "denied"}, "error": "x"}]
)
def test_an_error_in_the_stream_is_one(message: dict[str, object]) -> None:
    with pytest.raises(ApiError, match="denied"):
        follow([{"status": "Pulling"}, message], None)

"""Traces of failed tests, by tests that fail on purpose in a pytest of their own."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from tests.support import traces
from tests.support.traces import Traces, TracesPlugin, copy_small_files

pytest_plugins = ["pytester"]

#: A daemon's folder for all tests of a file, and what happens with it.
SOURCE = """
import contextlib
import pytest
from pathlib import Path

@pytest.fixture(scope="session")
def shared(traces, tmp_path_factory):
    folder = tmp_path_factory.mktemp("hyperd-1")
    (folder / "vm").mkdir()
    (folder / "hyperd.log").write_text("serves\\n")
    with traces.watched(folder), traces.told("m.console", lambda: "panic\\n"):
        yield folder

@pytest.fixture
def daemon(shared):
    (shared / "vm/machine.json").write_text("{}")
    yield shared
    (shared / "vm/machine.json").unlink()
    (shared / "hyperd.log").write_text("serves\\nmachine m has ended\\n")
"""


class Outer:
    """A pytest in the test's folder whose traces are in ``kept``."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self._pytester = pytester
        self.kept = pytester.path / "kept"
        self._traces = Traces(self.kept)

    @pytest.fixture(scope="session")
    def traces(self) -> Traces:
        """The traces, for the inner tests."""
        return self._traces

    def run(self, tests: str) -> pytest.RunResult:
        """The result of a run of the file ``test_it.py``."""
        self._pytester.makepyfile(test_it=SOURCE + tests)
        plugins = [TracesPlugin(self._traces), self]
        return self._pytester.runpytest_inprocess("-p", "no:asyncio", plugins=plugins)

    def files(self) -> dict[str, str]:
        """What was kept, by paths."""
        return {
            str(path.relative_to(self.kept)): path.read_text()
            for path in sorted(self.kept.rglob("*"))
            if path.is_file()
        }


@pytest.fixture
def outer(pytester: pytest.Pytester) -> Outer:
    """A pytest that fails when it is told to."""
    return Outer(pytester)


def test_traces_of_a_failed_test_are_kept_and_reported(outer: Outer) -> None:
    """The run folder as it was when the test failed, the log as it was when its containers had ended."""
    result = outer.run("def test_breaks(daemon): assert False\ndef test_holds(daemon): pass\n")
    result.assert_outcomes(failed=1, passed=1)
    place = outer.kept / "test_it.py-test_breaks"
    result.stdout.fnmatch_lines(["*traces of the failed test*", str(place)])
    assert outer.files() == {
        "test_it.py-test_breaks/hyperd-10/hyperd.log": "serves\nmachine m has ended\n",
        "test_it.py-test_breaks/hyperd-10/vm/machine.json": "{}",
        "test_it.py-test_breaks/m.console": "panic\n",
    }


def test_traces_of_passed_tests_are_absent(outer: Outer) -> None:
    """Neither a pass nor an expected failure nor a skip keeps anything, also where an exception was wanted."""
    result = outer.run("""
def test_passes(daemon): pass

@pytest.mark.xfail
def test_is_known(daemon): assert False

def test_skips(daemon): pytest.skip("no")

def test_expects(traces, shared):
    with pytest.raises(ValueError), traces.watched(shared):
        raise ValueError
""")
    result.assert_outcomes(passed=2, xfailed=1, skipped=1)
    assert outer.files() == {}


def test_traces_of_a_daemon_that_ends_in_the_test_are_kept(outer: Outer) -> None:
    """Its folder is gone when pytest hears of the failure."""
    outer.run("""
def test_own(traces, tmp_path):
    own = tmp_path / "hyperd-own"
    own.mkdir()
    (own / "hyperd.log").write_text("own\\n")
    try:
        with traces.watched(own):
            assert False
    finally:
        (own / "hyperd.log").unlink()
""").assert_outcomes(failed=1)
    assert outer.files() == {"test_it.py-test_own/hyperd-own/hyperd.log": "own\n"}


@pytest.mark.parametrize("when", ["setup", "teardown"])
def test_traces_of_a_failed_fixture_are_kept(outer: Outer, when: str) -> None:
    """A daemon that a fixture cannot use, or that does not end well, is looked at as well."""
    body = "assert False; yield" if when == "setup" else "yield; assert False"
    result = outer.run(f"""
@pytest.fixture
def bad(shared):
    {body}

def test_it(bad): pass
def test_later(shared): pass
""")
    result.assert_outcomes(errors=1, passed=1 + (when == "teardown"))
    assert outer.files()["test_it.py-test_it/hyperd-10/hyperd.log"] == "serves\n"


def test_traces_of_an_earlier_run_are_replaced(outer: Outer) -> None:
    """A test that passes now has no traces from when it failed."""
    outer.run("def test_it(daemon): assert False\n")
    assert outer.files() != {}
    outer.run("def test_it(daemon): pass\n")
    assert outer.files() == {}


def test_traces_of_the_oldest_tests_go_when_there_are_too_many(
    outer: Outer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many tests as may have traces have them: those that failed last."""
    monkeypatch.setattr(traces, "MAX_TESTS", 2)
    outer.run("@pytest.mark.parametrize('n', range(4))\ndef test_it(n, daemon): assert False\n")
    assert {path.name for path in outer.kept.iterdir()} == {
        "test_it.py-test_it-2",
        "test_it.py-test_it-3",
    }


def test_copies_are_bounded_and_without_disks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a long log the end; no other long file, no disk, no image, no link, no socket; no more than so many bytes."""
    monkeypatch.setattr(traces, "MAX_FILE_BYTES", 10)
    monkeypatch.setattr(traces, "MAX_BYTES", 24)
    source = tmp_path / "s"
    (source / "data/image").mkdir(parents=True)
    for name, text in {
        "hyperd.log": "x" * 100 + "the end...",
        "memory": "x" * 11,
        "data/scratch.ext4": "disk",
        "data/image/layer": "image",
        "data/a": "12345",
        "data/b": "123456",
        "data/c": "1234567890",
    }.items():
        (source / name).write_text(text)
    (source / "link").symlink_to("/etc/passwd")
    os.mkfifo(source / "fifo")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(source / "sock"))
        copy_small_files(source, tmp_path / "t")
    copies = {path.name: path.read_text() for path in (tmp_path / "t").rglob("*") if path.is_file()}
    assert copies == {"hyperd.log": "the end...", "a": "12345", "b": "123456"}

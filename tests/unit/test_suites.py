"""The lists of what other people's suites may do wrong: compared as they say, and the page about them is the data's."""

from __future__ import annotations

import json
import re

from tests.suites import expectation
from tests.suites.catalogue import SUITES
from tests.suites.expectation import Expectation
from tests.suites.outcome import Outcome, read_report

REPORT = b"""<testsuites><testsuite>
<testcase classname="tests.integration.a_test.T" name="good" time="1"/>
<testcase classname="tests.integration.a_test.T" name="bad"><failure message="why&#10;more"/></testcase>
<testcase classname="tests.integration.a_test.T" name="undone"/>
<testcase classname="tests.integration.a_test.T" name="undone"><error message="tear-down"/></testcase>
<testcase classname="tests.integration.a_test" name="left"><skipped message="not here"/></testcase>
</testsuite></testsuites>"""


def test_the_page_shows_the_data() -> None:
    """To write it anew: make conformance ARGS=--write."""
    page = expectation.PAGE.read_text()
    told = [expectation.load(suite.home) for suite in SUITES]
    assert expectation.with_sections(page, told) == page


def test_every_suite_is_pinned() -> None:
    """What a suite installs has a hash: requirements, source distributions, npm packages."""
    for suite in SUITES:
        for file in suite.home.glob("requirements.txt"), suite.home.glob("sdist.txt"):
            text = "".join(path.read_text() for path in file)
            lines = [line for line in text.splitlines() if re.match(r"[a-z]", line)]
            assert text.count("--hash=sha256:") >= len(lines)
        for lock in suite.home.glob("package-lock.json"):
            packages = json.loads(lock.read_text())["packages"]
            assert all("integrity" in one for name, one in packages.items() if name)


def test_a_report() -> None:
    """Passed, failed, failed in its tear-down, skipped."""
    found = {
        one.test: (one.verdict, one.complaint)
        for one in read_report("a_test", "tests.integration.a_test", REPORT)
    }
    assert found == {
        "a_test::T::good": ("passed", ""),
        "a_test::T::bad": ("failed", "why"),
        "a_test::T::undone": ("failed", "tear-down"),
        "a_test::left": ("skipped", "not here"),
    }


def test_surprises() -> None:
    """Every way to differ from the list, and no other."""
    expected = Expectation(
        {"x::*": "", "a::out": ""}, {"a::bad": "", "a::mended": "", "a::gone": ""}, {"a::may": ""}
    )
    outcomes = [
        Outcome("a::good", "passed"),
        Outcome("a::bad", "failed"),
        Outcome("a::mended", "passed"),
        Outcome("a::broken", "failed", "why"),
        Outcome("a::may", "failed"),
        Outcome("a::out", "failed"),
        Outcome("x::all", "failed"),
        Outcome("a::left", "skipped", "why"),
    ]
    assert expected.surprises(outcomes) == [
        "failed, should pass: a::broken: why",
        "skipped, should be excluded: a::left: why",
        "passed, is listed as failing: a::mended",
    ]
    assert expected.unknown(outcomes) == ["listed, but there is none: a::gone"]

"""What a suite is expected to do (expected.toml), compared with what it did, and told in docs/api-compat.md."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from tests.suites.outcome import Outcome

PAGE = Path(__file__).parents[2] / "docs/api-compat.md"
_BEGIN = "<!-- suites: made by `make conformance ARGS=--write`; the data is tests/suites/*/expected.toml -->"
_END = "<!-- suites: end -->"


@dataclass(frozen=True)
class Expectation:
    """Reasons by test. ``excluded`` names may be patterns; such a test is not counted, and if a whole file, not run.

    ``fails``: runs, counts, and must fail. ``varies``: may do either, for a reason that is not ours. ``goal``: the
    share of the tests that count which has to pass. ``title`` and ``text`` tell readers what the suite is.
    """

    excluded: dict[str, str]
    fails: dict[str, str]
    varies: dict[str, str]
    title: str = ""
    text: str = ""
    goal: float = 0.0

    def excludes(self, test: str) -> bool:
        """Whether ``test`` (or a whole file, ``FILE::*``) does not count."""
        return any(fnmatchcase(test, pattern) for pattern in self.excluded)

    def surprises(self, outcomes: Iterable[Outcome]) -> list[str]:
        """One line for each test that did not do what was expected; each expected failure that was not there too."""
        counted = {one.test: one for one in outcomes if not self.excludes(one.test)}
        lines = []
        for test, one in sorted(counted.items()):
            if test in self.varies:
                continue
            if one.verdict == "failed" and test not in self.fails:
                lines.append(f"failed, should pass: {test}: {one.complaint}")
            if one.verdict == "passed" and test in self.fails:
                lines.append(f"passed, is listed as failing: {test}")
            if one.verdict == "skipped":
                lines.append(f"skipped, should be excluded: {test}: {one.complaint}")
        return lines

    def unknown(self, outcomes: Iterable[Outcome]) -> list[str]:
        """Tests that are listed and are not there."""
        names = {one.test for one in outcomes}
        return [
            f"listed, but there is none: {test}"
            for test in sorted({*self.fails, *self.varies} - names)
        ]

    def section(self) -> str:
        """What docs/api-compat.md says about the suite."""
        tables = [
            ("Expected to fail", self.fails),
            ("May pass or fail", self.varies),
            ("Not counted", self.excluded),
        ]
        lines = [f"## {self.title}", "", self.text.strip(), ""]
        for title, rows in tables:
            if rows:
                lines += [f"### {title}: {self.title}", "", "| test | reason |", "|---|---|"]
                lines += [f"| `{test}` | {reason} |" for test, reason in rows.items()]
                lines.append("")
        return "\n".join(lines)


def load(home: Path, *, engine: str = "hyperd") -> Expectation:
    """The expectation for ``engine`` of the suite in the folder ``home``: dockerd's has failures of its own."""
    data = tomllib.loads((home / "expected.toml").read_text())
    own = data.get(engine, {})
    return Expectation(
        data.get("excluded", {}), own.get("fails", {}), own.get("varies", {}), **data["about"]
    )


def with_sections(page: str, expectations: Iterable[Expectation]) -> str:
    """``page`` with the sections of all suites in the place that is marked for them."""
    before, _, rest = page.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    sections = "\n".join(one.section() for one in expectations)
    return f"{before}{_BEGIN}\n\n{sections}\n{_END}{after}"

"""``python -m tests.suites``: run the suites, say what was not as expected; the exit code is 1 then."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.suites import expectation, newest
from tests.suites.catalogue import BY_NAME, SUITES
from tests.suites.engine import Served, engine
from tests.suites.outcome import Outcome
from tests.suites.suite import Suite
from tests.support.programs import add_unpacked_programs


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code: 0 when everything was as expected."""
    options = _parser().parse_args(argv)
    if options.write:
        page = expectation.PAGE.read_text()
        told = [expectation.load(suite.home) for suite in SUITES]
        expectation.PAGE.write_text(expectation.with_sections(page, told))
        return 0
    chosen = _chosen(options.suites)
    for suite in chosen:
        suite.environment.prepare()
        if suite.newest:
            newest.prepare()
    if options.prepare:
        return 0
    if options.dockerd and not options.inside:
        _move_to_own_network(sys.argv[1:] if argv is None else argv)
    add_unpacked_programs()
    return max(_run_suite(suite, files, options) for suite, files in chosen.items())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.suites", description=__doc__)
    parser.add_argument(
        "suites", nargs="*", help="SUITE or SUITE:FILE, without ending (default: all)"
    )
    parser.add_argument("-k", default="", help="the runner's expression: only these tests")
    parser.add_argument("--patience", type=int, default=1, help="a factor for all time-outs")
    parser.add_argument("--dockerd", action="store_true", help="run against Debian's dockerd")
    parser.add_argument("--prepare", action="store_true", help="only fetch what they need")
    parser.add_argument("--write", action="store_true", help="only renew docs/api-compat.md")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    return parser


def _chosen(words: Iterable[str]) -> dict[Suite, list[str]]:
    """The files that were asked for by suite; none for all of a suite."""
    chosen: dict[Suite, list[str]] = {}
    for word in list(words) or list(BY_NAME):
        name, _, file = word.partition(":")
        if name not in BY_NAME:
            raise SystemExit(f"there is no suite {name}: {', '.join(BY_NAME)}")
        chosen.setdefault(BY_NAME[name], []).extend([file] if file else [])
    return chosen


def _move_to_own_network(words: Sequence[str]) -> None:
    """A network namespace of its own takes dockerd's bridges and rules along when it ends."""
    inner = [sys.executable, "-m", "tests.suites", "--inside", *words]
    script = 'ip link set lo up && exec "$@"'
    os.execvp("unshare", ["unshare", "--net", "sh", "-c", script, "sh", *inner])


def _run_suite(suite: Suite, files: Sequence[str], options: argparse.Namespace) -> int:
    kind = "dockerd" if options.dockerd else "hyperd"
    expected = expectation.load(suite.home, engine=kind)
    wanted = [
        name
        for name in suite.files()
        if not expected.excludes(f"{name}::*") and (not files or name in files)
    ]
    print(f"{suite.name} on {kind}" + (f" ({newest.versions()})" if suite.newest else ""))
    began = time.monotonic()
    with (
        engine(kind, suite.images()) as served,
        tempfile.TemporaryDirectory(prefix=f"{suite.name}-") as scratch,
    ):
        run = _Run(suite, served, Path(scratch), options)
        run.logs = suite.environment.folder / f"logs-{kind}"
        outcomes = [one for name in wanted for one in run.file(name)]
    whole = not files and not options.k
    return _conclude(outcomes, expected, time.monotonic() - began, whole=whole)


class _Run:
    """One suite on one engine. ``logs`` takes the output of its files."""

    def __init__(
        self, suite: Suite, served: Served, scratch: Path, options: argparse.Namespace
    ) -> None:
        self._suite = suite
        self._served = served
        self._scratch = scratch
        self._only: str = options.k
        self._patience: int = options.patience
        self._environ = {"DOCKER_HOST": served.host, "HOME": str(scratch), "LC_ALL": "C.UTF-8"}
        self.logs = scratch
        if suite.newest:
            newest.add_plugins(scratch)
            self._environ["PATH"] = newest.path()

    def file(self, name: str) -> list[Outcome]:
        """How the tests of one file ended; nothing that they made is left."""
        began = time.monotonic()
        found = self._over_tcp(name, self._tests(name, self._only))
        failed = sum(one.verdict == "failed" for one in found)
        seconds = time.monotonic() - began
        print(f"  {name}: {len(found)} tests, {failed} failed, {seconds:.0f} s", flush=True)
        self.logs.mkdir(exist_ok=True)
        for log in self._scratch.glob("*.log"):
            (self.logs / log.name).write_bytes(log.read_bytes())
            log.unlink()
        self._served.clear()
        return found

    def _tests(self, name: str, only: str, **environ: str) -> list[Outcome]:
        environ = self._environ | environ
        return self._suite.run(name, self._scratch, environ, only=only, patience=self._patience)

    def _over_tcp(self, name: str, found: list[Outcome]) -> list[Outcome]:
        """``found``, and in place of what a unix socket cannot show how it ended over TCP."""
        over_tcp = self._suite.over_tcp
        again = [one.test.rpartition("::")[2] for one in found if one.test in over_tcp]
        if not again or not self._served.tcp:
            return found
        rest = [one for one in found if one.test not in over_tcp]
        return rest + self._tests(name, " or ".join(again), DOCKER_HOST=self._served.tcp)


def _conclude(
    outcomes: list[Outcome], expected: expectation.Expectation, seconds: float, *, whole: bool
) -> int:
    counted = [one for one in outcomes if not expected.excludes(one.test)]
    passed = sum(one.verdict == "passed" for one in counted)
    share = passed / len(counted) if counted else 0.0
    surprises = expected.surprises(outcomes) + (expected.unknown(outcomes) if whole else [])
    for line in surprises:
        print(line)
    told = f"{passed} of {len(counted)} pass ({share:.1%}) in {seconds:.0f} s"
    print(f"{told}; {len(surprises)} surprises", flush=True)
    short = whole and share < expected.goal
    if short:
        print(f"the goal is {expected.goal:.0%}")
    return 1 if surprises or short else 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())

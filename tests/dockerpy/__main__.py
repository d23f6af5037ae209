"""``python -m tests.dockerpy``: run the suite, say what was not as expected; the exit code is 1 then."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tools import imagebuilder
from tools.imagebuilder import Image

from tests.conftest import add_unpacked_programs
from tests.dockerpy import expectation
from tests.dockerpy.suite import Outcome, Suite
from tests.support.api import Api
from tests.support.dockerd import dockerd
from tests.support.hyperd import hyperd, served_tcp
from tests.support.registry import registry

ROOT = Path(__file__).parents[2]
#: The share of the tests that count which has to pass.
GOAL = 0.95
#: Tests whose client cannot use a unix socket.
OVER_TCP = {"api_container_test::AttachContainerTest::test_run_container_reading_socket_ws"}


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code: 0 when everything was as expected."""
    options = _parser().parse_args(argv)
    engine = "dockerd" if options.dockerd else "hyperd"
    expected = expectation.load(engine=engine)
    if options.write:
        page = expectation.PAGE.read_text()
        expectation.PAGE.write_text(expectation.with_section(page, expected.section()))
        return 0
    suite = Suite(ROOT / "build/dockerpy")
    suite.prepare()
    if options.dockerd and not options.inside:
        # A network namespace of its own takes dockerd's bridges and rules along when it ends.
        words = sys.argv[1:] if argv is None else argv
        inner = [sys.executable, "-m", "tests.dockerpy", "--inside", *words]
        script = 'ip link set lo up && exec "$@"'
        os.execvp("unshare", ["unshare", "--net", "sh", "-c", script, "sh", *inner])
    add_unpacked_programs()
    files = [
        name
        for name in suite.files()
        if not expected.excludes(f"{name}::*") and (not options.files or name in options.files)
    ]
    began = time.monotonic()
    outcomes = _run(suite, files, engine=engine, only=options.k)
    return _conclude(
        outcomes, expected, time.monotonic() - began, whole=not options.files and not options.k
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.dockerpy", description=__doc__)
    parser.add_argument("files", nargs="*", help="test files without .py (default: all)")
    parser.add_argument("-k", default="", help="pytest's expression: only these tests")
    parser.add_argument("--dockerd", action="store_true", help="run it against Debian's dockerd")
    parser.add_argument("--write", action="store_true", help="only renew docs/api-compat.md")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    return parser


def _run(suite: Suite, files: list[str], *, engine: str, only: str) -> list[Outcome]:
    outcomes: list[Outcome] = []
    with _engine(engine) as (host, tcp), tempfile.TemporaryDirectory(prefix="dockerpy-") as name:
        scratch = Path(name)
        environ = {"DOCKER_HOST": host, "HOME": name, "LC_ALL": "C.UTF-8"}
        logs = suite.folder / f"logs-{engine}"
        logs.mkdir(exist_ok=True)
        for file in files:
            began = time.monotonic()
            found = suite.run(file, scratch, environ, only=only)
            if any(one.test in OVER_TCP for one in found) and tcp:
                found = _over_tcp(suite, file, scratch, environ | {"DOCKER_HOST": tcp}, found)
            failed = sum(one.verdict == "failed" for one in found)
            print(
                f"{file}: {len(found)} tests, {failed} failed, {time.monotonic() - began:.0f} s",
                flush=True,
            )
            outcomes += found
            for log in scratch.glob("*.log"):
                log.replace(logs / log.name) if log.stat().st_size else log.unlink()
            _clear(Api(Path(host.removeprefix("unix://"))))
    return outcomes


def _over_tcp(
    suite: Suite, file: str, scratch: Path, environ: dict[str, str], found: list[Outcome]
) -> list[Outcome]:
    """``found``, and in place of what a unix socket cannot show how it ended over TCP."""
    names = [one.test.rpartition("::")[2] for one in found if one.test in OVER_TCP]
    again = suite.run(file, scratch, environ, only=" or ".join(names))
    return [one for one in found if one.test not in OVER_TCP] + again


@contextmanager
def _engine(kind: str) -> Iterator[tuple[str, str]]:
    """DOCKER_HOST of an engine whose Docker Hub is a registry with the suite's images, and the same over TCP or ""."""
    with registry() as hub:
        for name, image in _images().items():
            hub.push(image, name)
        mirror = f"--registry-mirror=http://{hub.host}"
        if kind == "dockerd":
            with dockerd(mirror, bridge=True, namespace=False) as engine:
                yield engine.host, ""
        else:
            with hyperd(mirror, "-H", "tcp://127.0.0.1:0") as daemon:
                yield daemon.host, served_tcp(daemon)


def _images() -> dict[str, Image]:
    """Images of the names that the suite pulls: busybox, and what the tests know of the real ones."""
    names = ("alpine:3.10", "alpine:latest", "busybox:latest", "hello-world:latest")
    made = {}
    for name in names:
        # A file of its own, so that none has another's id.
        items = [imagebuilder.file("etc/image", name), imagebuilder.directory("var/opt")]
        items = [*imagebuilder.busybox_items(), *items]
        (passwd,) = (item for item in items if item.name == "etc/passwd")
        passwd.data += b"postgres:x:70:70::/var/lib/postgresql:/bin/sh\n"
        made[f"library/{name}"] = imagebuilder.image([items], imagebuilder.BUSYBOX_CONFIG)
    return made


def _clear(api: Api) -> None:
    """No container, network or volume of one file is there for the next."""
    for item in api.get("/containers/json?all=1"):
        api.delete(f"/containers/{item['Id']}?force=1&v=1")
    for kind in ("networks", "volumes"):
        api.raw("POST", f"/{kind}/prune", b"")


def _conclude(
    outcomes: list[Outcome], expected: expectation.Expectation, seconds: float, *, whole: bool
) -> int:
    counted = [one for one in outcomes if not expected.excludes(one.test)]
    passed = sum(one.verdict == "passed" for one in counted)
    share = passed / len(counted) if counted else 0.0
    surprises = expected.surprises(outcomes) + (expected.unknown(outcomes) if whole else [])
    for line in surprises:
        print(line)
    print(
        f"{passed} of {len(counted)} pass ({share:.1%}) in {seconds:.0f} s; {len(surprises)} surprises"
    )
    if whole and share < GOAL:
        print(f"the goal is {GOAL:.0%}")
    return 1 if surprises else 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())

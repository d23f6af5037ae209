"""The same deeds on dockerd and on hyperd, and the same questions about them: the same events, in the same order."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.api import Api
from tests.support.dockerd import Engine, dockerd, why_not
from tests.support.hyperd import Hyperd

pytestmark = pytest.mark.root

#: Containers are not run: what their machines tell is in tests/vm. ``%`` is the image.
DEEDS = (
    "create --name web --label a=1 --label b=2 --network none %",
    "create --name web2 --label a=2 --network none %",
    "create --name other --network none %",
    "rename other another",
    "cp /etc/hostname web:/tmp/x",
    "cp web:/tmp/x -",
    "volume create store",
    "tag % moved:1",
    "tag % moved:2",
    "rmi moved:2",
    "volume rm store",
    "rm web",
    "rm web2",
    "rm another",
    "rmi moved:1",
)
FILTERS: tuple[dict[str, list[str]], ...] = (
    {},
    {"type": ["container"]},
    {"type": ["container", "volume"]},
    {"type": ["nosuch"]},
    {"event": ["create"]},
    {"event": ["create", "tag"]},
    {"event": ["creat"]},
    {"event": ["exec_create", "cre"]},
    {"container": ["web"]},
    {"container": ["web2"]},
    {"container": ["eb2"]},
    {"container": ["store"]},
    {"volume": ["store"]},
    {"volume": ["web"]},
    {"network": ["none"]},
    {"label": ["a"]},
    {"label": ["a=1"]},
    {"label": ["a=1", "b=2"]},
    {"label": ["a=1", "b=3"]},
    {"label": ["name=web"]},
    {"image": ["moved"]},
    {"image": ["moved:1"]},
    {"image": ["%"]},
    {"image": ["nosuch"]},
    {"scope": ["local"]},
    {"scope": ["swarm"]},
    {"daemon": ["nosuch"]},
    {"node": ["nosuch"]},
    {"nosuch": ["x"]},
    {"type": ["container"], "event": ["destroy"], "container": ["web"]},
    {"type": []},
)


class Side:
    """An engine with a history of its own."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.image = engine.image
        self.api = Api(Path(engine.host.removeprefix("unix://")))

    def docker(self, words: str) -> str:
        """What the docker client printed."""
        argv = ["docker", *words.replace("%", self.image).split(" ")]
        done = subprocess.run(
            argv, env=self.engine.environ(), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (argv, done.stderr)
        return done.stdout

    def now(self) -> str:
        """Its clock, as a query has it."""
        return self.docker("info --format {{.SystemTime}}").strip()

    def ask(self, query: str) -> list[dict[str, Any]] | tuple[int, str]:
        """The answer to GET /events."""
        status, content = self.api.raw("GET", f"/events?{query}")
        if status >= 400:
            return status, json.loads(content)["message"]
        return [json.loads(line) for line in content.splitlines()]


def _moment(ns: int) -> str:
    return f"{ns // 10**9}.{ns % 10**9:09d}"


@pytest.fixture(scope="module")
def sides(busybox: str, shared_daemon: Hyperd) -> Iterator[tuple[list[Side], str]]:
    """Both engines after the deeds, and the query for the time these took."""
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    with dockerd() as theirs:
        both = [Side(theirs), Side(Engine(shared_daemon.host, busybox, is_hyper=True))]
        since = time.time_ns()
        for words in DEEDS:
            for side in both:
                side.docker(words)
        yield both, f"since={_moment(since)}&until={_moment(time.time_ns())}"


def _shown(side: Side, events: Any) -> Any:
    """What can be compared: not ids, times, nor what is called differently there."""
    if isinstance(events, tuple):
        return events
    return [
        (
            item["Type"],
            item["Action"],
            _name(side, item),
            sorted(item),
            sorted(item["Actor"]["Attributes"]),
        )
        for item in events
    ]


def _name(side: Side, item: dict[str, Any]) -> str:
    name = item["Actor"]["Attributes"].get("name", item["Actor"]["ID"])
    return "image" if name.startswith(("sha256:", side.image.partition(":")[0])) else str(name)


@pytest.mark.parametrize("filters", FILTERS, ids=json.dumps)
def test_filters_let_the_same_events_pass(
    sides: tuple[list[Side], str], filters: dict[str, list[str]]
) -> None:
    """Type, action, name, members and attributes of each, in the same order."""
    both, span = sides
    asked = json.dumps(filters)
    seen = [
        _shown(side, side.ask(f"{span}&filters={quote(asked.replace('%', side.image))}"))
        for side in both
    ]
    assert seen[1] == seen[0]


@pytest.mark.parametrize(
    "query",
    [
        "since=5&until=3",
        "since=0&until=0",
        "until=1",
        "since=99999999999&until=99999999998.5",
    ],
)
def test_odd_times_and_filters_are_answered_alike(
    sides: tuple[list[Side], str], query: str
) -> None:
    """The same status; the same words where they are dockerd's own."""
    theirs, ours = (side.ask(query) for side in sides[0])
    assert type(ours) is type(theirs)
    if isinstance(theirs, tuple) and isinstance(ours, tuple):
        assert ours[0] == theirs[0]

"""The life of a container: every pair of state and event is either in the table or a conflict that names both."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from hyper import engine
from hyper.engine.record.state import LIVE, TRANSITIONS, UP, Event, Status, next_status
from hyper.errors import Conflict

SOURCE = Path(engine.__file__).parent


@pytest.mark.parametrize(("status", "event"), list(itertools.product(Status, Event)))
def test_every_pair_is_legal_or_a_conflict(status: Status, event: Event) -> None:
    """All of them, whatever is added to either list."""
    expected = TRANSITIONS.get((status, event))
    if expected is not None:
        assert next_status(status, event) is expected
        return
    with pytest.raises(Conflict) as caught:
        next_status(status, event)
    assert event.value in caught.value.message
    assert status.value in caught.value.message
    assert caught.value.http_status == 409


def test_only_a_start_leads_into_life_and_only_an_exit_out_of_it() -> None:
    """A machine runs exactly in the live states: nothing else may cross the line."""
    for (before, event), after in TRANSITIONS.items():
        if before not in LIVE and after in LIVE:
            assert event is Event.START
        if before in LIVE and after not in LIVE:
            assert event in (Event.EXIT, Event.EXIT_FOR_NOW)


def test_what_is_removed_never_comes_back() -> None:
    """From REMOVING there is no way to anything that can be started."""
    reached, todo = set(), [Status.REMOVING]
    while todo:
        status = todo.pop()
        reached.add(status)
        nexts = {after for (before, _), after in TRANSITIONS.items() if before is status}
        todo += nexts - reached
    assert reached == {Status.REMOVING}


def test_every_event_is_fired() -> None:
    """No row of the table is there for a thing that never happens: src names each event outside the table."""
    sources = [path for path in SOURCE.rglob("*.py") if path.name != "state.py"]
    text = "".join(path.read_text() for path in sources)
    assert [event.name for event in Event if f"Event.{event.name}" not in text] == []


@pytest.mark.parametrize("status", sorted(set(Status) - UP))
def test_every_resting_state_can_be_removed(status: Status) -> None:
    """No container is stuck for ever; one that waits for its restart gives that up first."""
    assert next_status(status, Event.REMOVE) is Status.REMOVING

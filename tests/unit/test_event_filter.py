"""Filters of /events where the engines are not both at hand: tests/conformance/test_events.py compares with dockerd."""

from __future__ import annotations

import pytest

from hyper.api.docker.event_filter import passes
from hyper.engine.events import EngineEvent

HEALTH = EngineEvent(
    "container",
    "health_status: healthy",
    "a" * 64,
    1,
    {"name": "web", "image": "nginx:1.25", "x": "y"},
)
PULL = EngineEvent("image", "pull", "nginx:1.25", 1, {"name": "nginx"})


@pytest.mark.parametrize(
    ("event", "name", "values", "passed"),
    [
        (HEALTH, "event", {"health_status"}, True),
        (HEALTH, "event", {"health_status: healthy"}, True),
        (HEALTH, "event", {"health_status: unhealthy"}, False),
        (HEALTH, "event", {"health"}, False),
        (HEALTH, "event", {"health_status", "x"}, True),
        (HEALTH, "container", {"we"}, True),
        (HEALTH, "container", {"a" * 12}, True),
        (HEALTH, "container", {"eb"}, False),
        (HEALTH, "label", {"x", "image=nginx:1.25"}, True),
        (HEALTH, "label", {"x", "z"}, False),
        (HEALTH, "image", {"nginx"}, True),
        (HEALTH, "image", {"nginx:1.25"}, True),
        (HEALTH, "image", {"ngin"}, False),
        (PULL, "image", {"nginx"}, True),
        (PULL, "scope", {"swarm"}, False),
        (PULL, "type", set(), True),
        (PULL, "nosuch", {"x"}, True),
    ],
)
def test_what_passes(event: EngineEvent, name: str, values: set[str], passed: bool) -> None:
    """One filter at a time, by dockerd's rules."""
    assert passes(event, {name: values}) is passed


def test_types_that_docker_does_not_have_pass_where_they_are_asked_for() -> None:
    """A pod's start would end the stream of a client that knows Docker's types alone."""
    event = EngineEvent("pod", "start", "p" * 64, 1, {"name": "shop"})
    assert not passes(event, {})
    assert not passes(event, {"event": {"start"}})
    assert passes(event, {"type": {"pod", "container"}})
    assert not passes(event, {"type": {"pod"}, "event": {"die"}})

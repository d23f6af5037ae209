"""Filters of the events that a client asked for, by dockerd's rules.

Source of the rules: moby, daemon/events/filter.go. Names are not bound to the type of the event: ``container=web``
lets every event pass whose object's id or name begins with it. A filter that dockerd does not know is not looked at.
"""

from __future__ import annotations

from typing import Final

from hyper.api.http import has_label
from hyper.engine.events import EngineEvent
from hyper.errors import InvalidRequest
from hyper.image import reference

#: Filters that are the beginning of an id or of a name.
_NAMED: Final = frozenset(
    {"container", "network", "volume", "daemon", "plugin", "node", "service", "secret", "config"}
)
#: Types of events that are none of Docker's.
_NOT_DOCKERS: Final = frozenset({"pod"})
#: Events with a detail behind a colon, which one of these in the filter leaves open.
_DETAILED: Final = frozenset({"health_status", "exec_create", "exec_start"})


def passes(event: EngineEvent, filters: dict[str, set[str]]) -> bool:
    """Whether ``event`` passes every one of ``filters`` (names to values: any value of a name will do).

    Events of a type that Docker does not have pass only where that type is asked for: typed clients end at a word that
    they do not know.
    """
    if event.type in _NOT_DOCKERS and event.type not in filters.get("type", ()):
        return False
    return all(_passes(event, name, values) for name, values in filters.items() if values)


def _passes(event: EngineEvent, name: str, values: set[str]) -> bool:
    match name:
        case "type":
            return event.type in values
        case "scope":
            return "local" in values
        case "event":
            return event.action in values or (
                bool(_DETAILED & values) and event.action.startswith(tuple(values))
            )
        case "label":
            return all(has_label(event.attributes, value) for value in values)
        case "image":
            return not _images(event).isdisjoint(values)
    if name in _NAMED:
        texts = (event.actor, event.attributes.get("name", ""))
        return any(text.startswith(tuple(values)) for text in texts)
    return True


def _images(event: EngineEvent) -> set[str]:
    """The names that the filter ``image`` may have for the image of an event."""
    name = event.attributes.get("name" if event.type == "image" else "image", "")
    return {event.actor, name, _without_tag(event.actor), _without_tag(name)}


def _without_tag(text: str) -> str:
    try:
        return reference.parse(text).familiar_name
    except InvalidRequest:
        return text

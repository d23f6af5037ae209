"""The life of a container as a table: which operation is legal in which state."""

from __future__ import annotations

from enum import StrEnum

from hyper.errors import Conflict


class Status(StrEnum):
    """The states of a container, in Docker's words."""

    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    RESTARTING = "restarting"
    EXITED = "exited"
    REMOVING = "removing"


class Event(StrEnum):
    """The events of a container's life."""

    START = "start"
    EXIT = "exit"
    EXIT_FOR_NOW = "exit and wait for its restart"
    GIVE_UP = "give up its restart"
    PAUSE = "pause"
    UNPAUSE = "unpause"
    REMOVE = "remove"


TRANSITIONS: dict[tuple[Status, Event], Status] = {
    (Status.CREATED, Event.START): Status.RUNNING,
    (Status.EXITED, Event.START): Status.RUNNING,
    (Status.RUNNING, Event.EXIT): Status.EXITED,
    (Status.PAUSED, Event.EXIT): Status.EXITED,
    (Status.RUNNING, Event.EXIT_FOR_NOW): Status.RESTARTING,
    (Status.PAUSED, Event.EXIT_FOR_NOW): Status.RESTARTING,
    (Status.RESTARTING, Event.START): Status.RUNNING,
    (Status.RESTARTING, Event.GIVE_UP): Status.EXITED,
    (Status.RUNNING, Event.PAUSE): Status.PAUSED,
    (Status.PAUSED, Event.UNPAUSE): Status.RUNNING,
    (Status.CREATED, Event.REMOVE): Status.REMOVING,
    (Status.EXITED, Event.REMOVE): Status.REMOVING,
    (Status.REMOVING, Event.REMOVE): Status.REMOVING,
}

#: States in which a machine runs for the container.
LIVE = frozenset({Status.RUNNING, Status.PAUSED})
#: States in which clients are told that it is up; as in Docker a container between two runs is.
UP = LIVE | {Status.RESTARTING}


def next_status(status: Status, event: Event) -> Status:
    """The state of a container after ``event``.

    Raises:
        Conflict: the event is not legal in ``status``; the message names both.
    """
    try:
        return TRANSITIONS[status, event]
    except KeyError:
        raise Conflict(f"cannot {event.value} a container that is {status.value}") from None

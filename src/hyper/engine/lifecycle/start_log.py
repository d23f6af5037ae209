"""Timelines of the last starts: kept a while longer than their containers, for clients that ask when these are gone."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from hyper.errors import NotFound
from hyper.sandbox.timeline import Timeline

_MOST: Final = 200


class StartLog:
    """A log of starts: the timelines of the newest, by their containers' ids."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Timeline] = OrderedDict()
        self._listeners: list[Callable[[str], None]] = []

    def listen(self, listener: Callable[[str], None]) -> None:
        """The listener is called with the id of each container that was to start and does not run."""
        self._listeners.append(listener)

    def failed(self, container_id: str) -> None:
        """The listeners are told that a start has failed, and nothing of it is left."""
        for listener in self._listeners:
            listener(container_id)

    def begin(self, container_id: str) -> Timeline:
        """A timeline for a start that begins now."""
        self._kept.pop(container_id, None)
        timeline = self._kept[container_id] = Timeline()
        while len(self._kept) > _MOST:
            self._kept.popitem(last=False)
        return timeline

    def get(self, container_id: str) -> Timeline:
        """The timeline of a container's last start, also of one that was removed. ``container_id``: the full id.

        Raises:
            NotFound: this daemon has not started the container, or many others since.
        """
        try:
            return self._kept[container_id]
        except KeyError:
            raise NotFound(f"nothing is known of a start of container {container_id}") from None

"""Guests' clocks follow the host's when that is set, and when the host has slept: its guests have slept with it."""

from __future__ import annotations

import logging
import time

from hyper.engine.lifecycle.containers import Containers
from hyper.proto.message import ContainerUpdate
from hyper.system.clock import ClockWatch

logger = logging.getLogger(__name__)


class GuestClocks:
    """``open`` before use, ``close`` at the end."""

    def __init__(self, containers: Containers) -> None:
        self._containers = containers
        self._watch: ClockWatch | None = None

    def open(self) -> None:
        """From now on they follow."""
        try:
            self._watch = ClockWatch(self._step)
        except OSError as error:
            logger.warning("guests will not follow when the host's clock is set: %s", error)

    def close(self) -> None:
        """They follow no more."""
        if self._watch is not None:
            self._watch.close()
            self._watch = None

    def _step(self) -> None:
        told = set()
        for container in self._containers.all():
            sandbox = container.sandbox
            # One that stands still is told when it goes on.
            if sandbox is None or sandbox in told or sandbox.power.stopped:
                continue
            if sandbox.session.closed.done():
                continue
            told.add(sandbox)
            number = container.record.seat.container
            sandbox.session.post(ContainerUpdate(number, realtime_ns=time.time_ns()))
        logger.info("the host's clock was set: %d machines were told", len(told))

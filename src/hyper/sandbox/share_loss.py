"""The loss of a machine's shared folders: their server has ended, and programs wait in accesses to them for ever."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from hyper.guest.session import Session
from hyper.machine.abilities import SharingMachine
from hyper.machine.spec import SHARE_TAG
from hyper.proto.message import Reply, ReplyCode, ShareLost
from hyper.sandbox.power import Power

logger = logging.getLogger(__name__)

#: How long the agent may take to end what waits for a file server that has ended. It may wait for it itself.
_TIMEOUT_S: Final = 10.0


class ShareLoss:
    """The watch over one machine's shared folders: programs get errors in their place when their server has ended.

    A machine in which they cannot is ended.
    """

    def __init__(self, machine: SharingMachine, session: Session, power: Power, name: str) -> None:
        self._machine = machine
        self._session = session
        self._power = power
        self._name = name
        self._giving_up: asyncio.TimerHandle | None = None
        machine.on_share_lost(self._lost)

    def _lost(self, why: str) -> None:
        """The sandbox's programs get errors instead of the share's files; where they cannot, its machine is ended."""
        logger.warning("machine %s: %s; its accesses fail from now on", self._name, why)
        answer = self._session.post(ShareLost(SHARE_TAG))
        answer.add_done_callback(lambda done: self._given_up(done, why))
        self._give_up_later(answer, why)

    def _give_up_later(self, answer: asyncio.Future[Reply], why: str) -> None:
        def look() -> None:
            if answer.done():
                return
            if self._power.stopped:  # it will read it when it goes on
                self._give_up_later(answer, why)
            else:
                self._machine.fail(why)

        self._giving_up = asyncio.get_running_loop().call_later(_TIMEOUT_S, look)

    def _given_up(self, answer: asyncio.Future[Reply], why: str) -> None:
        if self._giving_up is not None:
            self._giving_up.cancel()
        if answer.cancelled() or answer.exception() is not None:
            return  # the session is over
        if answer.result().code is not ReplyCode.OK:
            logger.warning("machine %s: %s", self._name, answer.result().text)
            self._machine.fail(why)

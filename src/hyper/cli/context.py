"""The context that every command is given: the engine to speak to, and where to write."""

from __future__ import annotations

import os
import sys

from hyper.cli.safe import shown
from hyper.client.address import find_address
from hyper.client.engine import Engine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hyper.client.address import Address
    from hyper.client.tls import TlsFiles


class Context:
    """The global flags, and the engine, made when a command first asks for it."""

    def __init__(
        self, *, host: str | None = None, tls: TlsFiles | None = None, debug: bool = False
    ) -> None:
        self.debug = debug
        self._host = host
        self._tls = tls
        self._engine: Engine | None = None

    @property
    def engine(self) -> Engine:
        """The daemon's client; nothing is connected yet.

        Raises:
            InvalidRequest: the address given is malformed.
        """
        if self._engine is None:
            address = find_address(self._host, os.environ, tls=self._tls)
            self._engine = Engine(
                address,
                start=None if address.chosen else lambda: _start_daemon(address),
                trace=say if self.debug else None,
            )
        return self._engine

    def existing_engine(self) -> Engine:
        """The daemon's client; no daemon is started when none runs."""
        return Engine(find_address(self._host, os.environ))


def say(line: str) -> None:
    """One line for the user, on standard error (standard output belongs to the result)."""
    sys.stderr.write(shown(line) + "\n")
    sys.stderr.flush()


def tell(line: str) -> None:
    """One line of the result, on standard output, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _start_daemon(address: Address) -> None:
    from hyper.client.autostart import start_daemon

    start_daemon(address)

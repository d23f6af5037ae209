"""The pump between our standard streams and a connection, on real pipes and sockets."""

from __future__ import annotations

import os
import socket

from hyper.cli.pump import Pump
from hyper.cli.signals import Signals


def test_input_that_comes_while_the_connection_ends() -> None:
    """Both in one turn of the loop: the input is of no use to anybody, and the end is no error."""
    ours, theirs = socket.socketpair()
    stdin, typed = os.pipe()
    os.write(typed, b"more")
    theirs.close()
    try:
        with ours, Signals(()) as signals:
            pump = Pump(ours, b"", stdin=stdin, tty=True, signals=signals, on_signal=lambda _: None)
            assert pump.run()
    finally:
        os.close(stdin)
        os.close(typed)

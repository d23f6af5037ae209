"""Options of hyperd that say who may use its addresses: TLS, names, browsers' pages."""

from __future__ import annotations

import argparse
from pathlib import Path

from hyper.daemon.default_options import FLAG


def add_access(result: argparse.ArgumentParser) -> None:
    """The options of access are added to ``result``."""
    add = result.add_argument
    add("--tls", **FLAG, help="speak TLS on tcp:// addresses")
    add("--tlsverify", **FLAG, help="and let only clients in that have a certificate")
    add("--tlscacert", type=Path, metavar="FILE", help="who signs clients' certificates")
    add("--tlscert", type=Path, metavar="FILE", help="the daemon's certificate")
    add("--tlskey", type=Path, metavar="FILE", help="its key")
    add(
        "--allowed-host",
        action="append",
        dest="allowed_hosts",
        metavar="NAME",
        help="name that clients without TLS reach hyperd by, beside -H's and this host's own (repeatable)",
    )
    add(
        "--allowed-origin",
        action="append",
        dest="allowed_origins",
        metavar="URL",
        help="origin whose pages may use hyperd from a browser: https://console.example (repeatable)",
    )

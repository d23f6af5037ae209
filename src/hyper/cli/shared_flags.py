"""Flags that several commands share."""

from __future__ import annotations

from hyper.cli import values
from hyper.cli.flags import Flag
from hyper.proto.detach import DEFAULT_KEYS

#: Of run, create and exec.
ENVIRONMENT = (
    Flag(
        "-e",
        "--env",
        takes="NAME[=VALUE]",
        many=True,
        parse=values.variable,
        help="Set a variable (NAME alone: to our own value)",
    ),
    Flag(
        "--env-file",
        takes="FILE",
        many=True,
        parse=values.env_file,
        help="Set the variables of a file, one a line",
    ),
)
DETACH_KEYS = Flag(
    "--detach-keys", takes="KEYS", help=f"Keys that leave it running (default: {DEFAULT_KEYS})"
)
SIG_PROXY = Flag(
    "--sig-proxy", default=True, help="Pass signals on to it (default; --sig-proxy=false)"
)

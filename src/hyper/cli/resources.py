"""Limits: flags that ``run``, ``create`` and ``update`` share, each with the field of the API it fills."""

from __future__ import annotations

from hyper.cli import values
from hyper.cli.flags import Flag, whole_number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from hyper.cli.flags import Arguments

#: Field of the API's Resources -> its flag.
RESOURCES: tuple[tuple[str, Flag], ...] = (
    (
        "BlkioWeight",
        Flag(
            "--blkio-weight",
            takes="N",
            parse=whole_number,
            help="Share of disk time, 10 to 1000; 0: as others",
        ),
    ),
    (
        "CpuPeriod",
        Flag(
            "--cpu-period",
            takes="MICROSECONDS",
            parse=whole_number,
            help="Length of a round of the CPU scheduler",
        ),
    ),
    (
        "CpuQuota",
        Flag(
            "--cpu-quota",
            takes="MICROSECONDS",
            parse=whole_number,
            help="CPU time it may use in a round",
        ),
    ),
    (
        "CpuShares",
        Flag("-c", "--cpu-shares", takes="N", parse=whole_number, help="Share of CPU time"),
    ),
    (
        "NanoCpus",
        Flag(
            "--cpus",
            takes="N",
            parse=values.cpus,
            help="CPU time it may use, in processors (1.5); its VM gets as many vCPUs, rounded up",
        ),
    ),
    ("CpusetCpus", Flag("--cpuset-cpus", takes="CPUS", help="Processors it may use: 0-3, or 0,2")),
    ("CpusetMems", Flag("--cpuset-mems", takes="NODES", help="Memory nodes it may use")),
    (
        "Memory",
        Flag(
            "-m",
            "--memory",
            takes="SIZE",
            parse=values.size,
            help="Its VM's memory (512m, 2g)",
        ),
    ),
    (
        "MemoryReservation",
        Flag(
            "--memory-reservation",
            takes="SIZE",
            parse=values.size,
            help="Memory it is left with when the host has little",
        ),
    ),
    (
        "MemorySwap",
        Flag(
            "--memory-swap",
            takes="SIZE",
            parse=values.size_or_unlimited,
            help="Memory and swap together, -1 for no limit",
        ),
    ),
    (
        "PidsLimit",
        Flag(
            "--pids-limit",
            takes="N",
            parse=whole_number,
            help="Processes it may have, -1 for no limit",
        ),
    ),
)
RESTART = Flag(
    "--restart",
    takes="POLICY",
    parse=values.restart,
    help="When it ends: no (default), always, unless-stopped, on-failure[:N]",
)


def asked_for(arguments: Arguments, table: Sequence[tuple[str, Flag]]) -> dict[str, Any]:
    """The fields whose flags were given, with their values."""
    return {field: arguments.value(flag.key) for field, flag in table if arguments.given(flag.key)}


def restart_policy(text: str | None) -> dict[str, Any] | None:
    """The API's RestartPolicy; None where none was given."""
    if text is None:
        return None
    name, _, count = text.partition(":")
    return {"Name": name or "no", "MaximumRetryCount": int(count or 0)}

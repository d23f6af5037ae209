"""Stats as Docker's clients expect them, from the guest kernel's files. Pure; the guest may have written anything.

Source: kernel Documentation/admin-guide/cgroup-v2.rst, proc(5) "net/dev".
"""

from __future__ import annotations

from typing import Final

from msgspec import UNSET, UnsetType

from hyper.proto.message import Stats
from hyper.types.stats import (
    BlkioEntry,
    BlkioStats,
    CpuStats,
    CpuUsage,
    Measured,
    MemoryStats,
    NetworkStats,
    PidsStats,
    Throttling,
)

_MICRO: Final = 1000
#: More devices, interfaces or counters than this are not looked at.
_MAX_LINES: Final = 128
_MAX_NAME: Final = 32
_LARGEST: Final = 2**63 - 1
_OPS: Final = {"r": "read", "w": "write"}


def measure(stats: Stats, *, cpus: int, memory_bytes: int) -> Measured:
    """The measures of a container from its counters; its machine has ``cpus`` and ``memory_bytes``."""
    files = {item.name: item.content.decode("ascii", "replace") for item in stats.files}
    return Measured(
        cpu=_cpu(_pairs(files.get("cpu.stat", "")), stats.boot_ns, cpus),
        memory=_memory(files, memory_bytes),
        pids=PidsStats(
            current=_number(files.get("pids.current", "")),
            limit=_number(files.get("pids.max", "")),
        ),
        blkio=_blkio(files.get("io.stat", "")),
        networks=_networks(files.get("net/dev", "")),
    )


def _cpu(counters: dict[str, int], boot_ns: int, cpus: int) -> CpuStats:
    return CpuStats(
        cpu_usage=CpuUsage(
            total_usage=counters.get("usage_usec", 0) * _MICRO,
            usage_in_kernelmode=counters.get("system_usec", 0) * _MICRO,
            usage_in_usermode=counters.get("user_usec", 0) * _MICRO,
        ),
        # All the time there was, idle or not: clients divide by what it grew.
        system_cpu_usage=min(boot_ns, _LARGEST // cpus) * cpus,
        online_cpus=cpus,
        throttling_data=Throttling(
            periods=counters.get("nr_periods", 0),
            throttled_periods=counters.get("nr_throttled", 0),
            throttled_time=counters.get("throttled_usec", 0) * _MICRO,
        ),
    )


def _memory(files: dict[str, str], machine: int) -> MemoryStats:
    limit = _number(files.get("memory.max", ""))  # "max" is 0
    return MemoryStats(
        usage=_number(files.get("memory.current", "")),
        max_usage=_number(files.get("memory.peak", "")),
        stats=_pairs(files.get("memory.stat", "")),
        failcnt=_pairs(files.get("memory.events", "")).get("max", 0),
        limit=min(limit, machine) if limit else machine,
    )


def _blkio(text: str) -> BlkioStats:
    volume: list[BlkioEntry] = []
    count: list[BlkioEntry] = []
    for line in text.splitlines()[:_MAX_LINES]:
        device, _, rest = line.partition(" ")
        major, _, minor = device.partition(":")
        counters = {
            key: _number(value) for key, _, value in (word.partition("=") for word in rest.split())
        }
        for letter, op in _OPS.items():
            for to, unit in ((volume, "bytes"), (count, "ios")):
                value = counters.get(letter + unit, 0)
                to.append(
                    BlkioEntry(major=_number(major), minor=_number(minor), op=op, value=value)
                )
    return BlkioStats(io_service_bytes_recursive=volume, io_serviced_recursive=count)


def _networks(text: str) -> dict[str, NetworkStats] | UnsetType:
    """The counters of each interface but the loopback; ``text`` has two lines of heading."""
    found = {}
    for line in text.splitlines()[2:_MAX_LINES]:
        name, _, rest = line.partition(":")
        numbers = [_number(word) for word in rest.split()]
        bare = name.strip()[:_MAX_NAME]
        if bare == "lo" or len(numbers) < 12:
            continue
        found[bare] = NetworkStats(
            rx_bytes=numbers[0],
            rx_packets=numbers[1],
            rx_errors=numbers[2],
            rx_dropped=numbers[3],
            tx_bytes=numbers[8],
            tx_packets=numbers[9],
            tx_errors=numbers[10],
            tx_dropped=numbers[11],
        )
    return found or UNSET


def _pairs(text: str) -> dict[str, int]:
    pairs = (line.partition(" ") for line in text.splitlines()[:_MAX_LINES])
    return {key[:_MAX_NAME]: _number(value) for key, _, value in pairs if key}


def _number(text: str) -> int:
    """The number that ``text`` says; 0 where it says none."""
    bare = text.strip()
    return min(int(bare), _LARGEST) if bare.isascii() and bare.isdigit() else 0

"""Answers to GET /containers/{id}/stats, as for a container with control groups of version 2.

Source: engine-api v1.47, definition of that route; moby api/types/stats.go. Members are snake case on the wire too.
"""

from __future__ import annotations

from msgspec import UNSET, Struct, UnsetType, field


class Part(Struct, kw_only=True):
    """Base of parts that are always written in full."""


class Sparse(Struct, kw_only=True, omit_defaults=True):
    """Base of parts whose members are left out where 0 or empty."""


class CpuUsage(Part, kw_only=True):
    """The CPU time of a container, in nanoseconds."""

    total_usage: int = 0
    usage_in_kernelmode: int = 0
    usage_in_usermode: int = 0


class Throttling(Part, kw_only=True):
    periods: int = 0
    throttled_periods: int = 0
    throttled_time: int = 0


class CpuStats(Sparse, kw_only=True):
    """The CPU counters of a container; ``system_cpu_usage``: nanoseconds that all CPUs together have had."""

    cpu_usage: CpuUsage
    system_cpu_usage: int = 0
    online_cpus: int = 0
    throttling_data: Throttling


class MemoryStats(Sparse, kw_only=True):
    """The memory counters of a container, in bytes."""

    usage: int = 0
    max_usage: int = 0
    stats: dict[str, int] = field(default_factory=dict)
    failcnt: int = 0
    limit: int = 0


class PidsStats(Sparse, kw_only=True):
    current: int = 0
    limit: int = 0


class BlkioEntry(Part, kw_only=True):
    major: int
    minor: int
    op: str
    value: int


class BlkioStats(Part, kw_only=True):
    io_service_bytes_recursive: list[BlkioEntry] | None = None
    io_serviced_recursive: list[BlkioEntry] | None = None
    io_queue_recursive: list[BlkioEntry] | None = None
    io_service_time_recursive: list[BlkioEntry] | None = None
    io_wait_time_recursive: list[BlkioEntry] | None = None
    io_merged_recursive: list[BlkioEntry] | None = None
    io_time_recursive: list[BlkioEntry] | None = None
    sectors_recursive: list[BlkioEntry] | None = None


class NetworkStats(Part, kw_only=True):
    rx_bytes: int
    rx_packets: int
    rx_errors: int
    rx_dropped: int
    tx_bytes: int
    tx_packets: int
    tx_errors: int
    tx_dropped: int


def no_cpu() -> CpuStats:
    """The CPU counters of a time of which nothing is known: zeros."""
    return CpuStats(cpu_usage=CpuUsage(), throttling_data=Throttling())


class Measured(Struct, kw_only=True):
    """The counters of a container at one moment."""

    cpu: CpuStats = field(default_factory=no_cpu)
    memory: MemoryStats = field(default_factory=MemoryStats)
    pids: PidsStats = field(default_factory=PidsStats)
    blkio: BlkioStats = field(default_factory=BlkioStats)
    networks: dict[str, NetworkStats] | UnsetType = UNSET


class ContainerStatsAnswer(Part, kw_only=True):
    """One line of the stream of stats."""

    read: str
    preread: str
    pids_stats: PidsStats
    blkio_stats: BlkioStats
    num_procs: int = 0
    storage_stats: dict[str, int] = field(default_factory=dict)
    cpu_stats: CpuStats
    precpu_stats: CpuStats
    memory_stats: MemoryStats
    name: str
    id: str
    networks: dict[str, NetworkStats] | UnsetType = UNSET

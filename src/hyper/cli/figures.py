"""A container's usage, from the API's raw counters: docker's arithmetic, so that both show the same. Pure."""

from __future__ import annotations

from hyper.units import human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def binary_size(count: float) -> str:
    """``count`` bytes in binary units with four digits: ``12.5MiB``."""
    for unit in _UNITS:
        if count < 1024 or unit == _UNITS[-1]:
            break
        count /= 1024
    return f"{count:.4g}{unit}"


def row(name: str, stats: dict[str, Any], *, whole: bool) -> dict[str, Any]:
    """One answer of ``/stats`` as docker's templates name its fields; zeros for a container that does not run."""
    memory = stats.get("memory_stats") or {}
    used, limit = _memory(memory), memory.get("limit") or 0
    identifier = stats.get("id") or ""
    nets = (stats.get("networks") or {}).values()
    received, sent = (sum(net.get(key, 0) for net in nets) for key in ("rx_bytes", "tx_bytes"))
    read, written = _blocks(stats)
    return {
        "Container": name,
        "ID": identifier if whole else identifier[:12],
        "Name": (stats.get("name") or "").removeprefix("/"),
        "CPUPerc": f"{_cpu_percent(stats):.2f}%",
        "MemUsage": f"{binary_size(used)} / {binary_size(limit)}",
        "MemPerc": f"{used * 100 / limit if limit else 0:.2f}%",
        "NetIO": f"{human_size(received)} / {human_size(sent)}",
        "BlockIO": f"{human_size(read)} / {human_size(written)}",
        "PIDs": str((stats.get("pids_stats") or {}).get("current") or 0),
    }


def unknown(name: str) -> dict[str, Any]:
    """The row of a container whose figures are not known yet."""
    pair = "-- / --"
    return {
        "Container": name,
        "ID": name,
        "Name": "--",
        "CPUPerc": "--",
        "MemUsage": pair,
        "MemPerc": "--",
        "NetIO": "--",
        "BlockIO": "--",
        "PIDs": "--",
    }


def _memory(memory: dict[str, Any]) -> int:
    """The memory used, without the page cache that could go (cgroup v1 and v2 call it by two names)."""
    usage, details = int(memory.get("usage") or 0), memory.get("stats") or {}
    for key in ("total_inactive_file", "inactive_file"):
        if key in details:
            return usage - details[key] if details[key] < usage else usage
    return usage


def _cpu_percent(stats: dict[str, Any]) -> float:
    now, before = stats.get("cpu_stats") or {}, stats.get("precpu_stats") or {}
    used = _total(now) - _total(before)
    passed = (now.get("system_cpu_usage") or 0) - (before.get("system_cpu_usage") or 0)
    cpus = now.get("online_cpus") or len((now.get("cpu_usage") or {}).get("percpu_usage") or ())
    return used / passed * cpus * 100 if used > 0 and passed > 0 else 0.0


def _total(cpu: dict[str, Any]) -> int:
    return int((cpu.get("cpu_usage") or {}).get("total_usage") or 0)


def _blocks(stats: dict[str, Any]) -> tuple[int, int]:
    entries = (stats.get("blkio_stats") or {}).get("io_service_bytes_recursive") or ()
    sums = {"r": 0, "w": 0}
    for entry in entries:
        kind = str(entry.get("op", ""))[:1].lower()
        if kind in sums:
            sums[kind] += entry.get("value", 0)
    return sums["r"], sums["w"]

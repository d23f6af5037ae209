"""Docker's arithmetic for ``stats``, on answers of both kinds of cgroups, and of a container that does not run."""

from __future__ import annotations

from hyper.cli.figures import binary_size, row

RUNNING = {
    "id": "a" * 64,
    "name": "/web",
    "cpu_stats": {"cpu_usage": {"total_usage": 300}, "system_cpu_usage": 2000, "online_cpus": 4},
    "precpu_stats": {"cpu_usage": {"total_usage": 100}, "system_cpu_usage": 1000},
    "memory_stats": {"usage": 3 << 20, "limit": 64 << 20, "stats": {"inactive_file": 1 << 20}},
    "networks": {"eth0": {"rx_bytes": 1000, "tx_bytes": 1}, "eth1": {"rx_bytes": 500, "tx_bytes": 2}},
    "blkio_stats": {"io_service_bytes_recursive": [{"op": "Read", "value": 5}, {"op": "write", "value": 4096}]},
    "pids_stats": {"current": 7},
}  # fmt: skip


def test_a_running_container() -> None:
    assert row("web", RUNNING, whole=False) == {
        "Container": "web",
        "ID": "a" * 12,
        "Name": "web",
        "CPUPerc": "80.00%",
        "MemUsage": "2MiB / 64MiB",
        "MemPerc": "3.12%",
        "NetIO": "1.5kB / 3B",
        "BlockIO": "5B / 4.1kB",
        "PIDs": "7",
    }


def test_one_of_which_nothing_is_known() -> None:
    """Every field may be missing or null: zeros, no crash."""
    for stats in (
        {},
        dict.fromkeys(RUNNING),
        {"cpu_stats": {"cpu_usage": None}, "precpu_stats": {}},
    ):
        made = row("x", stats, whole=True)
        assert (made["CPUPerc"], made["MemUsage"], made["PIDs"]) == ("0.00%", "0B / 0B", "0")


def test_sizes() -> None:
    sizes = {0: "0B", 1023: "1023B", 1536: "1.5KiB", 832 * 1024: "832KiB", 1 << 30: "1GiB"}
    assert {count: binary_size(count) for count in sizes} == sizes

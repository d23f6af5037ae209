"""From the guest's files to Docker's stats: what is well-formed is counted, what is not is nothing."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyper.engine.inspect.measure import measure
from hyper.errors import ProtocolError
from hyper.proto.message import StatFile, Stats
from hyper.proto.resources import MAX_RESULT

MIB = 1024 * 1024
FILES = {
    "cpu.stat": b"usage_usec 5000\nuser_usec 3000\nsystem_usec 2000\nnr_throttled 4\n",
    "memory.current": b"4096\n",
    "memory.peak": b"8192\n",
    "memory.max": b"max\n",
    "memory.stat": b"anon 1024\ninactive_file 512\n",
    "memory.events": b"low 0\nmax 3\noom_kill 1\n",
    "pids.current": b"2\n",
    "pids.max": b"100\n",
    "io.stat": b"254:1 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n",
    "net/dev": b"Inter-| Receive\n face |bytes\n"
    b"    lo: 1 1 1 1 0 0 0 0 1 1 1 1 0 0 0 0\n"
    b"  eth0: 100 2 3 4 0 0 0 0 500 6 7 8 0 0 0 0\n",
}


def stats(files: dict[str, bytes], boot_ns: int = 10**9) -> Stats:
    return Stats(boot_ns, tuple(StatFile(name, content) for name, content in files.items()))


def test_every_counter_is_where_clients_look_for_it() -> None:
    """CPU in nanoseconds, all CPUs' time beside it; memory, pids, disks, cards."""
    seen = msgspec.to_builtins(measure(stats(FILES), cpus=2, memory_bytes=128 * MIB))
    assert seen["cpu"]["cpu_usage"] == {
        "total_usage": 5_000_000,
        "usage_in_kernelmode": 2_000_000,
        "usage_in_usermode": 3_000_000,
    }
    assert (seen["cpu"]["system_cpu_usage"], seen["cpu"]["online_cpus"]) == (2 * 10**9, 2)
    assert seen["cpu"]["throttling_data"]["throttled_periods"] == 4
    assert seen["memory"] == {
        "usage": 4096,
        "max_usage": 8192,
        "stats": {"anon": 1024, "inactive_file": 512},
        "failcnt": 3,
        "limit": 128 * MIB,
    }
    assert seen["pids"] == {"current": 2, "limit": 100}
    entries = seen["blkio"]["io_service_bytes_recursive"]
    assert [(e["major"], e["minor"], e["op"], e["value"]) for e in entries] == [
        (254, 1, "read", 10),
        (254, 1, "write", 20),
    ]
    assert list(seen["networks"]) == ["eth0"]
    assert list(seen["networks"]["eth0"].values()) == [100, 2, 3, 4, 500, 6, 7, 8]


@pytest.mark.parametrize(("text", "limit"), [(b"4194304", 4 * MIB), (b"999999999999", 64 * MIB)])
def test_the_limit_is_the_smaller_one(text: bytes, limit: int) -> None:
    """The container's own limit, never more than its machine has."""
    seen = measure(stats({"memory.max": text}), cpus=1, memory_bytes=64 * MIB)
    assert seen.memory.limit == limit


def test_a_guest_that_says_nothing_costs_nothing() -> None:
    """No files: zeroes, no interfaces."""
    seen = msgspec.to_builtins(measure(stats({}), cpus=1, memory_bytes=MIB))
    assert "networks" not in seen
    assert seen["pids"] == {}


@given(
    st.dictionaries(st.sampled_from(sorted(FILES)), st.binary(max_size=300)),
    st.integers(0, 2**64 - 1),
)
def test_whatever_the_guest_writes_is_no_failure(files: dict[str, bytes], boot_ns: int) -> None:
    """Any bytes give an answer that JSON can hold."""
    seen = measure(stats(files, boot_ns), cpus=3, memory_bytes=MIB)
    msgspec.json.encode(seen)
    assert 0 <= seen.cpu.system_cpu_usage < 2**63


def test_results_are_bounded() -> None:
    """More than an agent may answer is refused before it is looked at."""
    with pytest.raises(ProtocolError, match="longer than"):
        Stats.decode(bytes(MAX_RESULT + 1))

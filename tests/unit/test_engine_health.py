"""Health checks: what is asked, and what the answers make of it."""

from __future__ import annotations

import pytest

from hyper.engine.record.container import ContainerRecord, ProbeResult
from hyper.engine.record.container_spec import HealthCheck
from hyper.engine.spec import health
from hyper.engine.spec.create import image_defaults, merge
from hyper.errors import InvalidRequest
from hyper.types import oci
from hyper.types.container import ContainerConfig, Healthcheck
from tests.support.records import NANO, checked_record


def result(code: int, at_s: float = 200) -> ProbeResult:
    """A probe that was begun at ``at_s``."""
    return ProbeResult(int(at_s * NANO), int(at_s * NANO) + 1, code, "")


def _check(made: ContainerRecord) -> HealthCheck:
    assert made.spec.health is not None
    return made.spec.health


def interval_s(made: ContainerRecord, at_s: int) -> float:
    """How long after a probe at ``at_s`` the next one is."""
    return health.interval_s(
        _check(made), made.health, started_ns=made.started_ns, now_ns=at_s * NANO
    )


def states(made: ContainerRecord, *results: ProbeResult) -> list[str]:
    """The status after each."""
    found = []
    for item in results:
        assert made.health is not None
        health.note_result(_check(made), made.health, item, started_ns=made.started_ns)
        found.append(made.health.status)
    return found


def test_as_many_failures_in_a_row_as_retries_say() -> None:
    """One success undoes them."""
    bad, good = result(1), result(0)
    assert states(checked_record(), bad, bad, bad) == ["starting", "starting", "unhealthy"]
    made = checked_record(retries=2)
    assert states(made, good, bad, good, bad, bad, good) == [
        "healthy", "healthy", "healthy", "healthy", "unhealthy", "healthy",
    ]  # fmt: skip
    assert made.health is not None
    assert len(made.health.log) == health.MAX_LOG
    assert made.health.failing_streak == 0


def test_failures_while_it_starts_do_not_count() -> None:
    """Until the start period is over, or it has been healthy once."""
    made = checked_record(retries=1, start_period=60 * NANO)
    assert states(made, result(1, 159), result(1, 160)) == ["starting", "unhealthy"]
    made = checked_record(retries=1, start_period=60 * NANO)
    assert states(made, result(0, 110), result(1, 120)) == ["healthy", "unhealthy"]


def test_the_time_between_probes() -> None:
    """Docker's defaults; another one while it starts."""
    made = checked_record(start_period=60 * NANO)
    assert interval_s(made, 110) == 5
    assert interval_s(made, 160) == 30
    assert made.health is not None
    made.health.status = health.HEALTHY
    assert interval_s(made, 110) == 30
    assert interval_s(checked_record(interval=NANO // 2), 110) == 0.5
    assert health.timeout_s(_check(made)) == 30


@pytest.mark.parametrize(
    ("test", "args"),
    [
        (None, None),
        ([], None),
        (["NONE"], None),
        (["CMD"], None),
        (["WHATEVER", "x"], None),
        (["CMD", "curl", "x"], ["curl", "x"]),
        (["CMD-SHELL", "a | b"], ["/bin/sh", "-c", "a | b"]),
    ],
)
def test_what_is_run(test: list[str] | None, args: list[str] | None) -> None:
    """A program as it stands, a line for the shell, or nothing."""
    asked = health.of(Healthcheck(test=test), None)
    assert (list(asked.args) if asked else None) == args
    assert health.of(None, None) is None


@pytest.mark.parametrize(
    ("test", "args"),
    [
        (["HYPER-TCP", "127.0.0.1:80"], ["probe", "tcp", "127.0.0.1:80"]),
        (["HYPER-TCP", "[::1]:80"], ["probe", "tcp", "[::1]:80"]),
        (["HYPER-HTTP", "http://127.0.0.1"], ["probe", "http", "127.0.0.1:80", "/"]),
        (
            ["HYPER-HTTP", "http://localhost:8080/a?b", "X: y"],
            ["probe", "http", "127.0.0.1:8080", "/a?b", "X: y"],
        ),
    ],
)
def test_the_agent_may_ask(test: list[str], args: list[str]) -> None:
    """Whether a port is open, or a page is there: a function of the agent, not a program of the container."""
    assert health.of(Healthcheck(test=test), None) == HealthCheck(tuple(args), True)


@pytest.mark.parametrize(
    "test",
    [
        ["HYPER-TCP"],
        ["HYPER-TCP", "80"],
        ["HYPER-TCP", "example.com:80"],
        ["HYPER-TCP", "127.0.0.1:0"],
        ["HYPER-TCP", "127.0.0.1:99999"],
        ["HYPER-HTTP", "https://127.0.0.1/"],
        ["HYPER-HTTP", "http://example.com/"],
        ["HYPER-HTTP", "http://127.0.0.1/a b"],
    ],
)
def test_what_the_agent_cannot_ask(test: list[str]) -> None:
    """Found out when the container is made."""
    with pytest.raises(InvalidRequest, match=r"Healthcheck\.Test"):
        health.check(Healthcheck(test=test))


def test_the_shell_may_be_another() -> None:
    """As the client says."""
    asked = health.of(Healthcheck(test=["CMD-SHELL", "x"]), ["/bin/bash", "-ec"])
    assert asked == HealthCheck(("/bin/bash", "-ec", "x"))


def test_what_the_client_leaves_out_is_the_images() -> None:
    """Member by member; NONE switches it off."""
    check = oci.Healthcheck(test=("CMD", "a"), interval=5 * NANO, retries=7)
    image = image_defaults(oci.ContainerConfig(cmd=("true",), healthcheck=check))
    merged = merge(ContainerConfig(), image).healthcheck
    assert merged == Healthcheck(test=["CMD", "a"], interval=5 * NANO, retries=7)
    asked = ContainerConfig(healthcheck=Healthcheck(test=["NONE"], retries=1))
    assert merge(asked, image).healthcheck == Healthcheck(
        test=["NONE"], interval=5 * NANO, retries=1
    )


@pytest.mark.parametrize(
    ("check", "words"),
    [
        (Healthcheck(interval=1), "Interval in Healthcheck cannot be less than 1ms"),
        (Healthcheck(timeout=-1), "Timeout in Healthcheck cannot be less than 1ms"),
        (Healthcheck(start_period=10), "StartPeriod in Healthcheck cannot be less than 1ms"),
        (Healthcheck(start_interval=10), "StartInterval in Healthcheck cannot be less than 1ms"),
        (Healthcheck(retries=-1), "Retries in Healthcheck cannot be negative"),
        (Healthcheck(interval=2**70), "is too long"),
    ],
)
def test_times_that_cannot_be(check: Healthcheck, words: str) -> None:
    """In Docker's words."""
    with pytest.raises(InvalidRequest, match=words):
        health.check(check)


def test_output_is_bounded() -> None:
    """4096 bytes, and a sign that there was more; bytes that are no text do not matter."""
    head = health.OutputHead()
    head.feed(b"\xff" + b"a" * 4095)
    assert head.text() == "\ufffd" + "a" * 4095
    head.feed(b"b")
    assert head.text().endswith("a...")

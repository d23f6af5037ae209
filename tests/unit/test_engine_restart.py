"""Restart policies: who is started again, and after how long."""

from __future__ import annotations

import signal

import pytest

from hyper.engine.record.container import ContainerRecord
from hyper.engine.record.container_spec import Program
from hyper.engine.record.state import Status
from hyper.engine.spec import restart
from hyper.errors import InvalidRequest
from hyper.types.container import HostConfig, RestartPolicy
from tests.support.records import plain_record


def record(policy: str, count: int = 0, **members: object) -> ContainerRecord:
    """A container that has run, with that policy."""
    host = HostConfig(restart_policy=RestartPolicy(policy, count))
    made = plain_record(host=host)
    made.started_ns, made.status = 1, Status.EXITED
    for name, value in members.items():
        setattr(made, name, value)
    return made


def test_the_waits_double_up_to_a_minute_and_start_over() -> None:
    """100 ms first; a run of ten seconds, or a person's start, is a fresh beginning."""
    backoff = restart.Backoff()
    waits = [backoff.next_delay_s(ran_s=1) for _ in range(12)]
    assert waits[:4] == [0.1, 0.2, 0.4, 0.8]
    assert waits[-2:] == [60.0, 60.0]
    assert backoff.next_delay_s(ran_s=10) == 0.1
    assert backoff.next_delay_s(ran_s=9.9) == 0.2
    backoff.reset()
    assert backoff.next_delay_s(ran_s=0) == 0.1


@pytest.mark.parametrize(
    ("made", "code", "again"),
    [
        (record(""), 1, False),
        (record("no"), 1, False),
        (record("always"), 0, True),
        (record("unless-stopped"), 0, True),
        (record("unless-stopped", manually_stopped=True), 1, False),
        (record("on-failure"), 0, False),
        (record("on-failure", restart_count=1000), 1, True),
        (record("on-failure", 2, restart_count=1), 1, True),
        (record("on-failure", 2, restart_count=2), 1, False),
    ],
)
def test_who_is_started_again(made: ContainerRecord, code: int, again: bool) -> None:
    """As Docker's restart manager decides it."""
    assert restart.wants_restart(made, code) is again


@pytest.mark.parametrize(
    ("made", "starts"),
    [
        (record("always", manually_stopped=True), True),
        (record("unless-stopped"), True),
        (record("unless-stopped", manually_stopped=True), False),
        (record("on-failure", exit_code=1), False),
        (record("on-failure", status=Status.RESTARTING), True),
        (record("always", started_ns=0, status=Status.CREATED), False),
        (record("no"), False),
    ],
)
def test_what_a_starting_daemon_starts(made: ContainerRecord, starts: bool) -> None:
    """What was never started, or was stopped for good, stays down."""
    assert restart.starts_with_daemon(made) is starts


def test_which_signals_are_a_wish_to_end() -> None:
    """The stop signal and KILL; all of them where the image names no stop signal."""
    assert restart.ends_the_policy(Program(("x",)), 1)
    own = Program(("x",), stop_signal=signal.SIGQUIT)
    assert [restart.ends_the_policy(own, number) for number in (1, 3, 9)] == [False, True, True]


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (RestartPolicy("sometimes"), "unknown policy 'sometimes'"),
        (RestartPolicy("always", 3), "maximum retry count can only be used with 'on-failure'$"),
        (RestartPolicy("no", -1), "'on-failure' and cannot be negative"),
        (RestartPolicy("on-failure", -1), "maximum retry count cannot be negative"),
    ],
)
def test_policies_there_are_not(policy: RestartPolicy, words: str) -> None:
    """In Docker's words."""
    with pytest.raises(InvalidRequest, match=words):
        restart.check(HostConfig(restart_policy=policy))

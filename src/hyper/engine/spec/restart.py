"""Restart policies: whether and when an ended container is started again.

Source: moby, restartmanager/restartmanager.go and daemon/monitor.go. The count is the container's own, so that a
daemon that was killed goes on counting.
"""

from __future__ import annotations

import signal
from typing import Final

from hyper.engine.record.container import ContainerRecord
from hyper.engine.record.container_spec import Program, Restart
from hyper.engine.record.state import Status
from hyper.errors import InvalidRequest
from hyper.types.container import HostConfig

#: The first wait, what each further one is multiplied by, and the longest.
FIRST_DELAY_S: Final = 0.1
_FACTOR: Final = 2
MAX_DELAY_S: Final = 60.0
#: A run of at least this length starts the waits over.
LONG_RUN_S: Final = 10.0
NEVER: Final = "no"
_POLICIES: Final = ("no", "always", "on-failure", "unless-stopped")


class Backoff:
    """The waits between starts of one container: 100 ms, doubled each time, at most a minute."""

    def __init__(self) -> None:
        self._delay_s = 0.0

    def next_delay_s(self, *, ran_s: float) -> float:
        """The next wait in seconds, after a run of ``ran_s`` seconds."""
        if ran_s >= LONG_RUN_S or not self._delay_s:
            self._delay_s = FIRST_DELAY_S
        else:
            self._delay_s = min(self._delay_s * _FACTOR, MAX_DELAY_S)
        return self._delay_s

    def reset(self) -> None:
        """The container was started by a client: the waits start over."""
        self._delay_s = 0.0


def wants_restart(record: ContainerRecord, code: int) -> bool:
    """Whether a container whose program ended by itself, or with its machine, with ``code`` is started again."""
    rule = record.spec.restart
    match rule.when:
        case Restart.ALWAYS:
            return True
        case Restart.UNLESS_STOPPED:
            return not record.manually_stopped
        case Restart.ON_FAILURE:
            return code != 0 and (rule.most == 0 or record.restart_count < rule.most)
        case Restart.NEVER:
            return False


def starts_with_daemon(record: ContainerRecord) -> bool:
    """Whether a starting daemon starts a container that does not run (one never started stays so)."""
    if record.status is Status.RESTARTING:
        return True
    lasting = record.spec.restart.when in (Restart.ALWAYS, Restart.UNLESS_STOPPED)
    ended = record.status is Status.EXITED and record.started_ns > 0
    return lasting and ended and wants_restart(record, record.exit_code)


def ends_the_policy(program: Program, number: int) -> bool:
    """Whether a container that a client sent signal ``number`` is not started again once it ends, as in Docker.

    Its own stop signal (or KILL) does that if it has one; else any signal.
    """
    if program.stop_signal is None or number == signal.SIGKILL:
        return True
    return number == program.stop_signal


def check(host: HostConfig) -> None:
    """The restart policy exists and goes with the rest of the host configuration.

    Source: moby, api/types/container/hostconfig.go ValidateRestartPolicy.

    Raises:
        InvalidRequest: not so (Docker's words).
    """
    policy = host.restart_policy
    count = policy.maximum_retry_count
    if policy.name not in ("", *_POLICIES):
        raise InvalidRequest(
            f"invalid restart policy: unknown policy '{policy.name[:100]}'; "
            "use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
        )
    if policy.name == "on-failure":
        if count < 0:
            raise InvalidRequest("invalid restart policy: maximum retry count cannot be negative")
    elif policy.name and count != 0:
        text = "invalid restart policy: maximum retry count can only be used with 'on-failure'"
        raise InvalidRequest(f"{text} and cannot be negative" if count < 0 else text)
    if host.auto_remove and policy.name not in ("", NEVER):
        raise InvalidRequest("can't create 'AutoRemove' container with restart policy")

"""Seccomp profiles, on dockerd and on hyperd: what programs may do, and what execs may."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import DOCKER, HYPER, call
from tests.support.dockerd import Engine

pytestmark = pytest.mark.root


@pytest.fixture
def engine(full_engine: Engine) -> Engine:
    """Either."""
    return full_engine


def option(folder: Path, default: str, *rules: dict[str, Any]) -> str:
    """The option that names a profile's file."""
    path = folder / "profile.json"
    path.write_text(json.dumps({"defaultAction": default, "syscalls": list(rules)}, indent=1))
    return f"seccomp={path}"


@pytest.mark.parametrize("client", [DOCKER, HYPER], ids=["docker", "hyper"])
def test_a_call_is_refused(engine: Engine, client: list[str], tmp_path: Path) -> None:
    """To the program and to execs, privileged ones too, with the error asked for; the rest works."""
    rules = (
        {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28},
        {"names": ["chmod", "fchmodat"], "action": "SCMP_ACT_ERRNO"},
    )
    flag = ("--security-opt", option(tmp_path, "SCMP_ACT_ALLOW", *rules))
    script = "mkdir /x; chmod 700 /tmp; touch /y; ls /y; echo up; exec sleep 6000"
    words = ("run", "-d", "--name", "held", *flag, engine.image, "sh", "-c", script)
    done = call(engine, client, *words)
    assert done.returncode == 0, done.stderr
    try:
        refused = call(engine, client, "exec", "held", "mkdir", "/z")
        assert (refused.returncode, b"No space left on device" in refused.stderr) == (1, True)
        # 126: a dockerd that may not give what it does not have itself.
        refused = call(engine, client, "exec", "--privileged", "held", "mkdir", "/z")
        assert refused.returncode in ((1,) if engine.is_hyper else (1, 126))
        # The program's words are there when an exec sees that it has become a sleep.
        call(
            engine,
            client,
            "exec",
            "held",
            "sh",
            "-c",
            "until grep -q ^sleep /proc/1/cmdline; do :; done",
        )
        logs = call(engine, client, "logs", "held")
        assert logs.stdout == b"/y\nup\n"
        assert b"No space left on device" in logs.stderr
        assert b"Operation not permitted" in logs.stderr
    finally:
        call(engine, client, "rm", "-f", "held")


def test_a_program_is_killed(engine: Engine, tmp_path: Path) -> None:
    """By SIGSYS, which is exit code 159."""
    flag = option(tmp_path, "SCMP_ACT_ALLOW",
                  {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_KILL_PROCESS"})  # fmt: skip
    words = ("run", "--rm", "--init", "--security-opt", flag, engine.image, "mkdir", "/x")
    assert call(engine, DOCKER, *words).returncode == 159


@pytest.mark.parametrize("text", ["{", '{"defaultAction": "SCMP_ACT_WISH"}', "[]"])
def test_what_is_no_profile(engine: Engine, tmp_path: Path, text: str) -> None:
    """No container runs. (hyperd says so when it is made, dockerd when it is started.)"""
    path = tmp_path / "profile.json"
    path.write_text(text)
    words = ("run", "--rm", "--security-opt", f"seccomp={path}", engine.image, "true")
    done = call(engine, DOCKER, *words)
    assert (done.returncode in (1, 125), done.stdout) == (True, b"")

"""Ctrl-C while a test waits for a service to come up: the service has ended when the interrupt goes on."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.support import registry as registries
from tests.support.hyperd import Hyperd, hyperd

#: A daemon that says in a file that it runs, and never that it serves.
PROGRAM = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(3600)"


def interrupting(call: Callable[..., Any]) -> Callable[..., Any]:
    """``call`` with a Ctrl-C in place of its answer."""

    def interrupted(*args: Any, **words: Any) -> Any:
        call(*args, **words)
        raise KeyboardInterrupt

    return interrupted


def is_reaped(pid: int) -> bool:
    """Whether no such process is left, not even one that nobody waited for."""
    return not Path(f"/proc/{pid}").exists()


def test_hyperd_that_was_interrupted_at_its_start_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its folder was removed before under a daemon that went on."""
    told = tmp_path / "pid"
    os.mkfifo(told)

    class Slow(Hyperd):
        def argv(self) -> list[str]:
            return [sys.executable, "-c", PROGRAM, str(told)]

    pids: list[int] = []

    def begun(*_: Any) -> None:
        pids.append(int(told.read_text()))

    monkeypatch.setattr("tests.support.hyperd.os.fdopen", interrupting(begun))
    with pytest.raises(KeyboardInterrupt), hyperd(kind=Slow):
        pass
    assert is_reaped(*pids)


def test_registry_that_was_interrupted_at_its_start_has_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The context has not been entered then, and has nothing to end."""
    pids: list[int] = []
    monkeypatch.setattr(
        registries, "_answers", interrupting(lambda process, _: pids.append(process.pid))
    )
    made: AbstractContextManager[Any] = registries.registry()
    with pytest.raises(KeyboardInterrupt), made:
        pass
    assert is_reaped(*pids)

"""Workers whose output is a file of the store: how one is run, and which failure is whose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

from hyper.image import report
from hyper.image.squash import raise_if_full
from hyper.image.tarstream import BadLayer
from hyper.system.process import DEVNULL, Process, ProcessFailed, spawn

T = TypeVar("T")


async def write(
    module: str,
    options: dict[str, Any],
    kind: type[T],
    target: Path,
    *,
    stdin: int = DEVNULL,
    pass_fds: Sequence[int] = (),
    progress: Callable[[int], None] = lambda _: None,
) -> T:
    """The facts from the worker ``module``; its output is in ``target``, a new file that the caller removes.

    Raises:
        BadLayer: what it worked on is broken or hostile. OSError: ENOSPC and its kin.
        ProcessFailed: the worker failed for another reason.
    """
    with ExitStack() as stack:
        output = stack.enter_context(target.open("xb", buffering=0))
        report_out, report_in = report.roomy_pipe(stack)
        argv = report.argv(module, options, report_in.fileno())
        fds = (report_in.fileno(), *pass_fds)
        async with spawn(argv, stdin=stdin, stdout=output.fileno(), pass_fds=fds) as worker:
            report_in.close()
            last = await report.follow(report_out.fileno(), kind, progress)
            return await _outcome(worker, last, output.fileno())


async def _outcome(worker: Process, last: report.Line[T], output: int) -> T:
    if last.error is not None:
        raise BadLayer(last.error)
    if await worker.wait() != 0:
        raise_if_full(output)
    await worker.check()
    if last.facts is None:
        raise ProcessFailed(worker.argv, worker.status, worker.stderr_tail(), "said nothing")
    return last.facts

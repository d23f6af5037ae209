"""The converter and tar2sqfs as processes: from a blob to a squashfs file, the daemon's half."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import signal
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hyper.image import limits, report
from hyper.image.space import room_bytes
from hyper.image.tarstream import BadLayer
from hyper.image.worker import Facts
from hyper.system.privileges import UNPRIVILEGED
from hyper.system.process import DEVNULL, Process, ProcessFailed, spawn

#: Measured in docs/decisions/0002-images.md.
COMPRESSION = ("-c", "lz4")
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_PROBE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Bounds:
    """The bounds of what a layer may unpack to."""

    max_bytes: int = limits.MAX_LAYER_TAR_BYTES
    max_entries: int = limits.MAX_LAYER_ENTRIES


async def squash(
    blob: Path, target: Path, *, bounds: Bounds, progress: Callable[[int], None]
) -> Facts:
    """Make the squashfs ``target`` (new, synced, mode 0444) of the layer in ``blob``.

    ``progress`` gets the bytes of ``blob`` used so far. The caller compares the diff id, and removes ``target`` on
    failure.

    Raises:
        BadLayer: the layer is broken or hostile.
        OSError: ENOSPC and its kin.
        ProcessFailed: a program failed for another reason.
    """
    with blob.open("rb") as file:
        options = {"max_bytes": bounds.max_bytes, "max_entries": bounds.max_entries}
        for careful in (False, True):
            worker = {"module": "hyper.image.convert", "careful": careful, **options}
            facts = await run_worker(worker, target, stdin=file.fileno(), progress=progress)
            if facts is not None:
                return facts
    raise AssertionError("a careful conversion asked for another")


async def run_worker(
    options: dict[str, Any],
    target: Path,
    *,
    stdin: int = DEVNULL,
    pass_fds: Sequence[int] = (),
    progress: Callable[[int], None] = lambda _: None,
) -> Facts | None:
    """Run a worker module into tar2sqfs into ``target``. None if it asks to be started again.

    Raises: as `squash`.
    """
    with ExitStack() as stack:
        output = os.open(target, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        stack.callback(os.close, output)
        tar_out, tar_in = report.roomy_pipe(stack)
        report_out, report_in = report.roomy_pipe(stack)
        _hand_over(output)
        argv = report.argv(options["module"], options, report_in.fileno())
        async with (
            spawn(
                _tar2sqfs(output, room_bytes(target.parent)),
                stdin=tar_out.fileno(),
                pass_fds=(output,),
            ) as packer,
            spawn(
                argv, stdin=stdin, stdout=tar_in.fileno(), pass_fds=(report_in.fileno(), *pass_fds)
            ) as worker,
        ):
            for end in (tar_out, tar_in, report_in):
                end.close()
            last = await report.follow(report_out.fileno(), Facts, progress)
            facts = await _outcome(worker, packer, last, output)
        if facts is not None:
            await _finish(output)
        return facts


async def _outcome(
    worker: Process, packer: Process, last: report.Line[Facts], output: int
) -> Facts | None:
    """The facts of a run; None: start again. Raises by whose fault a failure is: layer's, disk's or program's."""
    if last.error is not None:
        raise BadLayer(last.error)
    if last.again:
        return None
    status = await packer.wait()
    if status == -signal.SIGXFSZ:
        raise OSError(errno.ENOSPC, "only the reserve for containers is left")
    if status != 0:
        raise_if_full(output)
    if last.facts is None:
        if packer.status == 0:
            await worker.check()
            raise ProcessFailed(worker.argv, worker.status, worker.stderr_tail(), "said nothing")
        await packer.check()
    await packer.check()
    await worker.check()
    return last.facts


def raise_if_full(output: int) -> None:
    """The file system has room: programs tell in words only that they could not write, so it is asked itself.

    Raises:
        OSError: there is no space left.
    """
    try:
        os.posix_fallocate(output, os.fstat(output).st_size, _PROBE_BYTES)
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise


async def _finish(output: int) -> None:
    os.fchmod(output, 0o444)
    if os.geteuid() == 0:
        os.fchown(output, 0, 0)
    await asyncio.to_thread(os.fsync, output)


def _tar2sqfs(output: int, most_bytes: int) -> list[str]:
    """The command of tar2sqfs, which is ended by SIGXFSZ when it writes more than that."""
    argv = ["tar2sqfs", "--quiet", "--force", "--no-skip", *COMPRESSION, f"/proc/self/fd/{output}"]
    _, ours = resource.getrlimit(resource.RLIMIT_FSIZE)  # nobody may raise it without a capability
    most_bytes = most_bytes if ours == resource.RLIM_INFINITY else min(most_bytes, ours)
    limited = ["prlimit", f"--fsize={most_bytes}", "--"]
    if os.geteuid() != 0:
        return [*limited, *argv]
    identity = ["--reuid", str(UNPRIVILEGED), "--regid", str(UNPRIVILEGED), "--clear-groups"]
    return [*limited, "setpriv", *identity, "--no-new-privs", "--", *argv]


def _hand_over(output: int) -> None:
    """The file ``target`` can be opened again through /proc by the unprivileged tar2sqfs."""
    os.fchmod(output, 0o600)
    if os.geteuid() == 0:
        os.fchown(output, UNPRIVILEGED, UNPRIVILEGED)

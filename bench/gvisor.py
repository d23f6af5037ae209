"""gVisor, Debian's runsc: another answer to the same question."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from tests.support.dockerd import BUSYBOX

from bench.measure import REST_S, Failed, Missing, by_turns, wall_ms
from bench.row import Goal, Row
from bench.stage import Client, Stage

#: Alone, on this kind of machine when the project began, once: quoted where there is no runsc.
_QUOTED_MS = 245
#: Debian's release of 2022 takes every network namespace of a newer kernel for the host's own, and refuses it. Without
#: a network of its own it does less than its peers.
_NO_NETWORK = "--network=none"
_PLATFORM = "default platform (ptrace), without a network: it refuses those of this kernel"


def rows(stage: Stage, runs: int) -> Iterator[Row]:
    """`run` beside gVisor: as a runtime of Docker, and alone (no engine, no network, no image)."""
    runsc = shutil.which("runsc")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        engines: list[Client] = []

        def docker() -> float:
            if not engines:
                engines.append(stack.enter_context(_docker(stage, runsc, folder)))
            client = engines[0]
            with _missing_if_failed():
                return client.time_ms("run", "--rm", "--runtime", "runsc", client.image, "true")

        _make_bundle(folder)
        hyper = stage.hyper
        ours, under, alone = by_turns(
            runs,
            lambda: hyper.time_ms("run", "--rm", hyper.image, "true"),
            docker,
            lambda: _alone_ms(runsc, folder),
            rest_s=REST_S,
        )
    command = "`docker run --rm --runtime runsc busybox true`"
    yield _row(stage, "docker with runsc", ours, under, command, _PLATFORM)
    if alone:
        command = f"`runsc {_NO_NETWORK} run` of an OCI bundle"
        yield _row(stage, "runsc alone", ours, alone, command, f"no engine, no image; {_PLATFORM}")
    else:
        note = "not measured: no runsc here; quoted, once on another machine of this kind"
        row = _row(stage, "runsc alone (quoted)", ours, [_QUOTED_MS], "", note)
        yield replace(row, goal=None)


def _row(
    stage: Stage, peer: str, ours: list[float], theirs: list[float], command: str, note: str
) -> Row:
    return Row(
        f"`run --rm busybox true` beside gVisor, {peer}",
        "ms",
        ours,
        Goal(1.0, ratio=True),
        theirs,
        accelerator=stage.accelerator,
        peer_name=peer,
        command=", ".join(filter(None, ["`hyper run --rm busybox true`", command])),
        note=note,
    )


@contextmanager
def _docker(stage: Stage, runsc: str | None, folder: Path) -> Iterator[Client]:
    """A dockerd that knows it as a runtime. Raises: Missing."""
    if runsc is None:
        raise Missing("there is no runsc")
    program = folder / "runsc"
    program.write_text(f'#!/bin/sh\nexec {runsc} {_NO_NETWORK} "$@"\n')
    program.chmod(0o755)
    with stage.fresh_docker("--add-runtime", f"runsc={program}") as client:
        try:
            yield client
        finally:
            _end_strays(client.folder)


def _end_strays(folder: Path) -> None:
    """End what a container that failed to start has left: Docker forgets it."""
    strays = [
        int(pid)
        for file in Path("/sys/fs/cgroup").glob(f"*/{folder.name}/*/cgroup.procs")
        for pid in file.read_text().split()
    ]
    address = f"-address\0{folder}/".encode()
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if address in entry.read_bytes():
                strays.append(int(entry.parent.name))
    for pid in set(strays):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    _remove_groups(folder.name)


def _remove_groups(name: str) -> None:
    for _ in range(100):
        left = list(Path("/sys/fs/cgroup").glob(f"*/{name}/*/cgroup.procs"))
        for file in left:
            with contextlib.suppress(OSError):  # its processes are not gone yet
                file.parent.rmdir()
        if not left:
            return
        time.sleep(0.02)


def _make_bundle(folder: Path) -> None:
    """An OCI bundle whose program is busybox's `true`."""
    programs = folder / "rootfs/bin"
    programs.mkdir(parents=True)
    shutil.copy(BUSYBOX, programs / "true")
    kinds = ("pid", "network", "ipc", "uts", "mount")
    config = {
        "ociVersion": "1.0.0",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": ["/bin/true"],
            "env": ["PATH=/bin"],
            "cwd": "/",
        },
        "root": {"path": "rootfs", "readonly": True},
        "linux": {"namespaces": [{"type": kind} for kind in kinds]},
    }
    (folder / "config.json").write_text(json.dumps(config))


def _alone_ms(runsc: str | None, folder: Path) -> float:
    if runsc is None:
        raise Missing("there is no runsc")
    options = (f"--root={folder}/state", _NO_NETWORK, "--ignore-cgroups")
    argv = [runsc, *options, "run", f"--bundle={folder}", folder.name]
    with _missing_if_failed():
        return wall_ms(argv, {"PATH": "/bin"})


@contextmanager
def _missing_if_failed() -> Iterator[None]:
    """A gVisor that does not work on this machine is as good as none."""
    try:
        yield
    except Failed as error:
        raise Missing(f"runsc does not run here: {error}") from None

"""Verdicts: found once, kept, and found again when the host changes."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from hyper.errors import MachineError
from hyper.machine import probe
from hyper.machine.driver import Machine, MachineExit, MachineRecord, MachineStats, P
from hyper.machine.probe import Accelerator, Fingerprint, Probe
from hyper.machine.qemu import accelerators
from hyper.machine.qemu.accelerators import ACCELERATORS
from hyper.machine.spec import Limits, MachineSpec
from hyper.proto.frame import FrameDecoder
from hyper.proto.hello import GuestHello, HostHello
from hyper.proto.limits import VERSION
from hyper.proto.message import encode_hello
from hyper.sandbox.probe import meet
from tests.support.agent import over

FINGERPRINT = Fingerprint(kernel="6.1", cpu="cpu", hypervisor="qemu", guest="guest")
KERNEL, INITRD = Path("/k"), Path("/i")
TCG = ACCELERATORS["tcg"]


class FakeMachine:
    """A machine whose agent answers HELLO, or never; ``version``: of the protocol that it speaks."""

    def __init__(self, *, answers: bool, version: int = VERSION) -> None:
        self.killed = False
        self._version = version
        self._answers = answers
        self._ours, self._theirs = socket.socketpair()
        for stream in (self._ours, self._theirs):
            stream.setblocking(False)

    record = MachineRecord("fake", "m")

    async def connect(self, make: Callable[[], P], /) -> P:
        if self._answers:
            asyncio.get_running_loop().add_reader(self._theirs, self._answer)
        return await over(self._ours)(make)

    def _answer(self) -> None:
        [frame] = FrameDecoder().feed(self._theirs.recv(65536))
        hello = HostHello.decode(frame.body)
        self._theirs.send(encode_hello(GuestHello(hello.nonce, 1, "fake", version=self._version)))

    async def wait(self) -> MachineExit:
        return MachineExit(status=1, stderr="why\n", console="panic")

    async def kill(self) -> None:
        self.killed = True
        asyncio.get_running_loop().remove_reader(self._theirs)
        self._theirs.close()

    async def pause(self) -> None: ...
    async def resume(self) -> None: ...
    async def close(self) -> None: ...
    async def limit(self, limits: Limits) -> None: ...
    async def paused(self) -> bool:
        raise NotImplementedError

    async def stats(self) -> MachineStats:
        raise NotImplementedError

    def on_share_lost(self, callback: Callable[[str], None]) -> None:
        raise NotImplementedError

    def fail(self, cause: str) -> None:
        raise NotImplementedError

    def console_tail(self) -> str:
        return ""


class Launcher:
    """Counts what it launches."""

    def __init__(self, make: Callable[[], FakeMachine]) -> None:
        self.machines: list[FakeMachine] = []
        self._make = make

    async def __call__(self, spec: MachineSpec, accelerator: str) -> Machine:
        assert spec.run_dir.stat().st_mode & 0o777 == 0o700
        self.machines.append(self._make())
        return cast(Machine, self.machines[-1])


def make(tmp_path: Path, launch: probe.Launch) -> Probe:
    return Probe("fake", launch=launch, meet=meet, state_dir=tmp_path / "state", uid=None)


async def test_verdict_asked_for_twice_boots_once(tmp_path: Path) -> None:
    launch = Launcher(lambda: FakeMachine(answers=True))
    first = await make(tmp_path, launch).verdict(
        TCG, fingerprint=FINGERPRINT, kernel=KERNEL, initrd=INITRD
    )
    again = await make(tmp_path, launch).verdict(
        TCG, fingerprint=FINGERPRINT, kernel=KERNEL, initrd=INITRD
    )
    assert first == again
    assert first.usable
    assert first.boot_ms is not None
    assert [machine.killed for machine in launch.machines] == [True]
    assert [path.name for path in (tmp_path / "state").iterdir()] == [probe.FILE]


@pytest.mark.parametrize("field", ["kernel", "cpu", "hypervisor", "guest"])
async def test_verdict_after_a_change_is_found_anew(tmp_path: Path, field: str) -> None:
    launch = Launcher(lambda: FakeMachine(answers=True))
    changed = Fingerprint(
        **{"kernel": "6.1", "cpu": "cpu", "hypervisor": "qemu", "guest": "guest", field: "new"}
    )
    for fingerprint in (FINGERPRINT, changed):
        await make(tmp_path, launch).verdict(
            TCG, fingerprint=fingerprint, kernel=KERNEL, initrd=INITRD
        )
    assert len(launch.machines) == 2


async def test_verdict_in_a_damaged_file_is_found_anew(tmp_path: Path) -> None:
    launch = Launcher(lambda: FakeMachine(answers=True))
    asked = make(tmp_path, launch)
    await asked.verdict(TCG, fingerprint=FINGERPRINT, kernel=KERNEL, initrd=INITRD)
    for damage in ("", "[]", "{", json.dumps({"version": 99})):
        (tmp_path / "state" / probe.FILE).write_text(damage)
        assert (
            await asked.verdict(TCG, fingerprint=FINGERPRINT, kernel=KERNEL, initrd=INITRD)
        ).usable
    assert len(launch.machines) == 5


async def test_verdict_on_a_guest_that_hangs_is_remembered(tmp_path: Path) -> None:
    hasty = replace(TCG, deadline_s=0.05)
    launch = Launcher(lambda: FakeMachine(answers=False))
    for _ in range(2):
        verdict = await make(tmp_path, launch).verdict(
            hasty, fingerprint=FINGERPRINT, kernel=KERNEL, initrd=INITRD
        )
        assert not verdict.usable
        assert verdict.reason == "a guest did not come up within 0.05 s"
    assert [machine.killed for machine in launch.machines] == [True]


async def test_verdict_when_the_hypervisor_fails_is_unusable(tmp_path: Path) -> None:
    async def launch(spec: MachineSpec, accelerator: str) -> Machine:
        raise MachineError("no such CPU")

    verdict = await make(tmp_path, launch).verdict(
        TCG, fingerprint=FINGERPRINT, kernel=KERNEL, initrd=INITRD
    )
    assert (verdict.usable, verdict.reason) == (
        False,
        "no guest came up: no such CPU",
    )


@pytest.mark.parametrize(("exists", "reason"), [(False, "there is no"), (True, "may not open")])
async def test_obstacle_seen_without_a_boot_is_not_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exists: bool, reason: str
) -> None:
    node = tmp_path / "kvm"
    monkeypatch.setattr(accelerators, "KVM_DEVICE", node)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    if exists:
        node.touch()
    launch = Launcher(lambda: FakeMachine(answers=True))
    asked = make(tmp_path, launch)
    verdict = await asked.verdict(
        ACCELERATORS["kvm"], fingerprint=FINGERPRINT, kernel=KERNEL, initrd=INITRD
    )
    assert not verdict.usable
    assert reason in verdict.reason
    monkeypatch.undo()
    assert launch.machines == []
    assert not (tmp_path / "state").exists()


def test_fingerprint_of_a_missing_file_names_it(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match=r"vmlinux: No such file"):
        Fingerprint.current(hypervisor=Path("/bin/sh"), guest=[tmp_path / "vmlinux"])


async def test_known_verdict_while_another_boots_is_told_at_once(tmp_path: Path) -> None:
    """Neither ``known`` nor a verdict that is kept waits for the guest that says nothing."""
    xen = Accelerator("xen", 60.0)
    ready = await make(tmp_path, Launcher(lambda: FakeMachine(answers=True))).verdict(
        TCG, fingerprint=FINGERPRINT, kernel=KERNEL, initrd=INITRD
    )
    launch = Launcher(lambda: FakeMachine(answers=False))
    asked = make(tmp_path, launch)
    silent = asyncio.create_task(
        asked.verdict(xen, fingerprint=FINGERPRINT, kernel=KERNEL, initrd=INITRD)
    )
    while not launch.machines:
        await asyncio.sleep(0)
    assert asked.known(xen, fingerprint=FINGERPRINT) is None
    assert asked.known(TCG, fingerprint=FINGERPRINT) == ready
    assert await asked.verdict(TCG, fingerprint=FINGERPRINT, kernel=KERNEL, initrd=INITRD) == ready
    silent.cancel()
    await asyncio.wait([silent])
    assert launch.machines[0].killed


@pytest.mark.parametrize(
    ("version", "who"),
    [
        (VERSION + 1, "the agent broke its protocol: "),
        (VERSION - 1, "the agent is of an older hyperd: "),
    ],
)
async def test_verdict_on_a_guest_of_another_protocol_is_unusable(
    version: int, who: str, tmp_path: Path
) -> None:
    """An initrd whose agent speaks another version of the protocol boots, and is of no use to this daemon."""
    launch = Launcher(lambda: FakeMachine(answers=True, version=version))
    verdict = await make(tmp_path, launch).verdict(
        TCG, fingerprint=FINGERPRINT, kernel=KERNEL, initrd=INITRD
    )
    assert not verdict.usable
    assert verdict.reason == (
        f"no guest came up: {who}it speaks version {version}, we speak {VERSION}"
    )
    assert [machine.killed for machine in launch.machines] == [True]

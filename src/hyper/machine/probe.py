"""Verdicts on accelerators: which work here, found out by booting, remembered on disk.

That a device for it exists and opens proves nothing: there are hosts where machines can be made and every guest
hangs. So the kernel is booted with a deadline, and what counts is the agent's HELLO.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from hyper.errors import HyperError, MachineError
from hyper.machine.driver import Machine, Verdict
from hyper.machine.spec import MachineSpec
from hyper.system import files

log = logging.getLogger(__name__)

FILE = "verdicts.json"
_FILE_VERSION = 1
_MEMORY_MIB = 128

Launch = Callable[[MachineSpec, str], Awaitable[Machine]]


#: The handshake with the agent of a machine that boots, without a deadline of its own. Raises: HyperError.
Meet = Callable[[Machine], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Accelerator:
    """An accelerator of a driver: a way in which it executes guests, as probes have to know it."""

    name: str
    #: How long the kernel may take to the agent's HELLO. Emulation on a loaded host is slow; hardware is not.
    deadline_s: float
    #: Why no boot need be tried; None: it is to be. Not remembered: it costs nothing to see and is easily changed.
    obstacle: Callable[[], str | None] = lambda: None
    #: What of the host promises that it works, for the reason why it does not all the same; "": nothing does.
    sign: str = ""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A fingerprint of host, hypervisor and guest, on which a verdict depends: if any changes, it is found anew."""

    kernel: str
    cpu: str
    hypervisor: str
    guest: str

    @classmethod
    def current(cls, *, hypervisor: Path, guest: Iterable[Path]) -> Fingerprint:
        """The fingerprint of this host, with the program and the guest files that would be used.

        Raises:
            MachineError: one of them does not exist.
        """
        return cls(
            kernel=os.uname().release,
            cpu=_cpu_model(),
            hypervisor=_stamp(hypervisor),
            guest=" ".join(_stamp(path) for path in guest),
        )


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "unknown"


def _stamp(path: Path) -> str:
    try:
        status = path.stat()
    except OSError as error:
        raise MachineError(f"{path}: {error.strerror}") from error
    return f"{path}:{status.st_size}:{status.st_mtime_ns}"


class Probe:
    """The probe of one driver: its verdicts, kept in ``state_dir`` (made if missing)."""

    def __init__(
        self, driver: str, *, launch: Launch, meet: Meet, state_dir: Path, uid: int | None
    ) -> None:
        self._driver = driver
        self._launch = launch
        self._meet = meet
        self._dir = state_dir
        self._uid = uid
        self._lock = asyncio.Lock()

    async def verdict(
        self, accelerator: Accelerator, *, fingerprint: Fingerprint, kernel: Path, initrd: Path
    ) -> Verdict:
        """The remembered verdict on ``accelerator`` for ``fingerprint``, or a new one, by booting ``kernel``."""
        found = self.known(accelerator, fingerprint=fingerprint)
        if found is not None:  # another may be being tried meanwhile
            return found
        async with self._lock:
            known = self._load(fingerprint)
            if accelerator.name not in known:
                known[accelerator.name] = await self._try(accelerator, kernel, initrd)
                self._save(fingerprint, known)
            return known[accelerator.name]

    def known(self, accelerator: Accelerator, *, fingerprint: Fingerprint) -> Verdict | None:
        """The verdict on ``accelerator`` if it can be had without a boot."""
        obstacle = accelerator.obstacle()
        if obstacle is not None:
            return Verdict(self._driver, accelerator.name, usable=False, reason=obstacle)
        return self._load(fingerprint).get(accelerator.name)

    def run_dir(self, accelerator: Accelerator) -> Path:
        """The folder of the probe's machine's sockets: short, and always the same, so that leavings are found."""
        return self._dir / accelerator.name[0]

    async def _try(self, accelerator: Accelerator, kernel: Path, initrd: Path) -> Verdict:
        run_dir = self.run_dir(accelerator)
        files.make_private_dir(self._dir)
        files.make_private_dir(run_dir)
        mark = hashlib.sha256(os.fsencode(self._dir.resolve())).hexdigest()[:8]
        spec = MachineSpec(
            name=f"probe-{accelerator.name}-{mark}",
            vcpus=1,
            memory_mib=_MEMORY_MIB,
            kernel=kernel,
            initrd=initrd,
            disks=(),
            nics=(),
            run_dir=run_dir,
            uid=self._uid,
        )
        try:
            return await self._boot(spec, accelerator)
        finally:
            shutil.rmtree(run_dir)

    async def _boot(self, spec: MachineSpec, accelerator: Accelerator) -> Verdict:
        deadline_s = accelerator.deadline_s
        began = time.monotonic()
        machine: Machine | None = None
        try:
            async with asyncio.timeout(deadline_s):
                machine = await self._launch(spec, accelerator.name)
                await self._meet(machine)
        except TimeoutError:
            return self._refused(accelerator, f"a guest did not come up within {deadline_s:g} s")
        except HyperError as error:
            why = error.message.removeprefix(f"machine {spec.name} did not start: ")
            return self._refused(accelerator, f"no guest came up: {why}")
        finally:
            if machine is not None:
                await machine.kill()
        boot_ms = (time.monotonic() - began) * 1000
        why = f"a guest came up in {boot_ms:.0f} ms"
        return Verdict(self._driver, accelerator.name, usable=True, reason=why, boot_ms=boot_ms)

    def _refused(self, accelerator: Accelerator, why: str) -> Verdict:
        reason = f"{accelerator.sign} exists but {why}" if accelerator.sign else why
        log.info("%s is not usable: %s", accelerator.name, reason)
        return Verdict(self._driver, accelerator.name, usable=False, reason=reason)

    def _load(self, fingerprint: Fingerprint) -> dict[str, Verdict]:
        try:
            kept = json.loads((self._dir / FILE).read_bytes())
            if kept["version"] == _FILE_VERSION and kept["host"] == asdict(fingerprint):
                return {item["accelerator"]: Verdict(**item) for item in kept["verdicts"]}
        except (OSError, ValueError, KeyError, TypeError):
            pass  # missing, of an older Hyper, or damaged: found out again
        return {}

    def _save(self, fingerprint: Fingerprint, verdicts: dict[str, Verdict]) -> None:
        kept = {
            "version": _FILE_VERSION,
            "host": asdict(fingerprint),
            "verdicts": [asdict(item) for item in verdicts.values()],
        }
        files.make_private_dir(self._dir)
        files.write_atomically(self._dir / FILE, json.dumps(kept, indent=1).encode())

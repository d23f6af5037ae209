"""Verdicts on accelerators: which work here, found out by booting, remembered on disk.

That /dev/kvm exists and opens proves nothing: there are hosts where machines can be made and every guest
hangs. So the kernel is booted with a deadline, and what counts is the agent's HELLO.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import secrets
import shutil
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from hyper.errors import HyperError, MachineError
from hyper.machine.driver import Machine, Verdict
from hyper.machine.spec import MachineSpec
from hyper.proto.frame import FrameDecoder, FrameType
from hyper.proto.hello import GuestHello, HostHello
from hyper.proto.message import encode_hello
from hyper.system import files

log = logging.getLogger(__name__)

FILE = "verdicts.json"
_FILE_VERSION = 1
#: How long the kernel may take to the agent's HELLO. Emulation on a loaded host is slow; hardware is not.
DEADLINES_S = {"kvm": 5.0, "tcg": 60.0}
_MEMORY_MIB = 128
_CHUNK = 65536
_KVM = Path("/dev/kvm")

Launch = Callable[[MachineSpec, str], Awaitable[Machine]]


async def meet(machine: Machine) -> GuestHello:
    """The agent's answer to a HELLO. Waits for the guest to come up; without a deadline of its own.

    Raises:
        MachineError: the machine ended before it answered.
        OutdatedAgent: it speaks a lower version of the protocol.
        ProtocolError: it answered with something else, or speaks a higher version.
    """
    loop = asyncio.get_running_loop()
    hello = HostHello(
        nonce=secrets.token_bytes(16), realtime_ns=time.time_ns(), entropy=secrets.token_bytes(32)
    )
    decoder = FrameDecoder()
    with machine.agent_socket() as stream:
        try:
            await loop.sock_sendall(stream, encode_hello(hello))
            while data := await loop.sock_recv(stream, _CHUNK):
                for frame in decoder.feed(data):
                    if frame.type is FrameType.HELLO:
                        answer = GuestHello.decode(frame.body)
                        answer.require_version()
                        return answer
        except ConnectionError:
            pass  # as the end of the stream: the machine died
    ended = await machine.wait()
    why = ended.stderr.strip().rpartition("\n")[2] or "the guest ended"
    raise MachineError(f"the agent did not answer: {why}", console=ended.console)


@dataclass(frozen=True, slots=True)
class Host:
    """A fingerprint of the host, which a verdict depends on: a change in any of it asks for a new one."""

    kernel: str
    cpu: str
    hypervisor: str
    guest: str

    @classmethod
    def current(cls, *, hypervisor: Path, guest: Iterable[Path]) -> Host:
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


def _obstacle(accelerator: str) -> str | None:
    """The reason why no boot need be tried; not remembered, since it costs nothing to see and is easily changed."""
    if accelerator != "kvm":
        return None
    if not _KVM.exists():
        return f"there is no {_KVM}"
    if not os.access(_KVM, os.R_OK | os.W_OK):
        return f"{_KVM} exists but we may not open it (a member of the group kvm may)"
    return None


class Probe:
    """The probe of one driver: its verdicts, kept in ``state_dir`` (made if missing)."""

    def __init__(self, driver: str, *, launch: Launch, state_dir: Path, uid: int | None) -> None:
        self._driver = driver
        self._launch = launch
        self._dir = state_dir
        self._uid = uid
        self._lock = asyncio.Lock()

    async def verdict(self, accelerator: str, *, host: Host, kernel: Path, initrd: Path) -> Verdict:
        """The remembered verdict on ``accelerator`` for ``host``, or a new one, by booting ``kernel``."""
        found = self.known(accelerator, host=host)
        if found is not None:  # another may be being tried meanwhile
            return found
        async with self._lock:
            known = self._load(host)
            if accelerator not in known:
                known[accelerator] = await self._try(accelerator, kernel, initrd)
                self._save(host, known)
            return known[accelerator]

    def known(self, accelerator: str, *, host: Host) -> Verdict | None:
        """The verdict on ``accelerator`` if it can be had without a boot."""
        obstacle = _obstacle(accelerator)
        if obstacle is not None:
            return Verdict(self._driver, accelerator, usable=False, reason=obstacle)
        return self._load(host).get(accelerator)

    def run_dir(self, accelerator: str) -> Path:
        """The folder of the probe's machine's sockets: short, and always the same, so that leavings are found."""
        return self._dir / accelerator[0]

    async def _try(self, accelerator: str, kernel: Path, initrd: Path) -> Verdict:
        run_dir = self.run_dir(accelerator)
        files.make_private_dir(self._dir)
        files.make_private_dir(run_dir)
        mark = hashlib.sha256(os.fsencode(self._dir.resolve())).hexdigest()[:8]
        spec = MachineSpec(
            name=f"probe-{accelerator}-{mark}",
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

    async def _boot(self, spec: MachineSpec, accelerator: str) -> Verdict:
        deadline_s = DEADLINES_S[accelerator]
        began = time.monotonic()
        machine: Machine | None = None
        try:
            async with asyncio.timeout(deadline_s):
                machine = await self._launch(spec, accelerator)
                await meet(machine)
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
        return Verdict(self._driver, accelerator, usable=True, reason=why, boot_ms=boot_ms)

    def _refused(self, accelerator: str, why: str) -> Verdict:
        reason = f"{_KVM} exists but {why}" if accelerator == "kvm" else why
        log.info("%s is not usable: %s", accelerator, reason)
        return Verdict(self._driver, accelerator, usable=False, reason=reason)

    def _load(self, host: Host) -> dict[str, Verdict]:
        try:
            kept = json.loads((self._dir / FILE).read_bytes())
            if kept["version"] == _FILE_VERSION and kept["host"] == asdict(host):
                return {item["accelerator"]: Verdict(**item) for item in kept["verdicts"]}
        except (OSError, ValueError, KeyError, TypeError):
            pass  # missing, of an older Hyper, or damaged: found out again
        return {}

    def _save(self, host: Host, verdicts: dict[str, Verdict]) -> None:
        kept = {
            "version": _FILE_VERSION,
            "host": asdict(host),
            "verdicts": [asdict(item) for item in verdicts.values()],
        }
        files.make_private_dir(self._dir)
        files.write_atomically(self._dir / FILE, json.dumps(kept, indent=1).encode())

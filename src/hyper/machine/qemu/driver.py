"""The QEMU driver: listening sockets and disks opened by us, QEMU started around them in a jail."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import shutil
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from hyper.errors import Conflict, InvalidRequest, MachineError, reason
from hyper.machine import kernel_file
from hyper.machine.abilities import (
    MemoryGiveBack,
    SharedFolders,
    TapNetworking,
    Templates,
    UserNetworking,
)
from hyper.machine.driver import Description, MachineRecord, Verdict
from hyper.machine.probe import Fingerprint, Meet, Probe
from hyper.machine.process import file_server, share, state
from hyper.machine.process.console import Console
from hyper.machine.process.file_server import FileServer
from hyper.machine.process.inventory import Inventory
from hyper.machine.process.remains import Remains
from hyper.machine.process.state import RECORD_FILE
from hyper.machine.qemu import argv, saving
from hyper.machine.qemu.accelerators import ACCELERATORS, KVM_DEVICE
from hyper.machine.qemu.confinement import KVM_GID, group_limits, jail_for
from hyper.machine.qemu.descriptors import open_all
from hyper.machine.qemu.machine import (
    CONSOLE_SOCKET,
    MONITOR_SOCKET,
    SOCKETS,
    Parts,
    QemuMachine,
    connect_console,
)
from hyper.machine.qemu.ports import check_ports, port_conflict
from hyper.machine.qemu.qmp import Monitor
from hyper.machine.qemu.spec import QemuSpec
from hyper.machine.qemu.state import QemuState
from hyper.machine.qemu.version import BinaryVersion
from hyper.machine.spec import MachineSpec, Nic, TapNic, UserNic
from hyper.machine.template import Card, Memory, Slot, TemplateTerms
from hyper.system import affinity, cgroup, files, jail, launch, process
from hyper.system import socket as sockets
from hyper.system.jail import View
from hyper.system.launch import Jailed, LaunchFailed
from hyper.system.tsc import TscMeter

log = logging.getLogger(__name__)

NAME = "qemu"
#: How long QEMU may take from its start to its main loop. It takes 0.05 s; a loaded host may be slow.
_START_TIMEOUT_S = 30.0
#: Where the probe's machine runs when we are root: the last identity of the range, which no sandbox gets.
_PROBE_UID = jail.FIRST_MACHINE_UID + jail.MACHINE_UID_COUNT - 1


#: A page that a copy touches first where the template has none is there twice, once for all copies to come, and what a
#: copy frees does not go back to the host: small machines are worth it.
_TERMS = TemplateTerms(max_memory_mib=320, copy_mib=48, booted_mib=160)


class QemuDriver(Templates, SharedFolders, UserNetworking, TapNetworking, MemoryGiveBack):
    """The driver for QEMU.

    ``assets``: folder of the probe's ``vmlinux`` and ``initrd``. ``state_dir``: where verdicts are kept.
    ``meet``: the handshake with an agent (sandbox.probe.meet), for the driver to try accelerators with.
    ``accelerator``: ``auto`` takes the best that works, ``kvm`` and ``tcg`` insist.
    ``kernel``: what machines boot in place of ``vmlinux``.
    ``server``: what serves shared paths (`file_server.CHOICES`).
    """

    def __init__(
        self,
        *,
        assets: Path,
        state_dir: Path,
        meet: Meet,
        binary: Path = Path("/usr/bin/qemu-system-x86_64"),
        accelerator: str = "auto",
        kernel: Path | None = None,
        server: str = "auto",
    ) -> None:
        self._binary = binary
        self._ours, self._initrd = assets / "vmlinux", assets / "initrd"
        self._kernel = kernel or self._ours
        self._accelerators = ("kvm", "tcg") if accelerator == "auto" else (accelerator,)
        uid = _PROBE_UID if os.geteuid() == 0 else None
        self._probe = Probe(NAME, launch=self.launch_on, meet=meet, state_dir=state_dir, uid=uid)
        self._state_dir = state_dir
        self._assets, self._server = assets, server
        self._groups = cgroup.discover()
        inventory = Inventory(state_dir / "machines")
        self._remains = Remains(NAME, self._groups, inventory, SOCKETS)
        self._tsc = TscMeter()
        self._version = BinaryVersion(binary)
        self._chosen: str | None = None
        #: What is known of the last kernel that was not ours.
        self._foreign: dict[tuple[Path, int], bool] = {}

    @property
    def name(self) -> str:
        """The hypervisor's name: ``qemu``."""
        return NAME

    def max_disks(self, *, shared: bool) -> int:
        """The number of disks of one machine, whether it shares folders or not: see argv.MAX_DISKS."""
        return argv.MAX_DISKS

    @property
    def terms(self) -> TemplateTerms:
        """The terms of QEMU's templates."""
        return _TERMS

    @property
    def unlimited(self) -> tuple[str, ...]:
        """The limits that this host cannot enforce, each with its reason; empty when it can enforce all."""
        return self._groups.reasons

    async def probe(self) -> list[Verdict]:
        """Verdicts on every accelerator, best first."""
        fingerprint = self._fingerprint()
        return [await self._verdict(accelerator, fingerprint) for accelerator in self._accelerators]

    def verdicts(self) -> dict[str, Verdict | None]:
        """The verdicts known now on every accelerator, best first; None where only a boot will tell."""
        fingerprint = self._fingerprint()
        return {
            name: self._probe.known(ACCELERATORS[name], fingerprint=fingerprint)
            for name in self._accelerators
        }

    async def version(self) -> str:
        """The version of QEMU with its package's; asked once for each program file."""
        return await self._version.read()

    async def template_prefix(self) -> str:
        """The beginning of the keys of templates that can be used here now."""
        return _digest(f"{asdict(self._fingerprint())} {await self._accelerator()}")

    async def template_key(self, spec: MachineSpec, card: Card, slots: Sequence[Slot]) -> str:
        """The key of templates for machines like ``spec`` with a card of that kind."""
        # What differs from one machine of a shape to the next is made the same; all other arguments count.
        nics: dict[Card, tuple[Nic, ...]] = {
            Card.NONE: (),
            Card.TAP: (TapNic("02:00:00:00:00:00", 0),),
            Card.USER: (UserNic("02:00:00:00:00:00", "10.0.2.0/24"),),
        }
        command = argv.arguments(
            QemuSpec.of(
                replace(spec, name="template", nics=nics[card]), slots=slots, memory=Memory(0)
            ),
            binary=self._binary,
            accelerator=await self._accelerator(),
            fds=argv.MachineFds(agent=0, monitor=0, console=0, disks=()),
            # Each measurement differs a little; without one the machine is another.
            tsc_khz=None if await self._tsc.khz() is None else 1,
            timer_chips=await self._measures(spec.kernel),
        )
        return f"{await self.template_prefix()}-{_digest(' '.join(command))}"

    async def recover(self, kept: Collection[MachineRecord]) -> None:
        """The machines of probes run no more, nor any other that is not ``kept``."""
        await self._remains.end_strays(kept)
        for accelerator in self._accelerators:
            run_dir = self._probe.run_dir(ACCELERATORS[accelerator])
            if run_dir.exists():
                await self.clear(run_dir)
                shutil.rmtree(run_dir)

    def _fingerprint(self) -> Fingerprint:
        return Fingerprint.current(hypervisor=self._binary, guest=(self._kernel, self._initrd))

    async def _verdict(self, accelerator: str, fingerprint: Fingerprint) -> Verdict:
        return await self._probe.verdict(
            ACCELERATORS[accelerator],
            fingerprint=fingerprint,
            kernel=self._kernel,
            initrd=self._initrd,
        )

    async def launch(self, spec: MachineSpec) -> QemuMachine:
        """Start the machine on the best accelerator that works here, by ``launch_on``.

        Raises:
            MachineError: as ``launch_on``; also, an accelerator was insisted on that does not work.
        """
        return await self.launch_on(spec, await self._accelerator())

    async def launch_open(
        self, spec: MachineSpec, *, slots: Sequence[Slot], memory: Memory | None
    ) -> QemuMachine:
        """Start a machine with ``slots`` and no disks, as ``launch``; ``memory`` None: it has its own."""
        if spec.disks or spec.shared:
            raise InvalidRequest(f"open machine {spec.name} has no disks and shares nothing")
        given = QemuSpec.of(spec, slots=slots, memory=memory)
        return await self._launch(given, await self._accelerator())

    async def _accelerator(self) -> str:
        if self._chosen is None:
            self._chosen = await self._choose()
        return self._chosen

    async def _choose(self) -> str:
        """The accelerator to launch on. Emulation is taken without trying: its own failure would say more."""
        if "kvm" not in self._accelerators:
            return "tcg"
        verdict = await self._verdict("kvm", self._fingerprint())
        if verdict.usable:
            return "kvm"
        if "tcg" not in self._accelerators:
            raise MachineError(
                f"KVM was asked for and does not work here: {verdict.reason}",
                hint="set accelerator to auto to fall back to emulation",
            )
        log.warning("machines are emulated, which is slow: %s", verdict.reason)
        return "tcg"

    async def launch_on(self, spec: MachineSpec, accelerator: str) -> QemuMachine:
        """Start the machine: QEMU's main loop runs, the agent stream can be connected to.

        Raises:
            Conflict: a forwarded port is taken.
            InvalidRequest: the spec asks for what QEMU has not (too many disks, cards; an IPv6 forward).
            MachineError: it did not start. In every case nothing is left behind.
        """
        return await self._launch(QemuSpec.of(spec), accelerator)

    async def _launch(self, spec: QemuSpec, accelerator: str) -> QemuMachine:
        self._check(spec)
        await self.clear(spec.run_dir)
        check_ports(spec)
        async with contextlib.AsyncExitStack() as undo:
            machine = await self._start(spec, accelerator, undo)
            undo.pop_all()
        return machine

    def _check(self, spec: QemuSpec) -> None:
        if (spec.uid is None) == (os.geteuid() == 0):
            raise InvalidRequest("a machine needs a uid of its own if, and only if, we are root")
        most = self.max_disks(shared=bool(spec.shared))
        if len(spec.disks) > most or len(spec.nics) > 1:
            raise InvalidRequest(
                f"machine {spec.name} has {len(spec.disks)} disks and {len(spec.nics)} cards; "
                f"it can have {most} and 1"
            )

    async def _start(
        self, spec: QemuSpec, accelerator: str, undo: contextlib.AsyncExitStack
    ) -> QemuMachine:
        with contextlib.ExitStack() as ours:
            group = self._make_group(spec)
            undo.callback(group.remove)
            server, stream = await share.serve(spec, group, self._chosen_server, ours, undo)
            fds = open_all(spec, ours, undo, share=stream)
            # Connected before QEMU runs: no waiting for it to listen.
            console = Console(sockets.connect(spec.run_dir / CONSOLE_SOCKET))
            undo.callback(console.close)
            path = spec.run_dir / MONITOR_SOCKET
            monitor = Monitor(path, sockets.connect(path))
            undo.push_async_callback(monitor.close)
            undo.callback((spec.run_dir / RECORD_FILE).unlink, missing_ok=True)
            jailed = await self._enter(spec, accelerator, fds, group)
            undo.callback(jailed.inner.close)
            undo.push_async_callback(jailed.kill)
        # Our copies of what QEMU has are closed by now: its end is the end of every connection.
        try:
            await _main_loop_runs(spec, jailed, monitor, console)
        except MachineError as error:
            if server is None or "vhost" not in error.message:
                raise
            message = f"{error.message} (virtiofsd: {server.last_words()})"
            raise MachineError(message, console=error.console) from error
        if spec.memory is not None and spec.memory.state_fd is not None:
            await saving.restore(monitor, spec.memory.state_fd)
        record = state.load(spec.run_dir, NAME)
        if record is None:
            raise MachineError(
                f"the run folder of machine {spec.name} was taken away: {spec.run_dir}"
            )
        return QemuMachine(
            record,
            Parts(
                jailed.inner, jailed.outer, group, monitor, console, server, self._remains.inventory
            ),
        )

    def _chosen_server(self) -> FileServer:
        return file_server.find(self._server, self._assets)

    def _make_group(self, spec: QemuSpec) -> cgroup.Group:
        log.debug("machine %s is made", spec.name)
        try:
            return self._groups.create(spec.name, group_limits(spec))
        except OSError as error:
            raise MachineError(f"cannot limit machine {spec.name}: {reason(error)}") from error

    async def _enter(
        self, spec: QemuSpec, accelerator: str, fds: argv.MachineFds, group: cgroup.Group
    ) -> Jailed:
        try:
            command = argv.arguments(
                spec,
                binary=self._binary,
                accelerator=accelerator,
                fds=fds,
                tsc_khz=await self._tsc.khz(),
                timer_chips=await self._measures(spec.kernel),
            )
            devices = self._devices() if accelerator == "kvm" else ()
            walls = jail_for(spec, binary=self._binary, devices=devices)
            note = self._recorder(spec, accelerator)
            inherited = (*fds.all, *_given(spec))
            return await launch.start(walls, command, pass_fds=inherited, group=group, note=note)
        except OSError as error:
            raise MachineError(f"machine {spec.name} did not start: {reason(error)}") from error
        except (LaunchFailed, process.ProcessFailed) as error:
            raise MachineError(f"machine {spec.name} did not start: {error.message}") from error

    async def _measures(self, kernel: Path) -> bool:
        """Whether ``kernel`` measures the speed of its timers itself, by others whose speed is known.

        Raises:
            OSError: there is no such file. InvalidRequest: it can be no machine's kernel.
        """
        if kernel == self._ours:
            return False
        stamp = (kernel, kernel.stat().st_mtime_ns)
        if stamp not in self._foreign:
            found = await asyncio.to_thread(kernel_file.read, kernel)
            self._foreign = {stamp: not found.told_its_clocks}
        return self._foreign[stamp]

    def _recorder(self, spec: QemuSpec, accelerator: str) -> Callable[[int, int], None]:
        spawned_ns = time.monotonic_ns()

        def keep(pid: int, start_ticks: int) -> None:
            process = QemuState(
                pid=pid,
                start_ticks=start_ticks,
                run_dir=str(spec.run_dir),
                accelerator=accelerator,
                slots={slot.name: slot.read_only for slot in spec.empty_slots},
            )
            record = process.kept_in(
                MachineRecord(NAME, spec.name, spec.vcpus, spec.uid, spawned_ns)
            )
            self._remains.note(record, spec.run_dir)
            if spec.limits.cpu_set:
                affinity.set_all(pid, spec.limits.cpu_set)

        return keep

    async def clear(self, run_dir: Path) -> None:
        """No machine launched with ``run_dir`` runs any more; its leavings are gone."""
        await self._remains.clear(run_dir)

    def _devices(self) -> tuple[View, ...]:
        """The device node /dev/kvm for machines. Ordinary users have the host's own or nothing."""
        if os.geteuid() != 0:
            return (View(KVM_DEVICE),)
        files.make_private_dir(self._state_dir)
        node = self._state_dir / KVM_DEVICE.name
        if not node.exists() or node.stat().st_rdev != KVM_DEVICE.stat().st_rdev:
            files.make_device_copy(KVM_DEVICE, node, gid=KVM_GID)
        return (View(node, KVM_DEVICE),)

    def describe(self, record: MachineRecord) -> Description:
        """The description of the machine of ``record``: its accelerator, and QEMU's process."""
        process = QemuState.of(record)
        return Description(process.accelerator, process.pid)

    def runs(self, record: MachineRecord) -> bool:
        """Whether the machine of ``record`` still runs."""
        held = QemuState.of(record).open()
        if held is not None:
            held.close()
        return held is not None

    async def attach(self, record: MachineRecord) -> QemuMachine | None:
        """The machine of ``record`` if it still runs, else None: then what it left is gone too."""
        held = await self._remains.find(record)
        if held is None:
            return None
        run_dir = Path(QemuState.of(record).run_dir)
        monitor = Monitor(run_dir / MONITOR_SOCKET)
        group = self._groups.find(record.name)
        parts = Parts(
            held,
            None,
            group,
            monitor,
            connect_console(run_dir),
            share.find(run_dir),
            self._remains.inventory,
        )
        return QemuMachine(record, parts)


def _digest(text: str) -> str:
    """A short digest of ``text`` for a file's name: no other text has it."""
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def _given(spec: QemuSpec) -> list[int]:
    """The descriptors that came with ``spec``."""
    given = [nic.fd for nic in spec.nics if isinstance(nic, TapNic)]
    if spec.memory is not None:
        given += [spec.memory.fd]
        given += [] if spec.memory.state_fd is None else [spec.memory.state_fd]
    return given


async def _main_loop_runs(
    spec: QemuSpec, jailed: Jailed, monitor: Monitor, console: Console
) -> None:
    """Return once QEMU answers on its monitor: its arguments were right, the ports are bound, the guest runs."""
    try:
        async with asyncio.timeout(_START_TIMEOUT_S):
            await monitor.connect()
    except TimeoutError:
        raise MachineError(f"machine {spec.name} did not start in {_START_TIMEOUT_S:g} s") from None
    except MachineError:
        status = await jailed.outer.wait()
        stderr, tail = jailed.outer.stderr_tail(), console.drain()
        raise _start_error(spec, status, stderr, tail) from None


def _start_error(spec: QemuSpec, status: int, stderr: str, console: str) -> Conflict | MachineError:
    for nic in spec.user_nics:
        for rule, forward in argv.forward_rules(nic):
            if f"'{rule}'" in stderr:
                return port_conflict(forward)
    why = stderr.strip().rpartition("\n")[2] or f"QEMU ended with status {status}"
    return MachineError(f"machine {spec.name} did not start: {why}", console=console)

"""Routes about the daemon itself: ping, version, info, events."""

from __future__ import annotations

import os
import platform
import socket
import threading
import time
from pathlib import Path
from typing import Final

from aiohttp import web

from hyper import __version__
from hyper.api import API_VERSION, MIN_API_VERSION, STORAGE_DRIVER
from hyper.api.docker.event_filter import passes
from hyper.api.docker.shortcomings import shortcomings
from hyper.api.http import Routes, asked_version, filters_of, json_lines, json_response, moment_of
from hyper.config import Config
from hyper.engine.engine import Engine
from hyper.engine.events import EngineEvent
from hyper.engine.hypervisors import Finding
from hyper.engine.lifecycle.containers import by_status
from hyper.engine.record.network import PREDEFINED
from hyper.engine.record.state import Status
from hyper.engine.spec import log_options
from hyper.engine.spec.modes import RUNTIME
from hyper.errors import InvalidRequest
from hyper.image import proxy
from hyper.image.reference import DEFAULT_DOMAIN
from hyper.system import memory
from hyper.types import response as wire
from hyper.units import rfc3339

HYPER_VERSION: Final = __version__
_SECURITY: Final = ["name=vm", "name=seccomp,profile=builtin"]
_NAMES_OF_SECURITY: Final = ["vm", "seccomp"]
_SECURITY_IN_DETAIL_SINCE: Final = (1, 25)
#: Why nothing is known yet of an accelerator.
BEING_PROBED: Final = "being probed: a guest boots on it"


class SystemRoutes:
    """Handlers of the system routes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def routes(self) -> Routes:
        """(method, path, handler) of each route."""
        return [
            ("GET", "/_ping", self.ping),
            ("HEAD", "/_ping", self.ping),
            ("GET", "/version", self.version),
            ("GET", "/info", self.info),
            ("GET", "/events", self.events),
        ]

    async def ping(self, request: web.Request) -> web.StreamResponse:
        headers = {
            "Builder-Version": "",
            "Cache-Control": "no-cache, no-store, must-revalidate",
            "Pragma": "no-cache",
            "Swarm": "inactive",
        }
        return web.Response(text="OK" if request.method == "GET" else "", headers=headers)

    async def version(self, request: web.Request) -> web.StreamResponse:
        system = os.uname()
        arch = "amd64" if system.machine == "x86_64" else system.machine
        language = f"none (Python {platform.python_version()})"
        details = {
            "ApiVersion": API_VERSION,
            "Arch": arch,
            "BuildTime": "",
            "Experimental": "false",
            "GitCommit": "",
            "GoVersion": language,
            "KernelVersion": system.release,
            "MinAPIVersion": MIN_API_VERSION,
            "Os": "linux",
        }
        drivers = [
            wire.Component(name, version, {})
            for name, version in (await self._engine.hypervisors.versions()).items()
        ]
        return json_response(
            wire.VersionAnswer(
                platform=wire.Platform("Hyper"),
                components=[
                    wire.Component("Engine", HYPER_VERSION, details),
                    *drivers,
                ],
                version=HYPER_VERSION,
                api_version=API_VERSION,
                min_api_version=MIN_API_VERSION,
                git_commit="",
                go_version=language,
                os="linux",
                arch=arch,
                kernel_version=system.release,
                build_time="",
            )
        )

    async def info(self, request: web.Request) -> web.StreamResponse:
        engine, config = self._engine, self._engine.host.config
        counts = by_status(engine.containers.all())
        system = os.uname()
        stopped = counts[Status.EXITED] + counts[Status.CREATED]
        return json_response(
            wire.InfoAnswer(
                id=engine.host.store.daemon_id,
                containers=sum(counts.values()),
                containers_running=counts[Status.RUNNING],
                containers_paused=counts[Status.PAUSED],
                containers_stopped=stopped,
                images=len(engine.host.images.list()),
                driver=STORAGE_DRIVER,
                driver_status=[["Writable layer", "ext4"]],
                docker_root_dir=str(config.data_root),
                plugins=wire.PluginsInfo(["local"], [*PREDEFINED.values()], [*log_options.DRIVERS]),
                memory_limit=True,
                swap_limit=False,
                cpu_cfs_period=engine.host.privileged,
                cpu_cfs_quota=engine.host.privileged,
                cpu_shares=engine.host.privileged,
                cpu_set=True,
                pids_limit=True,
                oom_kill_disable=False,
                ipv4_forwarding=True,
                debug=config.log_level == "debug",
                n_fd=sum(1 for _ in Path("/proc/self/fd").iterdir()),
                n_goroutines=threading.active_count(),
                system_time=rfc3339(time.time_ns()),
                logging_driver=config.log_driver,
                cgroup_driver="cgroupfs",
                cgroup_version="2" if Path("/sys/fs/cgroup/cgroup.controllers").exists() else "1",
                n_events_listener=engine.host.events.listeners,
                kernel_version=system.release,
                operating_system=_operating_system(),
                os_version="",
                os_type="linux",
                architecture=system.machine,
                ncpu=os.cpu_count() or 1,
                mem_total=memory.total_bytes(),
                index_server_address="https://index.docker.io/v1/",
                registry_config=_registries(config),
                http_proxy=proxy.masked(config.http_proxy),
                https_proxy=proxy.masked(config.https_proxy),
                no_proxy=config.no_proxy,
                name=socket.gethostname(),
                labels=list(config.labels),
                experimental_build=False,
                server_version=HYPER_VERSION,
                runtimes={
                    name: {"path": "hyperd"} for name in (RUNTIME, *engine.hypervisors.names)
                },
                default_runtime=RUNTIME,
                swarm=wire.SwarmInfo(),
                live_restore_enabled=True,
                isolation="",
                init_binary="hyperstart",
                security_options=_NAMES_OF_SECURITY
                if asked_version(request) < _SECURITY_IN_DETAIL_SINCE
                else _SECURITY,
                warnings=await shortcomings(engine) or None,
                hyper=wire.HyperInfo(
                    hypervisor=engine.hypervisors.default,
                    hypervisors=_hypervisors(engine),
                    kernel={"Path": str(config.guest_kernel)},
                    default_memory_mib=config.default_memory_mib,
                ),
            )
        )

    async def events(self, request: web.Request) -> web.StreamResponse:
        filters = filters_of(request, None)
        since, until = moment_of(request, "since"), moment_of(request, "until")
        if until is not None and until < (since or 0):
            said = (request.query.get(name, "") for name in ("since", "until"))
            raise InvalidRequest(
                "`since` time ({}) cannot be after `until` time ({})".format(*said)
            )
        async with json_lines(request) as lines:
            async for event in self._engine.host.events.subscribe(since_ns=since, until_ns=until):
                if passes(event, filters):
                    await lines.send(_message(event))
        return lines.response


def _registries(config: Config) -> wire.RegistryServiceConfig:
    """The daemon's options for registries, as dockerd shows them."""
    mirrors = list(config.registry_mirrors)
    networks = [entry for entry in config.insecure_registries if "/" in entry]
    known = {DEFAULT_DOMAIN: wire.IndexInfo(DEFAULT_DOMAIN, mirrors, True, True)}
    for host in config.insecure_registries:
        if "/" not in host:
            known[host] = wire.IndexInfo(host, [], False, False)
    return wire.RegistryServiceConfig(["::1/128", "127.0.0.0/8", *networks], known, mirrors or None)


def _hypervisors(engine: Engine) -> list[wire.HypervisorView]:
    return [_hypervisor(found) for found in engine.hypervisors.findings()]


def _hypervisor(found: Finding) -> wire.HypervisorView:
    driver, verdict, able = found.driver, found.verdict, list(found.abilities)
    if verdict is None:
        return wire.HypervisorView(
            driver, found.accelerator, None, BEING_PROBED, None, abilities=able
        )
    return wire.HypervisorView(
        driver,
        found.accelerator,
        verdict.usable,
        verdict.reason,
        verdict.boot_ms,
        abilities=able,
    )


def _operating_system() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"


def _message(event: EngineEvent) -> wire.EventMessage:
    older: dict[str, str] = {}
    if event.type in ("container", "image"):
        older = {"status": event.action, "id": event.actor}
    if event.type == "container":
        older["from_"] = event.attributes.get("image", "")
    return wire.EventMessage(
        type=event.type,
        action=event.action,
        actor=wire.EventActor(event.actor, event.attributes),
        time=event.time_ns // 10**9,
        time_nano=event.time_ns,
        **older,
    )

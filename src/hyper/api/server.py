"""The HTTP application: every route, with and without a version in its path."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from hyper.api import API_VERSION
from hyper.api.app_images import AppImageRoutes
from hyper.api.archive import ArchiveRoutes
from hyper.api.connections import CONNECTIONS, MAX_BODY, Connections, begun
from hyper.api.containers import ContainerRoutes
from hyper.api.execs import ExecRoutes
from hyper.api.fast import FastRoutes
from hyper.api.http import VERSION, errors, not_in_a_swarm, not_yet, note_answer
from hyper.api.images import ImageRoutes
from hyper.api.lifecycle import LifecycleRoutes
from hyper.api.networks import NetworkRoutes
from hyper.api.openapi import OpenApiRoutes
from hyper.api.pods import PodRoutes
from hyper.api.registries import RegistryRoutes
from hyper.api.resources import ResourceRoutes
from hyper.api.system import HYPER_VERSION, SystemRoutes
from hyper.api.transfers import TransferRoutes
from hyper.api.usage import UsageRoutes
from hyper.api.volumes import VolumeRoutes
from hyper.engine.engine import Engine

#: Parts of the Engine API that answer 501: their first path segment, or a whole path.
NOT_YET: Final = (
    "/{part:build|grpc|session}",
    "/build/{rest:.*}",
    "/{part:plugins|swarm|nodes|services|tasks|secrets|configs}{rest:(/.*)?}",
)


#: Clients leave to be sure that they are in none, and know the answer.
_SWARM_LEAVE: Final = ("POST", "/swarm/leave", not_in_a_swarm)


def build_app(engine: Engine) -> web.Application:
    """The application that serves ``engine``."""
    app = web.Application(middlewares=[begun, errors], client_max_size=MAX_BODY)
    app[CONNECTIONS] = Connections()
    routes = [
        *SystemRoutes(engine).routes(),
        *LifecycleRoutes(engine).routes(),
        *ContainerRoutes(engine).routes(),
        *ExecRoutes(engine).routes(),
        *ResourceRoutes(engine).routes(),
        *ImageRoutes(engine).routes(),
        *TransferRoutes(engine).routes(),
        *RegistryRoutes(engine).routes(),
        *UsageRoutes(engine).routes(),
        _SWARM_LEAVE,
        *VolumeRoutes(engine).routes(),
        *NetworkRoutes(engine).routes(),
        *ArchiveRoutes(engine).routes(),
        *FastRoutes(engine).routes(),
        *PodRoutes(engine).routes(),
        *OpenApiRoutes().routes(),
        *AppImageRoutes(engine).routes(),
    ]
    for prefix in ("", f"/v{{version:{VERSION}}}"):
        for method, path, handler in routes:
            app.router.add_route(method, prefix + path, handler)
        for path in NOT_YET:
            app.router.add_route("*", prefix + path, not_yet)
    app.on_response_prepare.append(_common_headers)
    app.on_response_prepare.append(note_answer)
    return app


async def _common_headers(_: web.Request, response: web.StreamResponse) -> None:
    response.headers["Api-Version"] = API_VERSION
    response.headers["Docker-Experimental"] = "false"
    response.headers["Ostype"] = "linux"
    response.headers["Server"] = f"Hyper/{HYPER_VERSION} (linux)"

"""The HTTP application: every route, with and without a version in its path."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from hyper.api import API_VERSION
from hyper.api.browsers import BROWSERS, Browsers, keep_out
from hyper.api.connections import CONNECTIONS, MAX_BODY, Connections, begun
from hyper.api.docker.archive import ArchiveRoutes
from hyper.api.docker.buildkit import grpc
from hyper.api.docker.containers import ContainerRoutes
from hyper.api.docker.execs import ExecRoutes
from hyper.api.docker.images import ImageRoutes
from hyper.api.docker.lifecycle import LifecycleRoutes
from hyper.api.docker.networks import NetworkRoutes
from hyper.api.docker.registries import RegistryRoutes
from hyper.api.docker.resources import ResourceRoutes
from hyper.api.docker.system import HYPER_VERSION, SystemRoutes
from hyper.api.docker.transfers import TransferRoutes
from hyper.api.docker.usage import UsageRoutes
from hyper.api.docker.volumes import VolumeRoutes
from hyper.api.http import (
    VERSION,
    Routes,
    errors,
    no_builds,
    no_plugins,
    no_such_plugin,
    no_swarm_manager,
    not_in_a_swarm,
    not_yet,
    note_answer,
    options,
)
from hyper.api.hyper.app_images import AppImageRoutes
from hyper.api.hyper.fast import FastRoutes
from hyper.api.hyper.openapi import OpenApiRoutes
from hyper.api.hyper.pods import PodRoutes
from hyper.engine.engine import Engine

#: Parts of the Engine API that are not there: what they answer is what clients that look for something know.
_ABSENT: Final[Routes] = [
    ("POST", "/swarm/{what:init|join}", not_yet),
    ("POST", "/swarm/leave", not_in_a_swarm),
    ("*", "/{part:swarm|nodes|services|tasks|secrets|configs}{rest:(/.*)?}", no_swarm_manager),
    ("GET", "/plugins", no_plugins),
    ("GET", "/plugins/{name:.+}/json", no_such_plugin),
    ("POST", "/plugins/{name:.+}/{what:enable|disable|set|push|upgrade}", no_such_plugin),
    ("DELETE", "/plugins/{name:.+}", no_such_plugin),
    ("*", "/plugins{rest:(/.*)?}", not_yet),
    ("*", "/build{rest:(/.*)?}", no_builds),
    ("POST", "/grpc", grpc),
    ("*", "/{part:grpc|session}", no_builds),
    ("OPTIONS", "/{rest:.*}", options),
]


def build_app(engine: Engine, browsers: Browsers) -> web.Application:
    """The application that serves ``engine``, with ``browsers`` kept out."""
    app = web.Application(middlewares=[begun, errors, keep_out], client_max_size=MAX_BODY)
    app[BROWSERS] = browsers
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
        *VolumeRoutes(engine).routes(),
        *NetworkRoutes(engine).routes(),
        *ArchiveRoutes(engine).routes(),
        *FastRoutes(engine).routes(),
        *PodRoutes(engine).routes(),
        *OpenApiRoutes().routes(),
        *AppImageRoutes(engine).routes(),
        *_ABSENT,
    ]
    for prefix in ("", f"/v{{version:{VERSION}}}"):
        for method, path, handler in routes:
            app.router.add_route(method, prefix + path, handler)
    app.on_response_prepare.append(_common_headers)
    app.on_response_prepare.append(note_answer)
    return app


async def _common_headers(_: web.Request, response: web.StreamResponse) -> None:
    response.headers["Api-Version"] = API_VERSION
    response.headers["Docker-Experimental"] = "false"
    response.headers["Ostype"] = "linux"
    response.headers["Server"] = f"Hyper/{HYPER_VERSION} (linux)"

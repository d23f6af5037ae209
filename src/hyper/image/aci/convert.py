"""Conversion of an image manifest to an OCI image configuration. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from hyper.errors import InvalidRequest
from hyper.image.aci import names
from hyper.image.aci.isolators import limits_of
from hyper.image.aci.manifest import (
    POST_STOP,
    PRE_START,
    App,
    ImageManifest,
    by_name,
)
from hyper.image.reference import DEFAULT_DOMAIN, DEFAULT_TAG, Reference, parse_tag
from hyper.types.aci import MEMBER, Aci, AciMount, AciPort

#: What the spec wants every process to find (Source: ace.md, "Execution Environment").
PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#: Most ports that are exposed one by one.
MAX_EXPOSED: Final = 4096


def configuration(
    manifest: ImageManifest,
    image_id: str,
    *,
    dependencies: Sequence[str],
    owner: tuple[str, str] | None = None,
) -> dict[str, Any]:
    """The image configuration, without its layers.

    ``dependencies``: ids of the images it is rendered on. ``owner``: user and group to run as, where the manifest
    names files whose owners are meant.

    Raises:
        InvalidRequest: the image is for another platform, or its manifest says something that cannot be done.
    """
    annotations = by_name(manifest.annotations)
    labels = manifest.label_map()
    platform = names.platform_of(labels)
    created = annotations.get("created")
    whole: dict[str, Any] = {
        "architecture": platform.architecture,
        "os": platform.os,
        "author": annotations.get("authors", ""),
        "config": {} if manifest.app is None else _config(manifest, manifest.app, owner),
        MEMBER: msgspec.to_builtins(_extension(manifest, image_id, labels, tuple(dependencies))),
    }
    if platform.variant:
        whole["variant"] = platform.variant
    if created is not None:
        whole["created"] = created
    return whole


def _config(manifest: ImageManifest, app: App, owner: tuple[str, str] | None) -> dict[str, Any]:
    """The member ``config`` of the configuration: all that OCI has a word for."""
    user, group = owner or (app.user, app.group)
    config: dict[str, Any] = {"User": f"{user}:{group}", "Env": _environment(manifest.name, app)}
    config["WorkingDir"] = app.working_directory or "/"
    if app.exec is not None:
        config["Entrypoint"] = list(app.exec)
    if app.user_labels:
        config["Labels"] = dict(app.user_labels)
    if app.mount_points:
        config["Volumes"] = {point.path: {} for point in app.mount_points}
    exposed = [
        f"{number}/{port.protocol.lower()}"
        for port in app.ports or ()
        for number in range(port.port, port.port + port.count)[: MAX_EXPOSED + 1]
    ]
    if len(exposed) > MAX_EXPOSED:
        raise InvalidRequest(f"invalid image manifest: app.ports: more than {MAX_EXPOSED} ports")
    if exposed:
        config["ExposedPorts"] = {port: {} for port in exposed}
    return config


def _environment(name: str, app: App) -> list[str]:
    """The environment: the manifest's variables on top of those that the spec promises."""
    promised = {"PATH": PATH, "AC_APP_NAME": name.rpartition("/")[2], "container": "hyper"}
    return [f"{key}={value}" for key, value in (promised | by_name(app.environment)).items()]


def _extension(
    manifest: ImageManifest, image_id: str, labels: dict[str, str], dependencies: tuple[str, ...]
) -> Aci:
    """The extension of the configuration: all that OCI has no word for."""
    app = manifest.app
    if app is None:
        return Aci(image_id, manifest.name, labels, dependencies)
    limits = limits_of(app.isolators or ())
    handlers = {handler.name: handler.exec for handler in app.event_handlers or ()}
    return Aci(
        image_id,
        manifest.name,
        labels,
        dependencies,
        memory=limits.memory,
        nano_cpus=limits.nano_cpus,
        retain=limits.retain,
        remove=limits.remove,
        no_new_privileges=limits.no_new_privileges,
        groups=app.supplementary_gids or (),
        mount_points=tuple(
            AciMount(point.name, point.path, point.read_only) for point in app.mount_points or ()
        ),
        ports=tuple(
            AciPort(port.name, port.port, port.protocol.lower(), port.count)
            for port in app.ports or ()
        ),
        pre_start=handlers.get(PRE_START, ()),
        post_stop=handlers.get(POST_STOP, ()),
        ignored=limits.ignored,
    )


def tag_of(name: str, labels: Mapping[str, str]) -> Reference | None:
    """The tag an image gets; None for a name that no image of a registry could have, or only a registry's.

    A name without a host's would be one of Docker Hub's: an imported archive must not become ``nginx``.
    """
    host, slash, _ = name.partition("/")
    if not slash or "." not in host:
        return None
    try:
        reference = parse_tag(name, labels.get("version", DEFAULT_TAG))
    except InvalidRequest:
        return None
    return None if reference.domain == DEFAULT_DOMAIN else reference

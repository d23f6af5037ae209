"""Defaults of an App Container Image for its containers that an OCI image configuration has no word for.

They are kept in the configuration as the member ``hyper.aci``, beside ``config``. Members that a client asks for win.

Source: appc spec v0.8.11, aci.md ("Image Manifest Schema") and ace.md ("Isolators").
"""

from __future__ import annotations

import msgspec

#: The member's name in an image configuration.
MEMBER = "hyper.aci"


class AciPort(msgspec.Struct, frozen=True, rename="pascal", omit_defaults=True):
    """Ports that the application listens on, ``count`` of them from ``port`` on, under one name."""

    name: str
    port: int
    protocol: str
    count: int = 1


class AciMount(msgspec.Struct, frozen=True, rename="pascal", omit_defaults=True):
    """A place where the application expects data from outside."""

    name: str
    path: str
    read_only: bool = False


class Aci(msgspec.Struct, frozen=True, rename="pascal", omit_defaults=True):
    """Defaults of an App Container Image.

    ``id``: sha512-… of the image's uncompressed tar. ``memory`` in bytes; 0, here and elsewhere: no limit.
    """

    id: str
    name: str
    labels: dict[str, str] = {}
    #: The ids of the images it was rendered on, in that order.
    dependencies: tuple[str, ...] = ()
    memory: int = 0
    nano_cpus: int = 0
    #: Capabilities without ``CAP_``; all that it keeps, or those of the usual ones that it does not.
    retain: tuple[str, ...] | None = None
    remove: tuple[str, ...] | None = None
    no_new_privileges: bool = False
    groups: tuple[int, ...] = ()
    mount_points: tuple[AciMount, ...] = ()
    ports: tuple[AciPort, ...] = ()
    #: What runs before its program and must succeed, and what runs after it has ended.
    pre_start: tuple[str, ...] = ()
    post_stop: tuple[str, ...] = ()
    #: Isolators that have no effect here.
    ignored: tuple[str, ...] = ()

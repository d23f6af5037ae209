"""Mounts and volumes that a client asks for: members of HostConfig, and the bodies of /volumes.

Source: engine-api v1.47, definitions Mount, Volume, VolumeCreateOptions, VolumeListResponse.
"""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, UnsetType

from hyper.types.wire import Wire


class BindOptions(Wire, omit_defaults=True):
    propagation: str = ""
    non_recursive: bool = False
    create_mountpoint: bool = False
    read_only_non_recursive: bool = False
    read_only_force_recursive: bool = False


class DriverConfig(Wire, omit_defaults=True):
    name: str = ""
    options: dict[str, str] | None = None


class VolumeOptions(Wire, omit_defaults=True):
    no_copy: bool = False
    labels: dict[str, str] | None = None
    driver_config: DriverConfig | None = None
    subpath: str = ""


class TmpfsOptions(Wire, omit_defaults=True):
    """Options of a tmpfs. ``mode``: permission bits. ``options``: ``[flag]`` or ``[name, value]`` each."""

    size_bytes: int = 0
    mode: int = 0
    options: list[list[str]] | None = None


class MountSpec(Wire, omit_defaults=True):
    """One mount of HostConfig.Mounts."""

    type: str = ""
    source: str = ""
    target: str = ""
    read_only: bool = False
    consistency: str = ""
    bind_options: BindOptions | None = None
    volume_options: VolumeOptions | None = None
    tmpfs_options: TmpfsOptions | None = None
    cluster_options: dict[str, Any] | None = None


class VolumeCreateBody(Wire):
    """The body of POST /volumes/create."""

    name: str = ""
    driver: str = ""
    driver_opts: dict[str, str] | None = None
    labels: dict[str, str] | None = None
    cluster_volume_spec: dict[str, Any] | None = None


class UsageData(Wire):
    """A volume's usage: ``size`` in bytes on the host's disk; ``ref_count``: containers that have it."""

    size: int
    ref_count: int


class VolumeView(Wire):
    """A volume as the API shows it. ``status``: how it is kept (``Hyper.Kind``; none before its first use)."""

    name: str
    driver: str
    mountpoint: str
    created_at: str
    labels: dict[str, str] | None
    scope: str
    options: dict[str, str] | None
    status: dict[str, dict[str, str]] | UnsetType = UNSET
    usage_data: UsageData | UnsetType = UNSET


class VolumeList(Wire):
    """The answer to GET /volumes."""

    volumes: list[VolumeView]
    warnings: list[str] | None = None


class VolumesPruned(Wire):
    """The answer to POST /volumes/prune."""

    volumes_deleted: list[str]
    space_reclaimed: int

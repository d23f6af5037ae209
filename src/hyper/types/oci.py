"""Documents that registries and image stores exchange: manifests, indexes, image configurations.

One set of records serves OCI and Docker schema 2, whose JSON differs in media types only. Unknown fields are ignored,
wrong types are refused. Sizes are bounded here, before anything is decoded.

Source: OCI image-spec v1.1 (descriptor.md, manifest.md, image-index.md, config.md); Docker image spec v1.2.
"""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec

from hyper.errors import InvalidRequest
from hyper.types.aci import MEMBER, Aci

#: Longest manifest, index or image configuration that is looked at (what distribution allows a manifest).
MAX_DOCUMENT_BYTES = 4 * 1024 * 1024
#: Most layers of an image; Docker stops at 125.
MAX_LAYERS = 512

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_SCHEMA1 = "application/vnd.docker.distribution.manifest.v1"

INDEX_TYPES = (OCI_INDEX, DOCKER_LIST)
MANIFEST_TYPES = (OCI_MANIFEST, DOCKER_MANIFEST)
CONFIG_TYPES = (OCI_CONFIG, DOCKER_CONFIG)

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_T = TypeVar("_T", bound=msgspec.Struct)


class Platform(msgspec.Struct, frozen=True):
    """The machine an image is for, as an index's entry names it."""

    architecture: str = ""
    os: str = ""
    variant: str = ""


class Descriptor(msgspec.Struct, frozen=True, rename={"media_type": "mediaType"}):
    """A reference to a blob. ``digest`` and ``size`` are checked by `decode`."""

    digest: str
    size: int
    media_type: str = ""
    platform: Platform | None = None
    urls: tuple[str, ...] | None = None
    annotations: dict[str, str] | None = None


class Manifest(
    msgspec.Struct,
    frozen=True,
    rename={"media_type": "mediaType", "schema_version": "schemaVersion"},
):
    """One image for one platform: its configuration and its layers, lowest first."""

    config: Descriptor
    layers: tuple[Descriptor, ...] | None = None
    schema_version: int = 2
    media_type: str = ""


class Index(
    msgspec.Struct,
    frozen=True,
    rename={"media_type": "mediaType", "schema_version": "schemaVersion"},
):
    """Images for several platforms (Docker: a manifest list)."""

    manifests: tuple[Descriptor, ...] | None = None
    schema_version: int = 2
    media_type: str = ""


class Healthcheck(msgspec.Struct, frozen=True, rename="pascal"):
    """A health check: how to find out whether the application works. Times in nanoseconds; 0: Docker's default."""

    test: tuple[str, ...] | None = None
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


class ContainerConfig(msgspec.Struct, frozen=True, rename="pascal"):
    """The image's defaults for containers (``config`` of the image configuration)."""

    user: str | None = ""
    exposed_ports: dict[str, Any] | None = None
    env: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | str | None = None
    cmd: tuple[str, ...] | str | None = None
    volumes: dict[str, Any] | None = None
    working_dir: str | None = ""
    labels: dict[str, str] | None = None
    stop_signal: str | None = ""
    stop_timeout: int | None = None
    healthcheck: Healthcheck | None = None
    shell: tuple[str, ...] | None = None
    on_build: tuple[str, ...] | None = None
    hostname: str | None = ""
    domainname: str | None = ""
    tty: bool = False
    open_stdin: bool = False
    args_escaped: bool = False

    def entrypoint_argv(self) -> list[str]:
        """The entry point's words, [] if there is none (a lone string is one word, as in Docker)."""
        return _words(self.entrypoint)

    def cmd_argv(self) -> list[str]:
        """The default command's words, [] if there is none."""
        return _words(self.cmd)


class RootFs(msgspec.Struct, frozen=True):
    """The layers by the digest of their uncompressed tar, lowest first."""

    diff_ids: tuple[str, ...] | None = None
    type: str = "layers"


class History(msgspec.Struct, frozen=True):
    """One build step. ``empty_layer`` steps have no layer."""

    created: str | None = None
    created_by: str | None = ""
    author: str | None = ""
    comment: str | None = ""
    empty_layer: bool = False


class ImageConfig(msgspec.Struct, frozen=True, rename={"os_version": "os.version", "aci": MEMBER}):
    """An image configuration. Its digest is the image's id."""

    architecture: str = ""
    os: str = ""
    variant: str = ""
    os_version: str = ""
    created: str | None = None
    author: str | None = ""
    comment: str | None = ""
    docker_version: str | None = ""
    container: str | None = ""
    config: ContainerConfig | None = None
    #: Of the container it was committed from; nothing is decided by it.
    container_config: dict[str, Any] | None = None
    rootfs: RootFs = RootFs()
    history: tuple[History, ...] | None = None
    #: What an App Container Image says beyond ``config``.
    aci: Aci | None = None

    @property
    def diff_ids(self) -> tuple[str, ...]:
        """The layers' diff ids, lowest first."""
        return self.rootfs.diff_ids or ()


def is_digest(text: str) -> bool:
    """Whether ``text`` is a SHA-256 digest in canonical form (the only algorithm stores accept)."""
    return _DIGEST.fullmatch(text) is not None


def decode_manifest(data: bytes) -> Manifest:
    """The manifest in ``data``.

    Raises:
        InvalidRequest: too large, not JSON, wrong types, digests or sizes that cannot be, too many layers.
    """
    manifest = _decode(data, Manifest, "manifest")
    layers = manifest.layers or ()
    if len(layers) > MAX_LAYERS:
        raise InvalidRequest(f"invalid manifest: {len(layers)} layers (at most {MAX_LAYERS})")
    for descriptor in (manifest.config, *layers):
        _check_descriptor(descriptor, "manifest")
    return manifest


def decode_index(data: bytes) -> Index:
    """The index (manifest list) in ``data``.

    Raises:
        InvalidRequest: as `decode_manifest`.
    """
    index = _decode(data, Index, "manifest list")
    for descriptor in index.manifests or ():
        _check_descriptor(descriptor, "manifest list")
    return index


def decode_config(data: bytes) -> ImageConfig:
    """The image configuration in ``data``.

    Raises:
        InvalidRequest: too large, not JSON, wrong types, diff ids that are no digests.
    """
    config = _decode(data, ImageConfig, "image configuration")
    for diff_id in config.diff_ids:
        if not is_digest(diff_id):
            raise InvalidRequest(f"invalid image configuration: bad diff id {diff_id[:80]!r}")
    return config


class _Kind(msgspec.Struct, rename={"media_type": "mediaType", "schema_version": "schemaVersion"}):
    media_type: str = ""
    schema_version: int = 2
    manifests: msgspec.Raw = msgspec.Raw()
    config: msgspec.Raw = msgspec.Raw()


def kind_of(data: bytes, content_type: str) -> str:
    """The media type of a manifest or index: what the document says, else the transport, else its shape.

    Raises:
        InvalidRequest: not a JSON object, too large, or a document that could be read as both kinds.
    """
    kind = _decode(data, _Kind, "manifest")
    if kind.schema_version == 1:
        return DOCKER_SCHEMA1
    if bytes(kind.manifests) and bytes(kind.config):
        # CVE-2021-41190: one document, two meanings.
        raise InvalidRequest("invalid manifest: has both a config and a list of manifests")
    if kind.media_type:
        return kind.media_type
    declared = content_type.partition(";")[0].strip()
    if declared in (*INDEX_TYPES, *MANIFEST_TYPES):
        return declared
    return OCI_INDEX if bytes(kind.manifests) else OCI_MANIFEST


def _decode(data: bytes, kind: type[_T], what: str) -> _T:
    if len(data) > MAX_DOCUMENT_BYTES:
        raise InvalidRequest(f"invalid {what}: longer than {MAX_DOCUMENT_BYTES} bytes")
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"invalid {what}: {error}") from error


def _check_descriptor(descriptor: Descriptor, what: str) -> None:
    if not is_digest(descriptor.digest):
        raise InvalidRequest(f"invalid {what}: unsupported digest {descriptor.digest[:80]!r}")
    if descriptor.size < 0:
        raise InvalidRequest(f"invalid {what}: negative size of {descriptor.digest}")


def _words(value: tuple[str, ...] | str | None) -> list[str]:
    if value is None:
        return []
    return [value] if isinstance(value, str) else list(value)

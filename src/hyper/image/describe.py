"""The description that a registry gives of a name, without a pull."""

from __future__ import annotations

from hashlib import sha256

from hyper.image.reference import Reference
from hyper.image.registry import Registry
from hyper.types.oci import (
    INDEX_TYPES,
    MANIFEST_TYPES,
    Descriptor,
    Platform,
    decode_config,
    decode_index,
    decode_manifest,
    kind_of,
)


async def describe(registry: Registry, reference: Reference) -> tuple[Descriptor, list[Platform]]:
    """The manifest or index behind a reference, and the platforms it is for.

    Raises: as `Registry.manifest`, and InvalidRequest for a broken document.
    """
    data, content_type = await registry.manifest(reference.digest or reference.tag or "")
    kind = kind_of(data, content_type)
    found = Descriptor(f"sha256:{sha256(data).hexdigest()}", len(data), kind)
    if kind in INDEX_TYPES:
        entries = decode_index(data).manifests or ()
        return found, [entry.platform for entry in entries if entry.platform is not None]
    if kind not in MANIFEST_TYPES:
        return found, []
    manifest = decode_manifest(data)
    config = decode_config(await registry.small_blob(manifest.config.digest, manifest.config.size))
    return found, [Platform(config.architecture, config.os or "linux", config.variant)]
